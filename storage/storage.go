// Package storage keeps the objects of a history: sealed and public artifacts,
// and the signed records that name them.
//
// Object storage is the truth; everything else can be rebuilt from it. So an
// object is written once, appears whole or not at all, and is never replaced.
// This package must never look into an object: it moves bytes that it can't read.
//
// A missing object is [fs.ErrNotExist], an existing one [fs.ErrExist], bytes
// that are not what their hash or size says are [ErrIntegrity], a store that can't
// be reached or can't do its work now is [ErrUnavailable]. Every promise
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

	"vitrine"
)

// ErrIntegrity says that a body was not the bytes that its declared size or
// SHA-256 describe.
var ErrIntegrity = errors.New("bytes differ from their declared size or SHA-256")

// ErrUnavailable says that a store does not answer, or answers that it can't
// now: the same call may succeed later, or on another store.
var ErrUnavailable = errors.New("the store is not available")

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
	// Expires is when the store itself may remove the object, if it can do such a
	// thing; zero means never. See [Expirer].
	Expires time.Time
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
	//
	// Memory does not grow with the body: what is large goes in parts, several at
	// once, each tried again by itself.
	Create(ctx context.Context, key string, body io.Reader, opts CreateOptions) error

	// PutPart stores one part of the object that shall be at key, whole or not at
	// all. Parts come in any order and several at once; one that comes again
	// takes the place of the earlier. They are no objects: no listing has them.
	// A body that is not the part is ErrIntegrity.
	PutPart(ctx context.Context, key string, part vitrine.Part, body io.Reader) error

	// Complete makes the object at key of its parts, as Create would of their
	// bytes, and then the parts are gone. Parts that are not there, or are other
	// bytes, are ErrIntegrity, and nothing is made. The SHA-256 of opts can't be
	// checked here; zero says that nobody knows it.
	Complete(ctx context.Context, key string, parts []vitrine.Part, opts CreateOptions) error
}

// An Upload is an object of which parts are stored and that is not complete.
type Upload struct {
	Key     string
	ModTime time.Time // when it began or last grew
}

// A Bucket is a place that holds one history.
type Bucket interface {
	Reader
	Writer

	// Delete removes an object. Removing what is not there is not an error.
	Delete(ctx context.Context, key string) error

	// Uploads yields the objects whose key starts with prefix and of which parts
	// are stored, in no order.
	Uploads(ctx context.Context, prefix string) iter.Seq2[Upload, error]

	// Parts returns the parts that are stored for key, by number, as Complete of
	// this bucket takes them: a hash that it does not need may be empty. No parts
	// are no error.
	Parts(ctx context.Context, key string) ([]vitrine.Part, error)

	// Abort removes the parts that are stored for key, if there are any.
	Abort(ctx context.Context, key string) error
}

// A Request is an HTTP request that somebody without the bucket's credentials
// may send. Its URL is a secret until it ends: it must not get into a log.
type Request struct {
	Method string
	URL    string
	Header map[string]string // to be sent with it
}

// A Signer is a bucket that lets others reach into it for a while.
type Signer interface {
	// SignPart returns the request that stores one part, good until a time. As
	// far as the store can tell, only the very bytes of the part are taken. Once
	// the object is complete, or aborted, the request changes nothing.
	SignPart(ctx context.Context, key string, part vitrine.Part, until time.Time) (Request, error)

	// SignOpen returns the URL of an object, good until a time, that is answered
	// with an attachment of media type application/octet-stream by that file
	// name. It takes ranges. Of a bucket that everybody may read it is the public
	// URL.
	SignOpen(ctx context.Context, key, filename string, until time.Time) (string, error)
}

// An Expirer is a bucket whose store removes objects by itself.
type Expirer interface {
	// Expire sets when the store may remove an object that is there; zero means
	// never.
	Expire(ctx context.Context, key string, at time.Time) error
}
