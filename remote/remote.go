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
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
)

// A Source opens ranges of one object, always of the same version of it: where it
// has changed meanwhile, that is an error that wraps [ErrChanged].
//
// A source whose ranges take more than one request each may tell how many there
// were, by a method Requests() int.
type Source interface {
	OpenRange(ctx context.Context, off, n int64) (io.ReadCloser, error)
}

// ErrChanged says that an object is not the one any more of which parts were read.
var ErrChanged = errors.New("the object has changed underneath")

const (
	// blockSize is what is fetched and kept of an object at least. A part of it
	// costs up to two blocks more than it has, so they are small.
	blockSize = 16 << 10
	// near is how much that is there already is fetched again to spare a request.
	near = 64 << 10
	// minAhead and maxPiece bound what is fetched at once ahead of a reader.
	minAhead = 256 << 10
	maxPiece = 8 << 20
	// maxMemory is what a File keeps in memory, beside what is being fetched.
	maxMemory = 32 << 20
)

// Options say how an object is read.
type Options struct {
	Head  int64  // bytes fetched at once when the first is read
	Tail  int64  // bytes fetched at once when the last is read
	Cache *Cache // what is fetched is kept there; may be nil
	Name  string // of the object in the cache: the hash that its bytes must have
}

// A File is an object read by parts. It is safe for concurrent use.
type File struct {
	src        Source
	size       int64
	head, tail int64 // as in Options; 0 once it was asked for
	ctx        context.Context
	cancel     context.CancelCauseFunc
	tasks      sync.WaitGroup // that fetch

	mu       sync.Mutex
	blocks   map[int64]*block // those that are there, and those being fetched
	kept     list.List        // numbers of those that are there, the last read first
	runs     [4]run           // the last used first
	requests int
	bytes    int64
	closed   bool
}

// A block is a piece of the object. When ready is closed it has its bytes or why
// it has none.
type block struct {
	ready chan struct{}
	data  []byte
	err   error
	place *list.Element // in kept
}

// Open returns the object of a source, which has size bytes. Nothing is fetched
// yet. When ctx ends so do all reads.
func Open(ctx context.Context, src Source, size int64, o Options) *File {
	ctx, cancel := context.WithCancelCause(ctx)
	return &File{
		src: src, size: size, head: min(o.Head, maxPiece), tail: min(o.Tail, maxPiece),
		ctx: ctx, cancel: cancel, blocks: make(map[int64]*block),
	}
}

// Size is the number of bytes.
func (f *File) Size() int64 { return f.size }

// ReadAt is that of [io.ReaderAt].
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case off < 0:
		return 0, fmt.Errorf("read at %d: want an offset from 0 on", off)
	case len(p) == 0:
		return 0, nil
	case off >= f.size:
		return 0, io.EOF
	}
	n, end := 0, min(int64(len(p)), f.size-off)
	for int64(n) < end {
		m, err := f.read(p[n:min(end, int64(n)+maxPiece)], off+int64(n))
		n += m
		if err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// read fills p, which the object has bytes for.
func (f *File) read(p []byte, off int64) (n int, err error) {
	skip := int(off % blockSize)
	blocks, err := f.want(off, off+int64(len(p)), true)
	if err != nil {
		return 0, err
	}
	for _, b := range blocks {
		select {
		case <-b.ready:
		case <-f.ctx.Done():
			return n, context.Cause(f.ctx)
		}
		if b.err != nil {
			return n, b.err
		}
		n += copy(p[n:], b.data[skip:])
		skip = 0
	}
	return n, nil
}

// Prefetch has a part fetched that will be read soon; it does not wait for it.
// Of a long part that is its beginning.
func (f *File) Prefetch(off, n int64) {
	if off >= 0 && n > 0 && off < f.size {
		f.want(off, off+min(n, f.size-off, maxPiece), false)
	}
}

// want returns the blocks from off to end, and has those fetched that nobody has
// fetched yet, and what else lies there and will be wanted.
func (f *File) want(off, end int64, read bool) ([]*block, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, fs.ErrClosed
	} else if f.ctx.Err() != nil {
		return nil, context.Cause(f.ctx)
	}
	from, to := f.widen(off, end)
	if read {
		to = max(to, f.ahead(off, end))
	}
	wanted := make([]*block, 0, (end-1)/blockSize-off/blockSize+1)
	var missing []*block // what one request brings; nil for what is there already
	var first int64      // number of the first of them
	for i := from / blockSize; i*blockSize < to; i++ {
		b := f.blocks[i]
		if b == nil {
			b = &block{ready: make(chan struct{})}
			f.blocks[i] = b
			if hole := i - first - int64(len(missing)); len(missing) > 0 && hole <= near/blockSize {
				missing = append(missing, make([]*block, hole)...)
			} else {
				f.start(first, missing)
				first, missing = i, nil
			}
			missing = append(missing, b)
		} else if b.place != nil {
			f.kept.MoveToFront(b.place)
		}
		if i >= off/blockSize && i*blockSize < end {
			wanted = append(wanted, b)
		}
	}
	f.start(first, missing)
	return wanted, nil
}

