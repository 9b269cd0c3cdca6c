// Package lines finds lines in a log of any size without reading all of it: by
// number from either end, by byte, by pattern.
//
// A line ends with a line feed, or with the log. Lines are counted from 1. It
// must hold memory for a piece of a log at a time, however long the log or a
// line of it is, and it never changes a byte.
package lines

import (
	"context"
	"errors"
	"io"
	"regexp"
)

// A Source is a log that can be read anywhere. One that also has the methods of
// [Marked] spares reading all that is before a line.
type Source interface {
	io.ReaderAt
	Size() int64 // bytes
}

// Marked is a source that knows how many line feeds are before some of its
// places, as crypto.ReaderAt does.
type Marked interface {
	Lines() (n int64, ok bool) // line feeds in all
	BeforeLine(n int64) (off, lines int64)
	Before(off int64) (at, lines int64)
}

// A Log is a source read by lines. It is safe for concurrent use if its source
// is.
type Log struct{ src Source }

// New returns the log of a source.
func New(src Source) *Log { return &Log{src} }

// Size is the number of bytes.
func (l *Log) Size() int64 { return l.src.Size() }

// ReadAt is that of the source.
func (l *Log) ReadAt(p []byte, off int64) (int, error) { return l.src.ReadAt(p, off) }

// NewReader reads n bytes from off on, ahead if the source can.
func (l *Log) NewReader(off, n int64) io.ReadCloser {
	return io.NopCloser(io.NewSectionReader(l.src, off, n))
}

// Count is the number of lines, a last one without its line feed included. If
// the source does not know it, all is read once.
func (l *Log) Count(ctx context.Context) (int64, error) { return 0, errors.ErrUnsupported }

// Known is Count if it is known without reading much.
func (l *Log) Known() (n int64, ok bool) { return 0, false }

// Offset is where line n begins; the size of the log if there are fewer lines.
func (l *Log) Offset(ctx context.Context, n int64) (int64, error) { return 0, errors.ErrUnsupported }

// Number is that of the line that holds the byte at off.
func (l *Log) Number(ctx context.Context, off int64) (int64, error) { return 0, errors.ErrUnsupported }

// Last is where the last n lines begin. It reads from the end.
func (l *Log) Last(ctx context.Context, n int64) (int64, error) { return 0, errors.ErrUnsupported }

// Find returns the number of the first line at or after line from that matches,
// and its offset; 0 if there is none. Of a line longer than a piece, pieces are
// held against the pattern.
func (l *Log) Find(ctx context.Context, from int64, re *regexp.Regexp) (n, off int64, err error) {
	return 0, 0, errors.ErrUnsupported
}
