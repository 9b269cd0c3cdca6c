// Package remote reads parts of an object that lies elsewhere, with few requests
// of a sensible size: what lies close together is fetched together, what is read
// in order is fetched ahead, and what was fetched is kept, in memory and, if
// wanted, on disk.
//
// It knows bytes alone: what it keeps on a disk is what the store has, ciphertext
// and public files. It must never be given plaintext of a sealed file, keep more
// than it was allowed to, or give out bytes of two versions of an object as one.
package remote

import (
	"context"
	"errors"
	"io"
)

// A Source opens ranges of one object, always of the same version of it: where it
// has changed meanwhile, that is an error that wraps [ErrChanged].
type Source interface {
	OpenRange(ctx context.Context, off, n int64) (io.ReadCloser, error)
}

// ErrChanged says that an object is not the one any more of which parts were read.
var ErrChanged = errors.New("the object has changed underneath")

// Options say how an object is read.
type Options struct {
	Head  int64  // bytes fetched at once when the first is read
	Tail  int64  // bytes fetched at once when the last is read
	Cache *Cache // what is fetched is kept there; may be nil
	Name  string // of the object in the cache: the hash that its bytes must have
}

// A File is an object read by parts. It is safe for concurrent use.
type File struct{}

// Open returns the object of a source, which has size bytes. Nothing is fetched
// yet. When ctx ends so do all reads.
func Open(ctx context.Context, src Source, size int64, o Options) *File { return &File{} }

// Size is the number of bytes.
func (f *File) Size() int64 { return 0 }

// ReadAt is that of [io.ReaderAt].
func (f *File) ReadAt(p []byte, off int64) (int, error) { return 0, errors.ErrUnsupported }

// Prefetch has a part fetched that will be read soon; it does not wait for it.
func (f *File) Prefetch(off, n int64) {}

// Fetched is how many requests were made, and how many bytes came of them.
func (f *File) Fetched() (requests int, bytes int64) { return 0, 0 }

// Close ends what goes on in the background.
func (f *File) Close() error { return nil }

// A Cache keeps parts of objects in a folder, up to a number of bytes: what was
// read last stays. Several processes may use one folder.
type Cache struct{}

// OpenCache opens a cache, and makes its folder if it is not there.
func OpenCache(dir string, max int64) (*Cache, error) { return nil, errors.ErrUnsupported }
