// Package storage keeps the objects of a history: sealed and public artifacts,
// and the signed records that name them.
//
// Object storage is the truth; everything else can be rebuilt from it. So an
// object is written once, appears whole or not at all, and is never replaced.
// This package must never look into an object: it moves bytes that it can't read.
//
// A missing object is [fs.ErrNotExist], an existing one [fs.ErrExist], bytes
// that are not what their hash or size says are [ErrIntegrity]. Every promise
// made here is a subtest of the same name in package storagetest, which each
// backend runs.
//
// Keys are those of package vitrine alone; every method that takes one refuses
// others. A prefix is any string: what no key can start with finds nothing. A
// cancelled context ends a call with its error, and a stream with its next read.
package storage

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// ErrIntegrity says that a body was not the bytes that its declared size or
// SHA-256 describe.
var ErrIntegrity = errors.New("bytes differ from their declared size or SHA-256")

// An Object is what a listing tells of a stored object.
type Object struct {
	Key     string
	Size    int64     // bytes
	ModTime time.Time // when it was stored, by the store's clock
}

// CreateOptions describe the body given to [Writer.Create].
type CreateOptions struct {
	Size   int64    // bytes; a body of another length is refused
	SHA256 [32]byte // of the body; another body is refused
	// MediaType is what the store serves the object as, if it serves it at all.
	// Empty means application/octet-stream.
	MediaType string
}

// A Reader reads objects.
type Reader interface {
	// Open opens an object from its first byte.
	Open(ctx context.Context, key string) (io.ReadCloser, error)

	// OpenRange opens n bytes of an object from offset off; a negative n means
	// to the end. Where the object ends earlier, so does the stream. An offset
	// beyond the object's end is an error.
	OpenRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error)

	// Stat describes one object.
	Stat(ctx context.Context, key string) (Object, error)

	// List yields all objects whose key starts with prefix, in the order of
	// their keys' bytes. An object that was created before the call is in it.
	// The first error ends it.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]
}

// A Writer creates objects.
type Writer interface {
	// Create stores body whole or not at all, durably, and never over an
	// existing key. Where the key holds the same bytes already, it succeeds and
	// changes nothing; where it holds others, the error is fs.ErrExist. A body
	// that does not fit opts is ErrIntegrity and leaves nothing behind. A body
	// that is an io.Seeker may be read again from its start after a failure.
	Create(ctx context.Context, key string, body io.Reader, opts CreateOptions) error
}

// A Bucket is a place that holds one history.
type Bucket interface {
	Reader
	Writer

	// Delete removes an object. Removing what is not there is not an error.
	Delete(ctx context.Context, key string) error
}
