package keyring

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/server"
)

// A testRepo is a git work tree with a keyring in its folder keyring.
type testRepo struct {
	t     *testing.T
	dir   string
	git   *git.Repository
	clock time.Time
}

func newTestRepo(t *testing.T) *testRepo {
	t.Helper()
	dir := t.TempDir()
	repo, err := git.PlainInit(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	r := &testRepo{t, dir, repo, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	if err := os.CopyFS(filepath.Join(dir, "keyring"), goodFiles(t, "plain")); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *testRepo) write(path, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, path), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// commit commits all files, a day after the commit before.
func (r *testRepo) commit(parents ...plumbing.Hash) plumbing.Hash {
	r.t.Helper()
	wt, err := r.git.Worktree()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := wt.AddGlob("."); err != nil {
		r.t.Fatal(err)
	}
	r.clock = r.clock.AddDate(0, 0, 1)
	who := &object.Signature{Name: "Test", Email: "test@example.org", When: r.clock}
	h, err := wt.Commit("change", &git.CommitOptions{Author: who, Committer: who, Parents: parents, AllowEmptyCommits: true})
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

// reset moves the branch, and the files, to a commit.
func (r *testRepo) reset(h plumbing.Hash) {
	r.t.Helper()
	wt, err := r.git.Worktree()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := wt.Reset(&git.ResetOptions{Commit: h, Mode: git.HardReset}); err != nil {
		r.t.Fatal(err)
	}
}

// serveGit serves a repository's objects over HTTP, as git's own server does,
// while up.
func serveGit(t *testing.T, dir string) (url string, up *atomic.Bool) {
	t.Helper()
	up = new(atomic.Bool)
	up.Store(true)
	session := func() transport.UploadPackSession {
		repo, err := git.PlainOpen(dir)
		if err != nil {
			t.Error(err)
			return nil
		}
		ep, _ := transport.NewEndpoint("file:///repo")
		s, err := server.NewServer(server.MapLoader{ep.String(): repo.Storer}).NewUploadPackSession(ep, nil)
		if err != nil {
			t.Error(err)
		}
		return s
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /repo.git/info/refs", func(w http.ResponseWriter, q *http.Request) {
		refs, err := session().AdvertisedReferencesContext(q.Context())
		if err != nil {
			t.Error(err)
			return
		}
		refs.Prefix = [][]byte{[]byte("# service=git-upload-pack"), {}}
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		_ = refs.Encode(w)
	})
	mux.HandleFunc("POST /repo.git/git-upload-pack", func(w http.ResponseWriter, q *http.Request) {
		req := packp.NewUploadPackRequest()
		body, _ := io.ReadAll(q.Body)
		if err := req.Decode(bytes.NewReader(body)); err != nil {
			t.Error(err)
			return
		}
		resp, err := session().UploadPack(q.Context(), req)
		if err != nil {
			t.Error(err)
			return
		}
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		_ = resp.Encode(w)
	})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if !up.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, q)
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/repo.git", up
}

func open(t *testing.T, location, cache string) *Repository {
	t.Helper()
	r, err := Open(t.Context(), location, cache)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantCommit(t *testing.T, r *Repository, want plumbing.Hash) {
	t.Helper()
	k, err := r.Head(t.Context())
	if err != nil || k.Commit != want.String() || len(k.Services) != 1 {
		t.Errorf("keyring %+v, error %v, want commit %s", k, err, want)
	}
}

func TestLocal(t *testing.T) {
	repo := newTestRepo(t)
	first := repo.commit()
	if _, err := repo.git.CreateRemote(&config.RemoteConfig{Name: "origin", URLs: []string{"https://me:CANARY@git.example.org/config"}}); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(repo.dir, "keyring")
	r := open(t, dir, "")
	wantCommit(t, r, first)
	if k, err := r.At(t.Context(), first.String()); err != nil || k.URL != "https://git.example.org/config" {
		t.Errorf("URL %q, error %v", k.URL, err)
	}
	wantCommit(t, open(t, repo.dir, ""), first)                        // the top of the work tree
	wantCommit(t, open(t, filepath.Join(repo.dir, ".git"), ""), first) // as a bare repository
	wantCommit(t, open(t, dir+"#"+first.String()[:12], ""), first)     // a revision
	wantCommit(t, open(t, filepath.Join(repo.dir, "keyring/"), ""), first)

	// A changed, a new, and a missing file each differ from what is committed.
	bob := read(t, dir, "keys/bob.pub")
	for _, change := range []func(){
		func() { repo.write("keyring/keys/bob.pub", newAgeKey(t)+"\n") },
		func() { repo.write("keyring/keys/carol.pub", newAgeKey(t)+"\n") },
		func() { _ = os.Remove(filepath.Join(dir, "keys/bob.pub")) },
	} {
		change()
		for _, at := range []string{dir, repo.dir} {
			if _, err := open(t, at, "").Head(t.Context()); err == nil || !strings.Contains(err.Error(), "has uncommitted changes") {
				t.Errorf("%s: error %v", at, err)
			}
		}
		wantCommit(t, open(t, dir+"#HEAD", ""), first)
		_ = os.Remove(filepath.Join(dir, "keys/carol.pub"))
		repo.write("keyring/keys/bob.pub", bob)
	}
	repo.write("keyring/keys/bob.pub", strings.ReplaceAll(bob, "\n", "\r\n")) // a checkout on Windows
	wantCommit(t, r, first)

	repo.write("keyring/keys/bob.pub", bob+"# more\n")
	second := repo.commit()
	wantCommit(t, r, second)
	repo.reset(first)
	if _, err := r.Head(t.Context()); !errors.Is(err, ErrStale) || !strings.Contains(err.Error(), "rewritten") {
		t.Errorf("after a rewrite: %v", err)
	}

	plain := goodDir(t, "plain")
	if _, err := Open(t.Context(), plain, ""); !errors.Is(err, ErrNoGit) {
		t.Errorf("outside of git: %v", err)
	}
}

// TestRemote is T-7.6 and the life of a clone.
func TestRemote(t *testing.T) {
	repo := newTestRepo(t)
	first := repo.commit()
	url, up := serveGit(t, repo.dir)
	cache := t.TempDir()
	location := strings.Replace(url, "http://", "http://me:CANARY@", 1)
	r := open(t, location, cache)
	wantCommit(t, r, first)
	if k, _ := r.Head(t.Context()); k.URL != url {
		t.Errorf("URL %q", k.URL)
	}

	repo.write("keyring/keys/bob.pub", newAgeKey(t)+"\n")
	second := repo.commit()
	wantCommit(t, r, first)
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantCommit(t, r, second)
	if k, err := r.At(t.Context(), first.String()); err != nil || k.Commit != first.String() {
		t.Errorf("an earlier commit: %v", err)
	}

	// Down: the last good state stays, also for one opened anew, and is said to be old.
	up.Store(false)
	if err := r.Refresh(t.Context()); !errors.Is(err, ErrStale) || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("refresh while down: %v", err)
	}
	wantCommit(t, r, second)
	again, err := Open(t.Context(), location, cache)
	if !errors.Is(err, ErrStale) || again == nil {
		t.Fatalf("open while down: %v, %v", again, err)
	}
	wantCommit(t, again, second)
	if _, err := Open(t.Context(), location, t.TempDir()); err == nil || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("clone while down: %v", err)
	}
	up.Store(true)

	// History rewritten: refused, by a process that starts later as well.
	repo.reset(first)
	repo.write("keyring/keys/bob.pub", newAgeKey(t)+"\n")
	repo.commit()
	for range 2 {
		if err := r.Refresh(t.Context()); !errors.Is(err, ErrStale) || !strings.Contains(err.Error(), "rewritten") {
			t.Errorf("rewritten history: %v", err)
		}
		wantCommit(t, r, second)
	}
	if _, err := Open(t.Context(), location, cache); !errors.Is(err, ErrStale) {
		t.Errorf("opened anew after a rewrite: %v", err)
	}
	// Rolled back: so is an older head.
	repo.reset(first)
	if err := r.Refresh(t.Context()); !errors.Is(err, ErrStale) {
		t.Errorf("rolled back: %v", err)
	}

	// The password is nowhere in the cache.
	_ = filepath.WalkDir(cache, func(p string, d os.DirEntry, _ error) error {
		if data, err := os.ReadFile(p); err == nil && bytes.Contains(data, []byte("CANARY")) {
			t.Errorf("%s holds the password", p)
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, url+"#master", t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Open(t.Context(), url+"#nobranch", t.TempDir()); err == nil {
		t.Error("a branch that is not there")
	}
}

func TestUnknownCommit(t *testing.T) {
	repo := newTestRepo(t)
	first := repo.commit()
	repo.write("keyring/keys/mallory.pub", newAgeKey(t)+"\n")
	proposed := repo.commit() // a change that nobody has agreed to, in the same repository
	if err := repo.git.Storer.SetReference(plumbing.NewHashReference("refs/heads/proposed", proposed)); err != nil {
		t.Fatal(err)
	}
	repo.reset(first)
	repo.write("README", "more")
	second := repo.commit()
	r := open(t, filepath.Join(repo.dir, "keyring"), "")
	for _, commit := range []string{proposed.String(), strings.Repeat("0", 40), "HEAD", "", first.String()[:12], strings.ToUpper(first.String())} {
		if _, err := r.At(t.Context(), commit); !errors.Is(err, ErrUnknownCommit) {
			t.Errorf("%q: error %v", commit, err)
		}
		if _, err := r.Superseded(t.Context(), commit); !errors.Is(err, ErrUnknownCommit) {
			t.Errorf("%q: error %v", commit, err)
		}
	}
	for _, h := range []plumbing.Hash{first, second} {
		if _, err := r.At(t.Context(), h.String()); err != nil {
			t.Error(err)
		}
	}
}

func TestSuperseded(t *testing.T) {
	repo := newTestRepo(t)
	first := repo.commit()
	repo.write("README", "1")
	second := repo.commit() // leaves the keyring alone
	repo.write("keyring/keys/bob.pub", newAgeKey(t)+"\n")
	side := repo.commit() // proposed now …
	repo.reset(second)
	repo.write("README", "2")
	third := repo.commit()
	repo.write("keyring/keys/bob.pub", newAgeKey(t)+"\n")
	merge := repo.commit(third, side) // … and merged now
	merged := repo.clock
	repo.write("README", "3")
	last := repo.commit()
	r := open(t, filepath.Join(repo.dir, "keyring"), "")
	for _, tt := range []struct {
		commit plumbing.Hash
		want   time.Time
	}{{first, merged}, {second, merged}, {third, merged}, {side, merged}, {merge, time.Time{}}, {last, time.Time{}}} {
		got, err := r.Superseded(t.Context(), tt.commit.String())
		if err != nil || !got.Equal(tt.want) {
			t.Errorf("%s: %v, error %v, want %v", tt.commit, got, err, tt.want)
		}
	}
	// Known after more history came, too.
	if _, err := r.At(t.Context(), first.String()); err != nil {
		t.Fatal(err)
	}
	repo.write("README", "4")
	next := repo.commit()
	wantCommit(t, r, next)
	if _, err := r.At(t.Context(), last.String()); err != nil {
		t.Error(err)
	}
}

// TestIrregularInGit is T-7.5 for a commit.
func TestIrregularInGit(t *testing.T) {
	for mode, want := range map[filemode.FileMode]string{
		filemode.Symlink:   "keys/carol.pub: is a symbolic link; only regular files belong here",
		filemode.Submodule: "keys/carol.pub: is a submodule; only regular files belong here",
		filemode.Dir:       "keys/carol.pub: is a folder; only regular files belong here",
	} {
		repo := newTestRepo(t)
		first, err := repo.git.CommitObject(repo.commit())
		if err != nil {
			t.Fatal(err)
		}
		store := func(o interface {
			Encode(plumbing.EncodedObject) error
		}) plumbing.Hash {
			obj := repo.git.Storer.NewEncodedObject()
			if err := o.Encode(obj); err != nil {
				t.Fatal(err)
			}
			h, err := repo.git.Storer.SetEncodedObject(obj)
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		top, _ := first.Tree()
		ring, _ := top.Tree("keyring")
		keys, _ := ring.Tree("keys")
		keys.Entries = append(keys.Entries, object.TreeEntry{Name: "carol.pub", Mode: mode, Hash: keys.Entries[0].Hash})
		replaceEntry(ring, "keys", store(keys))
		replaceEntry(top, "keyring", store(ring))
		first.TreeHash = store(top)
		if err := repo.git.Storer.SetReference(plumbing.NewHashReference("refs/heads/bad", store(first))); err != nil {
			t.Fatal(err)
		}
		_, err = open(t, filepath.Join(repo.dir, "keyring")+"#bad", "").Head(t.Context())
		wantProblem(t, err, want)
	}
}

func replaceEntry(t *object.Tree, name string, h plumbing.Hash) {
	for i := range t.Entries {
		if t.Entries[i].Name == name {
			t.Entries[i].Hash = h
		}
	}
}

func TestLargeBlobInGit(t *testing.T) {
	repo := newTestRepo(t)
	repo.write("keyring/keys/carol.pub", strings.Repeat("# x\n", 1<<20))
	repo.commit()
	_, err := open(t, filepath.Join(repo.dir, "keyring"), "").Head(t.Context())
	wantProblem(t, err, "keys/carol.pub: is larger than 256 kB")
}

func TestConcurrentUse(t *testing.T) {
	repo := newTestRepo(t)
	first := repo.commit()
	url, _ := serveGit(t, repo.dir)
	r := open(t, url, t.TempDir())
	repo.write("README", "more")
	second := repo.commit()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				if err := r.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
				if _, err := r.At(t.Context(), first.String()); err != nil {
					t.Error(err)
				}
				if _, err := r.Head(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantCommit(t, r, second)
}

func TestLocations(t *testing.T) {
	for in, want := range map[string]location{
		"keyring":                               {dir: "keyring"},
		"./keyring#v1":                          {dir: "./keyring", rev: "v1"},
		`C:\config\keyring`:                     {dir: `C:\config\keyring`},
		"https://x.example/c#main:prod/keyring": {remote: "https://x.example/c", branch: "main", path: "prod/keyring"},
		"https://x.example/c#:ring/":            {remote: "https://x.example/c", path: "ring"},
		"git@x.example:team/c.git#main":         {remote: "ssh://git@x.example/team/c.git", branch: "main"},
		"file:///srv/c.git":                     {remote: "file:///srv/c.git"},
		"git://127.0.0.1/c":                     {remote: "git://127.0.0.1/c"},
	} {
		if got, err := parseLocation(in); err != nil || got != want {
			t.Errorf("%q: %+v, error %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "#main", "http://x.example/c", "git://x.example/c", "ext::sh -c x://", "ftp://x.example/c",
		"https://x.example/c#main:../..", "https://me:CANARY@x.example:port/c"} {
		if got, err := parseLocation(in); err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%q: %+v, error %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		"https://me:pw@x.example/c?token=1#x": "https://x.example/c", "git@x.example:t/c": "ssh://x.example/t/c",
		"ssh://git@x.example:2222/c": "ssh://x.example:2222/c", "file:///srv/c": "", "/srv/c": "", "../c": "",
	} {
		if got := publicURL(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