// widen adds the beginning or the end of the object to a part that touches it for
// the first time, or all of it where little lies between them.
func (f *File) widen(off, end int64) (from, to int64) {
	from, to = off, end
	begins, ends := off < f.head, end > f.size-f.tail
	if (begins || ends) && f.head+f.tail+near >= f.size {
		begins, ends = true, true
		to = f.size
	}
	if begins {
		from, to, f.head = 0, max(to, min(f.head, f.size)), 0
	}
	if ends {
		from, to, f.tail = min(from, max(0, f.size-f.tail)), f.size, 0
	}
	return from, to
}

// start has blocks fetched, if there are any. The caller holds mu.
func (f *File) start(first int64, blocks []*block) {
	if len(blocks) > 0 {
		f.tasks.Go(func() { f.fetch(first, blocks) })
	}
}

// fetch fetches blocks by one request, from the first on.
func (f *File) fetch(first int64, blocks []*block) {
	off := first * blockSize
	end := min(off+int64(len(blocks))*blockSize, f.size)
	f.count(1, 0)
	r, err := f.src.OpenRange(f.ctx, off, end-off)
	if err == nil {
		defer r.Close()
	}
	for err == nil && len(blocks) > 0 {
		var n int
		data := make([]byte, min(blockSize, end-off))
		n, err = io.ReadFull(r, data)
		off += int64(n)
		f.count(0, n)
		if err == nil {
			f.settle(first, blocks[:1], data, nil)
			first, blocks = first+1, blocks[1:]
		}
	}
	switch {
	case err == nil:
		return
	case f.ctx.Err() != nil:
		err = context.Cause(f.ctx)
	case errors.Is(err, io.EOF) || err == io.ErrUnexpectedEOF:
		err = fmt.Errorf("the object breaks off at byte %d of %d: %w", off, f.size, io.ErrUnexpectedEOF)
	}
	f.settle(first, blocks, nil, err)
}

func (f *File) count(requests, bytes int) {
	f.mu.Lock()
	f.requests += requests
	f.bytes += int64(bytes)
	f.mu.Unlock()
}

// settle gives blocks, from the first on, their bytes, or why they have none: then
// whoever wants them next has them fetched again. A nil one was there already.
func (f *File) settle(first int64, blocks []*block, data []byte, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, b := range blocks {
		if b == nil {
			continue
		}
		b.data, b.err = data, err
		if err != nil {
			delete(f.blocks, first+int64(i))
		} else {
			b.place = f.kept.PushFront(first + int64(i))
		}
		close(b.ready)
	}
	for f.kept.Len() > maxMemory/blockSize {
		delete(f.blocks, f.kept.Remove(f.kept.Back()).(int64))
	}
}

// Fetched is how many requests were made, and how many bytes came of them.
func (f *File) Fetched() (requests int, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if src, ok := f.src.(interface{ Requests() int }); ok {
		return src.Requests(), f.bytes
	}
	return f.requests, f.bytes
}

// Close ends what goes on in the background, and all reads.
func (f *File) Close() error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel(fs.ErrClosed)
	f.tasks.Wait()
	return nil
}
