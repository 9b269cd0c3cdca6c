// Package lines finds lines in a log of any size without reading all of it: by
// number from either end, by byte, by pattern.
//
// A line ends with a line feed, or with the log. Lines are counted from 1. It
// must hold memory for a piece of a log at a time, however long the log or a
// line of it is, and it never changes a byte.
package lines

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
)

const (
	// pieceSize is how many bytes of a log are looked at at a time.
	pieceSize = 128 << 10
	// maxBackwards is how many are at the most on the way from the end: each piece
	// is twice as large as the one before, as nothing reads ahead there.
	maxBackwards = 4 << 20
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
type Log struct {
	src    Source
	marked Marked // nil if the source knows no places
	seen   marks  // what was learned of one that does not

	mu     sync.Mutex // held while the last byte is looked at
	looked bool
	noFeed bool // it is no line feed, so that the last line has none
}

// New returns the log of a source.
func New(src Source) *Log {
	l := &Log{src: src}
	if m, ok := src.(Marked); ok {
		if _, ok := m.Lines(); ok {
			l.marked = m
		}
	}
	return l
}

// Size is the number of bytes.
func (l *Log) Size() int64 { return l.src.Size() }

// ReadAt is that of the source.
func (l *Log) ReadAt(p []byte, off int64) (int, error) { return l.src.ReadAt(p, off) }

// NewReader reads n bytes from off on, ahead if the source can.
func (l *Log) NewReader(off, n int64) io.ReadCloser {
	if ahead, ok := l.src.(interface {
		NewReader(off, n int64) io.ReadCloser
	}); ok {
		return ahead.NewReader(off, n)
	}
	return io.NopCloser(io.NewSectionReader(l.src, off, n))
}

// Count is the number of lines, a last one without its line feed included. If
// the source does not know it, all is read once.
func (l *Log) Count(ctx context.Context) (int64, error) {
	feeds, err := l.feedsBefore(ctx, l.Size())
	if err != nil {
		return 0, err
	}
	return l.plusLast(ctx, feeds)
}

// plusLast adds the last line to a number of line feeds, if it ends without one.
func (l *Log) plusLast(ctx context.Context, feeds int64) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.looked && l.Size() > 0 {
		var last [1]byte
		if err := readFull(l.src, last[:], l.Size()-1); err != nil {
			return 0, err
		}
		l.noFeed = last[0] != '\n'
	}
	l.looked = true
	if l.noFeed {
		feeds++
	}
	return feeds, nil
}

// Known is Count if it is known without reading much.
func (l *Log) Known() (n int64, ok bool) {
	var feeds int64
	if l.marked != nil {
		feeds, _ = l.marked.Lines()
	} else if at, seen := l.seen.before(l.Size()); at == l.Size() {
		feeds = seen
	} else {
		return 0, false
	}
	n, err := l.plusLast(context.Background(), feeds)
	return n, err == nil
}

// Offset is where line n begins; the size of the log if there are fewer lines.
func (l *Log) Offset(ctx context.Context, n int64) (int64, error) {
	if n <= 1 {
		return 0, nil
	}
	feed := n - 1 // the line feed that it begins behind
	off, before := l.seen.beforeFeed(feed)
	if l.marked != nil {
		if all, _ := l.marked.Lines(); feed > all {
			return l.Size(), nil
		}
		off, before = l.marked.BeforeLine(feed - 1)
	}
	at := l.Size()
	_, err := l.scan(ctx, off, before, l.Size(), func(piece []byte, off, before, after int64) bool {
		if after < feed {
			return true
		}
		at = off + int64(nthFeed(piece, feed-before)) + 1
		return false
	})
	return at, err
}

// nthFeed is where the nth line feed of b is, of which there are at least n.
func nthFeed(b []byte, n int64) int {
	at := -1
	for ; n > 0; n-- {
		at += bytes.IndexByte(b[at+1:], '\n') + 1
	}
	return at
}

// Number is that of the line that holds the byte at off; at the end of the log or
// beyond, that of its last line.
func (l *Log) Number(ctx context.Context, off int64) (int64, error) {
	if off >= l.Size() {
		n, err := l.Count(ctx)
		return max(n, 1), err
	}
	feeds, err := l.feedsBefore(ctx, max(off, 0))
	return feeds + 1, err
}

// feedsBefore returns how many line feeds are before off, which is not beyond the
// end.
func (l *Log) feedsBefore(ctx context.Context, off int64) (int64, error) {
	at, feeds := l.seen.before(off)
	if l.marked != nil {
		at, feeds = l.marked.Before(off)
	}
	return l.scan(ctx, at, feeds, off, func([]byte, int64, int64, int64) bool { return true })
}

// scan reads the log from one place, which has so many line feeds before it, to
// another, and returns how many that one has. It calls each for the pieces, with
// where a piece begins and how many line feeds there are before and after it, until
// each returns false.
func (l *Log) scan(ctx context.Context, from, feeds, to int64, each func(piece []byte, off, before, after int64) bool) (int64, error) {
	if from >= to {
		return feeds, ctx.Err()
	}
	// A source that knows its places keeps what lies between two of them; to read
	// ahead would be to read beyond.
	in := io.ReadCloser(io.NopCloser(io.NewSectionReader(l.src, from, to-from)))
	if l.marked == nil {
		in = l.NewReader(from, to-from)
	}
	defer in.Close()
	buf := make([]byte, min(pieceSize, to-from))
	for from < to {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		piece := buf[:min(pieceSize, to-from)]
		if _, err := io.ReadFull(in, piece); err != nil {
			return 0, unexpected(err)
		}
		before := feeds
		feeds += int64(bytes.Count(piece, []byte{'\n'}))
		if !each(piece, from, before, feeds) {
			break
		}
		from += int64(len(piece))
		if l.marked == nil {
			l.seen.add(from, feeds, l.Size())
		}
	}
	return feeds, nil
}

// Last is where the last n lines begin. It reads from the end.
func (l *Log) Last(ctx context.Context, n int64) (int64, error) {
	end := l.Size()
	if n <= 0 {
		return end, nil
	}
	if all, ok := l.Known(); ok && l.marked != nil {
		if n >= all {
			return 0, ctx.Err()
		}
		return l.Offset(ctx, all-n+1)
	}
	// The line feed at the end of the log begins no line.
	feeds := int64(-1)
	var buf []byte
	size := int64(pieceSize)
	for to := end; to > 0; size = min(2*size, maxBackwards) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		from := max(0, to-size)
		buf = slices.Grow(buf[:0], int(to-from))
		piece := buf[:to-from]
		if err := readFull(l.src, piece, from); err != nil {
			return 0, err
		}
		if to == end && piece[len(piece)-1] != '\n' {
			feeds = 0
		}
		here := int64(bytes.Count(piece, []byte{'\n'}))
		if feeds+here >= n {
			return from + int64(nthFeed(piece, feeds+here-n+1)) + 1, nil
		}
		feeds += here
		to = from
	}
	return 0, ctx.Err()
}

func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	return unexpected(err)
}

// unexpected is the error of a source that ends before its size.
func unexpected(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
