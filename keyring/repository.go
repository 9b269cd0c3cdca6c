package keyring

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

var (
	// ErrNoGit says that a keyring's folder is in no git repository.
	ErrNoGit = errors.New("not in a git repository, and records name a keyring's commit")

	// ErrUnknownCommit says that a commit is not in the history of the
	// keyring's branch. A commit that is in the repository alone, such as that
	// of a proposed change, has been agreed to by nobody.
	ErrUnknownCommit = errors.New("commit is not in the history of the keyring's branch")

	// ErrStale says that a keyring could not be refreshed. The last good state
	// stays in use.
	ErrStale = errors.New("keyring not refreshed")
)

// The references that a cached clone keeps: what was fetched last, and the head
// that was accepted last.
const (
	fetchedRef = plumbing.ReferenceName("refs/vitrine/fetched")
	headRef    = plumbing.ReferenceName("refs/vitrine/head")
)

// maxCached is how many commits' keyrings are kept parsed.
const maxCached = 64

// A Repository is a git repository that has a keyring. It is safe for
// concurrent use.
type Repository struct {
	loc   location
	cache string // the bare clone of a remote one
	top   string // the work tree of a local one, "" for a bare repository
	sub   string // the keyring's folder in the repository; "" is to be found out
	url   string

	refreshing sync.Mutex // held while fetching, when readers may go on
	reading    sync.Mutex // held while reading changes, likewise

	mu      sync.Mutex // guards what follows; go-git's own types are not safe
	git     *git.Repository
	head    plumbing.Hash
	history map[plumbing.Hash]bool // what head descends from; nil until it is asked for
	parsed  map[plumbing.Hash]*Keyring
	recent  []plumbing.Hash // keys of parsed, the last used at the end
	changes *changeLog      // nil until it was read
}

// Open opens the keyring at a location.
//
// DIR[#REV] is a keyring's folder in a git work tree, or a bare repository, on
// this machine. Without REV it is what HEAD says, and the work tree must say
// the same.
//
// GIT-URL[#BRANCH[:PATH]] (https, ssh, file, or user@host:path; http and git to
// this machine alone; file needs git installed) is cloned into cacheDir. PATH
// is the folder "keyring" by default, or the top of a repository that is a
// keyring itself.
//
// If a clone from earlier is there and can't be refreshed, Open returns both
// the repository in its last good state and an error that wraps [ErrStale]: a
// server may go on with it, a publisher must not.
func Open(ctx context.Context, loc, cacheDir string) (*Repository, error) {
	l, err := parseLocation(loc)
	if err != nil {
		return nil, err
	}
	r := &Repository{loc: l, sub: l.path, parsed: make(map[plumbing.Hash]*Keyring)}
	if l.dir != "" {
		if err := r.findLocal(); err != nil {
			return nil, fmt.Errorf("keyring %s: %w", l.dir, err)
		}
		if err := r.refresh(ctx); err != nil {
			return nil, fmt.Errorf("keyring %s: %w", l.dir, err)
		}
		return r, nil
	}
	r.url = publicURL(l.remote)
	sum := sha256.Sum256([]byte(l.remote + "\x00" + l.branch))
	r.cache = filepath.Join(cacheDir, fmt.Sprintf("%x.git", sum[:12]))
	if _, err := os.Stat(r.cache); errors.Is(err, os.ErrNotExist) {
		if err := r.clone(ctx, cacheDir); err != nil {
			return nil, fmt.Errorf("clone keyring %s: %w", r.name(), withoutSecret(l.remote, err))
		}
	}
	if r.git, r.head, err = r.openCache(headRef); err != nil {
		return nil, fmt.Errorf("open the clone of %s in %s (remove it to clone anew): %w", r.name(), r.cache, err)
	}
	return r, r.Refresh(ctx)
}

// name is what errors call the keyring.
func (r *Repository) name() string {
	switch {
	case r.loc.dir != "":
		return r.loc.dir
	case r.url != "":
		return r.url
	default:
		return withoutSecret(r.loc.remote, errors.New(r.loc.remote)).Error()
	}
}

