package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// maxTreeSize bounds, in bytes, a folder's listing in git.
const maxTreeSize = 4 << 20

// A commitTree is a tree in a git commit. Sizes are asked before anything is read.
type commitTree struct {
	top *object.Tree
	s   storer.EncodedObjectStorer
}

func (t commitTree) list(dir string, max int) ([]entry, error) {
	folder := t.top
	if dir != "." {
		var err error
		if folder, err = subTree(t.s, t.top, dir); err != nil {
			return nil, err
		}
	}
	var entries []entry
	seen := make(map[string]bool)
	for _, e := range folder.Entries {
		if seen[e.Name] {
			return nil, fmt.Errorf("%q is there twice", e.Name)
		}
		seen[e.Name] = true
		found := entry{name: e.Name}
		switch e.Mode {
		case filemode.Regular, filemode.Executable, filemode.Deprecated:
			found.kind = "file"
			size, err := t.s.EncodedObjectSize(e.Hash)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", e.Name, err)
			}
			found.size = size
		case filemode.Dir:
			found.kind = "folder"
		case filemode.Symlink:
			found.kind = "symbolic link"
		case filemode.Submodule:
			found.kind = "submodule"
		default:
			found.kind = "thing of unknown mode"
		}
		if entries = append(entries, found); len(entries) > max {
			break
		}
	}
	return entries, nil
}

func (t commitTree) read(path string, max int64) ([]byte, error) {
	folder, name := t.top, path
	if dir, rest, ok := strings.Cut(path, "/"); ok {
		var err error
		if folder, err = subTree(t.s, t.top, dir); err != nil {
			return nil, err
		}
		name = rest
	}
	e, err := findEntry(folder, name)
	if err != nil {
		return nil, err
	}
	blob, err := object.GetBlob(t.s, e.Hash)
	if err != nil {
		return nil, err
	}
	in, err := blob.Reader()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(io.LimitReader(in, max+1))
}

func findEntry(t *object.Tree, name string) (object.TreeEntry, error) {
	i := slices.IndexFunc(t.Entries, func(e object.TreeEntry) bool { return e.Name == name })
	if i < 0 {
		return object.TreeEntry{}, fmt.Errorf("%q: %w", name, object.ErrDirectoryNotFound)
	}
	return t.Entries[i], nil
}

// subTree is a folder directly in another.
func subTree(s storer.EncodedObjectStorer, t *object.Tree, name string) (*object.Tree, error) {
	e, err := findEntry(t, name)
	if err != nil {
		return nil, err
	}
	if e.Mode != filemode.Dir {
		return nil, fmt.Errorf("%q is not a folder: %w", name, object.ErrDirectoryNotFound)
	}
	return getTree(s, e.Hash)
}

func getTree(s storer.EncodedObjectStorer, h plumbing.Hash) (*object.Tree, error) {
	size, err := s.EncodedObjectSize(h)
	if err != nil {
		return nil, err
	}
	if size > maxTreeSize {
		return nil, fmt.Errorf("a folder's listing of %d bytes is larger than %d", size, maxTreeSize)
	}
	return object.GetTree(s, h)
}

// tree returns the keyring's folder at a commit. Where the location does not
// name it, it is the folder "keyring", or the top if that has the layout.
func (r *Repository) tree(h plumbing.Hash) (*object.Tree, error) {
	c, err := r.git.CommitObject(h)
	if err != nil {
		return nil, err
	}
	return r.treeOf(r.git, c)
}

// treeOf is tree for a commit of the repository opened another time.
func (r *Repository) treeOf(repo *git.Repository, c *object.Commit) (*object.Tree, error) {
	top, err := getTree(repo.Storer, c.TreeHash)
	if err != nil {
		return nil, err
	}
	if r.sub == "" {
		if t, err := subTree(repo.Storer, top, "keyring"); !errors.Is(err, object.ErrDirectoryNotFound) {
			return t, err
		}
		if _, err := findEntry(top, servicesDir); err != nil {
			return nil, fmt.Errorf("there is no folder keyring/ in it, nor %s/: %w", servicesDir, object.ErrDirectoryNotFound)
		}
		return top, nil
	}
	t := top
	for _, name := range strings.Split(r.sub, "/") {
		if t, err = subTree(repo.Storer, t, name); err != nil {
			return nil, fmt.Errorf("folder %s: %w", r.sub, err)
		}
	}
	return t, nil
}

