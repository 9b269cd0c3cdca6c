package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"time"
)

const (
	// tempDir is no key's first part, so no listing ever sees what is in it.
	tempDir = ".tmp"
	// tempAge is how long after its last write a temporary file is taken for
	// the rest of a crash.
	tempAge = 24 * time.Hour

	fileMode = 0o644 // what is sealed may be read by anybody
	dirMode  = 0o755
)

// A Local is a bucket in a directory: each object is the file that its key
// names. The directory must be on one file system that has hard links.
type Local struct {
	root *os.Root // no symbolic link leads out of it
}

// OpenLocal opens the bucket in dir, makes the directory if it is not there,
// and removes what crashed writers left behind more than a day ago.
func OpenLocal(dir string) (*Local, error) {
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("open storage: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open storage: %w", err)
	}
	l := &Local{root: root}
	if err := l.cleanTemp(); err != nil {
		root.Close()
		return nil, fmt.Errorf("open storage %s: %w", dir, err)
	}
	return l, nil
}

// makeDir makes a directory and those above it, and their names durable: what is
// stored in it later is no safer than the way to it.
func makeDir(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	var parents []string // of what is not there yet
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		parents = append(parents, filepath.Dir(d))
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	for _, p := range parents {
		if err := syncDir(os.Open, p); err != nil {
			return err
		}
	}
	return nil
}

// cleanTemp removes old temporary files. Young ones may be another process's.
func (l *Local) cleanTemp() error {
	dir, err := l.root.Open(tempDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < tempAge {
			continue
		}
		if err := l.root.Remove(path.Join(tempDir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Close gives the directory back. Streams that are open stay so.
func (l *Local) Close() error { return l.root.Close() }

// Open is [Reader.Open].
func (l *Local) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	return l.OpenRange(ctx, key, 0, -1)
}

// OpenRange is [Reader.OpenRange].
func (l *Local) OpenRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	o, err := l.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	if err := checkRange(key, off, o.Size); err != nil {
		return nil, err
	}
	f, err := l.root.Open(key)
	if err != nil {
		return nil, fmt.Errorf("open object %s: %w", key, cause(err))
	}
	if n < 0 || n > o.Size-off {
		n = o.Size - off
	}
	return stream{ctx, io.NewSectionReader(f, off, n), f}, nil
}

// Stat is [Reader.Stat].
func (l *Local) Stat(ctx context.Context, key string) (Object, error) {
	if err := ctx.Err(); err != nil {
		return Object{}, err
	}
	if err := checkKey(key); err != nil {
		return Object{}, err
	}
	info, err := l.root.Lstat(key)
	switch {
	case err != nil && !absent(err):
		return Object{}, fmt.Errorf("object %s: %w", key, cause(err))
	case err != nil, !info.Mode().IsRegular(): // a folder, a link, a device: nothing of ours
		return Object{}, fmt.Errorf("object %s: %w", key, fs.ErrNotExist)
	}
	return object(key, info), nil
}

func object(key string, info fs.FileInfo) Object {
	return Object{Key: key, Size: info.Size(), ModTime: info.ModTime().UTC()}
}

// Create is [Writer.Create].
func (l *Local) Create(ctx context.Context, key string, body io.Reader, opts CreateOptions) error {
	if err := checkKey(key); err != nil {
		return err
	}
	err := checkSize(opts)
	if err == nil {
		err = l.create(ctx, key, body, opts)
	}
	if err != nil {
		return fmt.Errorf("create object %s: %w", key, err)
	}
	return nil
}

func (l *Local) create(ctx context.Context, key string, body io.Reader, opts CreateOptions) error {
	temp, err := l.writeTemp(newBodyReader(ctx, body, opts))
	if err != nil {
		return err
	}
	defer l.root.Remove(temp)
	if err := ctx.Err(); err != nil {
		return err
	}
	return l.place(ctx, temp, key, opts)
}

// place makes the file temp the object at key.
func (l *Local) place(ctx context.Context, temp, key string, opts CreateOptions) error {
	if err := l.link(temp, key); errors.Is(err, fs.ErrExist) {
		if err := l.same(ctx, key, opts); err != nil {
			return err
		}
	} else if err != nil {
		l.prune(path.Dir(key))
		return cause(err)
	}
	// Also where the key was there already: whoever made it may not have got
	// this far, and we are about to say that it is safe.
	return l.syncParents(key)
}

// writeTemp writes body, durably, to a file without a final name.
func (l *Local) writeTemp(body io.Reader) (temp string, err error) {
	if err := l.root.Mkdir(tempDir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", cause(err)
	}
	temp = path.Join(tempDir, rand.Text())
	f, err := l.root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return "", cause(err)
	}
	_, err = io.Copy(f, body)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		l.root.Remove(temp)
		return "", cause(err)
	}
	return temp, nil
}

// link gives temp its final name. Unlike a rename it fails where that is taken,
// so of several writers one wins.
func (l *Local) link(temp, key string) error {
	var err error
	for range 100 { // a Delete beside us may remove the folder we have just made
		if err = l.root.MkdirAll(path.Dir(key), dirMode); err == nil {
			err = l.root.Link(temp, key)
			if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return err // it says "exists" of a folder that went before it could look
		}
	}
	return err
}

// same is nil if the bytes at key are those that opts describe.
func (l *Local) same(ctx context.Context, key string, opts CreateOptions) error {
	other := fmt.Errorf("other bytes are there: %w", fs.ErrExist)
	o, err := l.Stat(ctx, key)
	if errors.Is(err, fs.ErrNotExist) || err == nil && o.Size != opts.Size {
		return other // not a regular file, or one of another size
	} else if err != nil {
		return err
	}
	f, err := l.Open(ctx, key)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if !bytes.Equal(h.Sum(nil), opts.SHA256[:]) {
		return other
	}
	return nil
}

// syncParents makes the names of key and of every folder above it durable. It
// does so for folders that were there too, as another writer may have made them
// and not yet synced.
func (l *Local) syncParents(key string) error {
	for dir := path.Dir(key); ; dir = path.Dir(dir) {
		if err := syncDir(l.root.Open, dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return cause(err)
		}
		if dir == "." {
			return nil
		}
	}
}

// syncDir makes the names in a directory durable.
func syncDir(open func(name string) (*os.File, error), dir string) error {
	if runtime.GOOS == "windows" { // which has no such thing
		return nil
	}
	d, err := open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Delete is [Bucket.Delete]. Folders that it leaves empty go too.
func (l *Local) Delete(ctx context.Context, key string) error {
	if _, err := l.Stat(ctx, key); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := l.root.Remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete object %s: %w", key, cause(err))
	}
	if err := syncDir(l.root.Open, l.prune(path.Dir(key))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete object %s: %w", key, cause(err))
	}
	return nil
}

// prune removes dir and the folders above it as far as they are empty, and
// returns the first that stays.
func (l *Local) prune(dir string) string {
	for dir != "." {
		info, err := l.root.Lstat(dir)
		if err != nil || !info.IsDir() { // a link is not ours to remove
			break
		}
		if l.root.Remove(dir) != nil { // there is something in it
			break
		}
		dir = path.Dir(dir)
	}
	return dir
}

// absent reports whether err says that nothing lies at a path: no such name, or
// a file where a folder would have to be.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotDir)
}

// cause takes the path and the system call off an error: our messages name the
// key, and a path inside the bucket says no more.
func cause(err error) error {
	var p *fs.PathError
	var k *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &k):
		return k.Err
	}
	return err
}