// findLocal finds the repository that a local keyring is in, and its place there.
func (r *Repository) findLocal() error {
	dir, err := filepath.Abs(r.loc.dir)
	if err != nil {
		return err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	r.loc.dir = dir
	repo, err := openLocal(dir)
	if err != nil {
		return err
	}
	if wt, err := repo.Worktree(); err == nil {
		if r.top, err = filepath.EvalSymlinks(wt.Filesystem.Root()); err != nil {
			return err
		}
		rel, err := filepath.Rel(r.top, dir)
		if err != nil {
			return err
		}
		if rel != "." {
			r.sub = filepath.ToSlash(rel)
		}
	}
	if origin, err := repo.Remote(git.DefaultRemoteName); err == nil && len(origin.Config().URLs) > 0 {
		r.url = publicURL(origin.Config().URLs[0])
	}
	return nil
}

func openLocal(dir string) (*git.Repository, error) {
	bare := true // by what git itself looks for, so that no search goes above it
	for _, name := range []string{"HEAD", "objects", "refs"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			bare = false
		}
	}
	repo, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{DetectDotGit: !bare, EnableDotGitCommonDir: !bare})
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return nil, ErrNoGit
	}
	return repo, err
}

// clone makes the cached clone, whole or not at all.
func (r *Repository) clone(ctx context.Context, cacheDir string) error {
	if err := os.MkdirAll(cacheDir, 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(cacheDir, "clone-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	repo, err := git.PlainInit(tmp, true)
	if err != nil {
		return err
	}
	if err := r.fetch(ctx, repo); err != nil {
		return err
	}
	ref, err := repo.Reference(fetchedRef, true)
	if err != nil {
		return err
	}
	if err := repo.Storer.SetReference(plumbing.NewHashReference(headRef, ref.Hash())); err != nil {
		return err
	}
	if err := os.Rename(tmp, r.cache); err != nil {
		if _, statErr := os.Stat(r.cache); statErr == nil {
			return nil // another process was quicker
		}
		return err
	}
	return nil
}

// fetch brings the branch. The remote is not written into the clone's
// configuration: its URL may hold a password.
func (r *Repository) fetch(ctx context.Context, repo *git.Repository) error {
	from := plumbing.HEAD
	if r.loc.branch != "" {
		from = plumbing.NewBranchReferenceName(r.loc.branch)
	}
	spec := config.RefSpec("+" + from.String() + ":" + fetchedRef.String())
	if err := spec.Validate(); err != nil {
		return fmt.Errorf("branch %q: %w", r.loc.branch, err)
	}
	remote := git.NewRemote(repo.Storer, &config.RemoteConfig{Name: git.DefaultRemoteName, URLs: []string{r.loc.remote}})
	err := remote.FetchContext(ctx, &git.FetchOptions{RefSpecs: []config.RefSpec{spec}, Tags: git.NoTags, Force: true})
	if errors.Is(err, git.NoErrAlreadyUpToDate) {
		return nil
	}
	return err
}

func (r *Repository) openCache(ref plumbing.ReferenceName) (*git.Repository, plumbing.Hash, error) {
	repo, err := git.PlainOpen(r.cache)
	if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	at, err := repo.Reference(ref, true)
	if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	return repo, at.Hash(), nil
}

// Refresh moves on to the branch's present commit. It refuses a rewritten
// history: the present commit must descend from the one before. After an error,
// which wraps [ErrStale], the last good state stays in use.
func (r *Repository) Refresh(ctx context.Context) error {
	r.refreshing.Lock()
	defer r.refreshing.Unlock()
	if err := r.refresh(ctx); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrStale, r.name(), withoutSecret(r.loc.remote, err))
	}
	return nil
}