// compareWorkTree returns an error if the keyring's files in the work tree are
// not those of head.
func (r *Repository) compareWorkTree() error {
	t, err := r.tree(r.head)
	if err != nil {
		return fmt.Errorf("keyring %s at %s: %w", r.name(), r.head, err)
	}
	dir := r.loc.dir
	if c, err := r.git.CommitObject(r.head); r.sub == "" && err == nil && c.TreeHash != t.Hash {
		dir = filepath.Join(dir, "keyring")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	found, err := collect(dirTree{root.FS()}, new(report))
	if err != nil {
		return err
	}
	here := make(map[string][]byte)
	for _, f := range found {
		here[f.path] = f.data
	}
	there, err := collect(commitTree{t, r.git.Storer}, new(report))
	if err != nil {
		return err
	}
	for _, f := range there {
		data, ok := here[f.path]
		delete(here, f.path)
		// A checkout on Windows may have other line ends.
		if !ok || !bytes.Equal(unixLines(data), unixLines(f.data)) {
			return uncommitted(dir, f.path)
		}
	}
	for path := range here {
		return uncommitted(dir, path)
	}
	return nil
}

func uncommitted(dir, path string) error {
	return fmt.Errorf("keyring %s: %s has uncommitted changes, and records name a commit; commit them, or add #HEAD to the location to use what is committed", dir, path)
}

func unixLines(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }

// shallow are the commits at which a shallow clone was cut off.
func shallow(repo *git.Repository) (map[plumbing.Hash]bool, error) {
	list, err := repo.Storer.Shallow()
	cut := make(map[plumbing.Hash]bool)
	for _, h := range list {
		cut[h] = true
	}
	return cut, err
}

// addHistory adds a commit and all that it descends from to a set. What is in
// the set already is not walked again.
func addHistory(ctx context.Context, repo *git.Repository, from plumbing.Hash, set map[plumbing.Hash]bool) error {
	_, err := walk(ctx, repo, from, plumbing.ZeroHash, set)
	return err
}

// descends reports whether one commit descends from another.
func descends(ctx context.Context, repo *git.Repository, child, ancestor plumbing.Hash) (bool, error) {
	return walk(ctx, repo, child, ancestor, make(map[plumbing.Hash]bool))
}

// walk visits a commit's history, nearest commits first, until it meets stop.
func walk(ctx context.Context, repo *git.Repository, from, stop plumbing.Hash, seen map[plumbing.Hash]bool) (bool, error) {
	cut, err := shallow(repo)
	if err != nil {
		return false, err
	}
	queue := []plumbing.Hash{from}
	for len(queue) > 0 {
		h := queue[0]
		queue = queue[1:]
		if h == stop {
			return true, nil
		}
		if seen[h] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		seen[h] = true
		if cut[h] {
			continue
		}
		c, err := repo.CommitObject(h)
		if err != nil {
			return false, err
		}
		queue = append(queue, c.ParentHashes...)
	}
	return false, nil
}

// firstParents returns the commits on the line of first parents from head that
// came after base, newest first. If base was merged into that line the merge is
// the last of them.
func firstParents(ctx context.Context, repo *git.Repository, head, base plumbing.Hash) ([]*object.Commit, error) {
	cut, err := shallow(repo)
	if err != nil {
		return nil, err
	}
	var line []*object.Commit
	for h := head; h != base; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c, err := repo.CommitObject(h)
		if err != nil {
			return nil, err
		}
		line = append(line, c)
		if len(c.ParentHashes) == 0 || cut[h] {
			// Not on the line: find where it was merged. All commits above the
			// merge descend from base, and none below.
			var failed error
			n := sort.Search(len(line), func(i int) bool {
				ok, err := descends(ctx, repo, line[i].Hash, base)
				failed = errors.Join(failed, err)
				return !ok
			})
			return line[:n], failed
		}
		h = c.ParentHashes[0]
	}
	return line, nil
}
