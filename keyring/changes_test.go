package keyring

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
)

// told reads the changes of a service as lines, newest first, with commits by the
// names that the test gave them.
func told(t *testing.T, r *Repository, names map[plumbing.Hash]string, service string) string {
	t.Helper()
	if err := r.ReadChanges(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, read := r.Changes(service, 1000)
	if !read {
		t.Fatal("not read")
	}
	var lines []string
	for _, c := range list {
		line := fmt.Sprintf("%s %s", names[plumbing.NewHash(c.Commit)], c.Kind)
		if c.Person != "" {
			line += " " + c.Person
		}
		if len(c.Through) > 0 {
			line += " by " + strings.Join(c.Through, "+")
		}
		if len(c.NewKeys)+len(c.OldKeys) > 0 {
			line += fmt.Sprintf(" +%d-%d", len(c.NewKeys), len(c.OldKeys))
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}

const svc = "jobs: [%s]\npublishers: [bridge]\nreaders: [%s]\n"

// changesRepo is a repository whose keyring has a history, with its commits by name.
func changesRepo(t *testing.T) (*testRepo, map[plumbing.Hash]string) {
	r := newTestRepo(t)
	r.write("keyring/services/codesearch.yaml", fmt.Sprintf(svc, "deploy-codesearch", "alice"))
	names := make(map[plumbing.Hash]string)
	commit := func(name string, parents ...plumbing.Hash) plumbing.Hash {
		h := r.commit(parents...)
		names[h] = name
		return h
	}
	services := func(readers string) {
		r.write("keyring/services/codesearch.yaml", fmt.Sprintf(svc, "deploy-codesearch", readers))
	}
	commit("first")
	services("alice, bob")
	commit("bob")
	r.write("README", "nothing of the keyring")
	commit("readme")
	r.write("keyring/keys/carol.pub", newAgeKey(t)+"\n")
	r.write("keyring/groups.yaml", "root: [carol]\n")
	services("alice, bob, root")
	commit("group")
	r.write("keyring/keys/dave.pub", newAgeKey(t)+"\n")
	r.write("keyring/groups.yaml", "root: [carol, dave]\n")
	commit("member")
	r.write("keyring/keys/bob.pub", newAgeKey(t)+"\n")
	commit("rotate")
	r.write("keyring/services/codesearch.yaml", "jobs: []\n")
	commit("broken")
	services("alice, root")
	base := commit("mended")

	r.write("keyring/groups.yaml", "root: [dave]\n")
	side := commit("side")
	r.reset(base)
	r.write("README", "main goes on")
	main := commit("main")
	r.write("keyring/groups.yaml", "root: [dave]\n")
	commit("merge", main, side)

	if err := os.Rename(filepath.Join(r.dir, "keyring/services/codesearch.yaml"), filepath.Join(r.dir, "keyring/services/search.yaml")); err != nil {
		t.Fatal(err)
	}
	commit("renamed")
	r.write("keyring/services/search.yaml", "jobs: x\n")
	commit("broken again")
	return r, names
}

func TestChanges(t *testing.T) {
	repo, names := changesRepo(t)
	r := open(t, repo.dir+"/keyring#HEAD", "")
	if list, read := r.Changes("codesearch", 10); read || list != nil {
		t.Errorf("before anything was read: %v, %v", list, read)
	}
	const before = "merge left carol by root; mended left bob; broken unusable; rotate keys bob +1-1; " +
		"member joined dave by root; group joined carol by root; bob joined bob; first joined alice; first added"
	for service, want := range map[string]string{
		"codesearch": "renamed removed; " + before,
		"search":     "broken again unusable; renamed joined alice; renamed joined dave by root; renamed added",
		"nobody":     "",
	} {
		if got := told(t, r, names, service); got != want {
			t.Errorf("%s: got  %s\nwant %s", service, got, want)
		}
	}
	if list, _ := r.Changes("codesearch", 2); len(list) != 2 || list[1].Person != "carol" || list[1].Time.IsZero() {
		t.Errorf("two of them: %+v", list)
	}
}

// What is read bit by bit, after each commit, is what is read at once.
func TestChangesGrow(t *testing.T) {
	repo, names := changesRepo(t)
	whole := open(t, repo.dir+"/keyring#HEAD", "")
	step := open(t, repo.dir+"/keyring#HEAD", "")
	var line []plumbing.Hash
	at, err := repo.git.Head()
	for h := at.Hash(); err == nil; {
		line = append([]plumbing.Hash{h}, line...)
		c, _ := repo.git.CommitObject(h)
		if len(c.ParentHashes) == 0 {
			break
		}
		h = c.ParentHashes[0]
	}
	for _, h := range line {
		step.mu.Lock()
		step.head = h
		step.mu.Unlock()
		if err := step.ReadChanges(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, service := range []string{"codesearch", "search"} {
		if got, want := told(t, step, names, service), told(t, whole, names, service); got != want {
			t.Errorf("%s: got  %s\nwant %s", service, got, want)
		}
	}
}

// A commit that came by a merge's second parent is no place to go on from.
func TestChangesAfterFastForwardMerge(t *testing.T) {
	repo, names := changesRepo(t)
	r := open(t, repo.dir+"/keyring#HEAD", "")
	was := told(t, r, names, "codesearch")
	head, _ := repo.git.Head()
	var base plumbing.Hash
	for h, name := range names {
		if name == "merge" {
			base = h
		}
	}
	repo.reset(base)
	repo.write("README", "elsewhere")
	other := repo.commit()
	repo.reset(head.Hash())
	names[repo.commit(other, head.Hash())] = "joined lines"
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := "joined lines unusable; " + strings.TrimPrefix(was, "renamed removed; ")
	if got := told(t, r, names, "codesearch"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestChangesOfShallowClone(t *testing.T) {
	repo, names := changesRepo(t)
	var cut plumbing.Hash
	for h, name := range names {
		if name == "rotate" {
			cut = h
		}
	}
	if err := repo.git.Storer.SetShallow([]plumbing.Hash{cut}); err != nil {
		t.Fatal(err)
	}
	r := open(t, repo.dir+"/keyring#HEAD", "")
	const want = "renamed removed; merge left carol by root; mended left bob; broken unusable; rotate beginning"
	if got := told(t, r, names, "codesearch"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A keyring that is not there yet, and one that nobody can read.
func TestChangesFromNothing(t *testing.T) {
	repo := newTestRepo(t)
	names := make(map[plumbing.Hash]string)
	dir := filepath.Join(repo.dir, "keyring")
	if err := os.Rename(dir, repo.dir+"-away"); err != nil {
		t.Fatal(err)
	}
	repo.write("README", "no keyring")
	names[repo.commit()] = "nothing"
	if err := os.Rename(repo.dir+"-away", dir); err != nil {
		t.Fatal(err)
	}
	names[repo.commit()] = "keyring"
	r := open(t, dir+"#HEAD", "")
	got := told(t, r, names, "codesearch")
	if !strings.HasPrefix(got, "keyring joined ") || !strings.HasSuffix(got, "keyring added") {
		t.Errorf("got %s", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	names[repo.commit()] = "same"
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.ReadChanges(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if again := told(t, r, names, "codesearch"); again != got {
		t.Errorf("after a commit that left it alone: %s", again)
	}
}

func TestChangesConcurrently(t *testing.T) {
	repo := newTestRepo(t)
	repo.commit()
	url, _ := serveGit(t, repo.dir)
	r := open(t, url, t.TempDir())
	repo.write("keyring/keys/bob.pub", newAgeKey(t)+"\n")
	repo.commit()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 3 {
				if err := r.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
				if err := r.ReadChanges(t.Context()); err != nil {
					t.Error(err)
				}
				if list, read := r.Changes("codesearch", 5); !read || len(list) == 0 {
					t.Errorf("%v, %v", list, read)
				}
			}
		})
	}
	wg.Wait()
}