func (r *Repository) refresh(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	repo, head, err := r.present(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	old, history := r.head, r.history
	r.mu.Unlock()
	if head != old && !old.IsZero() {
		if ok, err := descends(ctx, repo, head, old); err != nil {
			return err
		} else if !ok {
			return fmt.Errorf("its history was rewritten: %s does not descend from %s; the keyring stays at %s", head, old, old)
		}
		if history != nil {
			history = maps.Clone(history)
			if err := addHistory(ctx, repo, head, history); err != nil {
				return err
			}
		}
	}
	if r.cache != "" {
		if err := repo.Storer.SetReference(plumbing.NewHashReference(headRef, head)); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.git, r.head, r.history = repo, head, history
	return nil
}

// present returns the branch's present commit, in a freshly opened repository:
// an open one would not see what other processes packed.
func (r *Repository) present(ctx context.Context) (*git.Repository, plumbing.Hash, error) {
	if r.cache != "" {
		repo, err := git.PlainOpen(r.cache)
		if err != nil {
			return nil, plumbing.ZeroHash, err
		}
		if err := r.fetch(ctx, repo); err != nil {
			return nil, plumbing.ZeroHash, err
		}
		return r.openCache(fetchedRef)
	}
	repo, err := openLocal(r.loc.dir)
	if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	rev := r.loc.rev
	if rev == "" {
		rev = "HEAD"
	}
	head, err := repo.ResolveRevision(plumbing.Revision(rev))
	if err != nil {
		return nil, plumbing.ZeroHash, fmt.Errorf("revision %q: %w", rev, err)
	}
	return repo, *head, nil
}

// Head returns the keyring at the branch's commit: for a remote one that of the
// last Refresh, for a local one the present. A work tree whose keyring differs
// from HEAD is an error: it would be sealed to other people than the record says.
func (r *Repository) Head(ctx context.Context) (*Keyring, error) {
	if r.loc.dir != "" {
		if err := r.Refresh(ctx); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.top != "" && r.loc.rev == "" {
		if err := r.compareWorkTree(); err != nil {
			return nil, err
		}
	}
	return r.at(r.head)
}

// At returns the keyring at a commit of the branch's history. Any other commit
// is [ErrUnknownCommit].
func (r *Repository) At(ctx context.Context, commit string) (*Keyring, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, err := r.known(ctx, commit)
	if err != nil {
		return nil, err
	}
	return r.at(h)
}

// known returns the hash of a commit of the branch's history.
func (r *Repository) known(ctx context.Context, commit string) (plumbing.Hash, error) {
	h := plumbing.NewHash(commit)
	if h.String() != commit {
		return h, fmt.Errorf("keyring commit %q: %w", commit, ErrUnknownCommit)
	}
	if h == r.head {
		return h, nil
	}
	if r.history == nil {
		history := make(map[plumbing.Hash]bool)
		if err := addHistory(ctx, r.git, r.head, history); err != nil {
			return h, fmt.Errorf("read the history of keyring %s: %w", r.name(), err)
		}
		r.history = history
	}
	if !r.history[h] {
		return h, fmt.Errorf("keyring commit %s: %w", commit, ErrUnknownCommit)
	}
	return h, nil
}

// at returns the keyring at a known commit, from the cache if it was used lately.
func (r *Repository) at(h plumbing.Hash) (*Keyring, error) {
	k, ok := r.parsed[h]
	if !ok {
		t, err := r.tree(h)
		if err != nil {
			return nil, fmt.Errorf("keyring %s at %s: %w", r.name(), h, err)
		}
		if k, err = load(commitTree{t, r.git.Storer}, time.Now()); err != nil {
			return nil, fmt.Errorf("keyring %s at %s: %w", r.name(), h, err)
		}
		k.Commit, k.URL = h.String(), r.url
		if len(r.recent) == maxCached {
			delete(r.parsed, r.recent[0])
			r.recent = r.recent[1:]
		}
		r.parsed[h] = k
	} else {
		i := slices.Index(r.recent, h)
		r.recent = slices.Delete(r.recent, i, i+1)
	}
	r.recent = append(r.recent, h)
	return k, nil
}

// Superseded returns the time of the first commit after the given one that
// changed the keyring on its branch, or the zero time if there is none. The
// branch is the line of first parents: a change counts from when it was merged.
func (r *Repository) Superseded(ctx context.Context, commit string) (time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, err := r.known(ctx, commit)
	if err != nil {
		return time.Time{}, err
	}
	first, err := r.folderHash(h)
	if err != nil {
		return time.Time{}, err
	}
	line, err := firstParents(ctx, r.git, r.head, h)
	if err != nil {
		return time.Time{}, err
	}
	for _, c := range slices.Backward(line) {
		now, err := r.folderHash(c.Hash)
		if err != nil {
			return time.Time{}, err
		}
		if now != first {
			return c.Committer.When.UTC(), nil
		}
	}
	return time.Time{}, nil
}

// folderHash is the hash of the keyring's folder, or zero where there is none.
func (r *Repository) folderHash(h plumbing.Hash) (plumbing.Hash, error) {
	t, err := r.tree(h)
	if errors.Is(err, object.ErrDirectoryNotFound) {
		return plumbing.ZeroHash, nil
	}
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("keyring %s at %s: %w", r.name(), h, err)
	}
	return t.Hash, nil
}
