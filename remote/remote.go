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
	"slices"
	"sync"
	"sync/atomic"
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
	// Of all Files that are open together, these are shared out evenly.
	allPieces = 4 * maxPiece
	allMemory = 2 * maxMemory
)

// open is how many Files are.
var open atomic.Int64

// share is what each open File may have of a number of bytes for all.
func share(all, least, most int64) int64 {
	return min(max(all/max(1, open.Load()), least), most)
}

// piece is what is fetched at once ahead of a reader, and memory what a File keeps:
// with many of them the least that a reader in order needs. What lies behind it was
// read the longest ago, and goes first.
func piece() int64  { return share(allPieces, minAhead, maxPiece) }
func memory() int64 { return share(allMemory, 4*minAhead, maxMemory) }

// Options say how an object is read.
type Options struct {
	Head  int64  // bytes fetched at once when the first is read
	Tail  int64  // bytes fetched at once when the last is read
	Cache *Cache // what is fetched is kept there; may be nil
	Name  string // of the object in the cache: the SHA-256 that its bytes must have, in hex
	From  string // where it lies; in the cache the object there is another than one elsewhere
}

// A File is an object read by parts. It is safe for concurrent use.
type File struct {
	src        Source
	size       int64
	options    Options
	head, tail int64 // as in Options; 0 once it was asked for
	ctx        context.Context
	cancel     context.CancelCauseFunc
	tasks      sync.WaitGroup // that fetch

	cacheOnce sync.Once // when something is wanted for the first time
	cache     *entry    // nil if there is none
	cacheErr  error

	mu       sync.Mutex
	blocks   map[int64]*block // those that are there, and those being fetched
	kept     list.List        // those that are there, the last read first
	runs     [4]run           // the last used first
	requests int
	bytes    int64
	ended    error // why no more is read
	closed   bool
	wrong    bool // the cache is to forget the object
}

// A block is a piece of the object. When ready is closed it has its bytes or why
// it has none.
type block struct {
	n     int64
	ready chan struct{}
	data  []byte
	err   error
	place *list.Element // in kept
}

// Open returns the object of a source, which has size bytes. Nothing is fetched
// yet. When ctx ends so do all reads.
func Open(ctx context.Context, src Source, size int64, o Options) *File {
	ctx, cancel := context.WithCancelCause(ctx)
	open.Add(1)
	return &File{
		src: src, size: size, options: o, head: min(o.Head, maxPiece), tail: min(o.Tail, maxPiece),
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
		f.want(off, off+min(n, f.size-off, piece()), false)
	}
}

// want returns the blocks from off to end, and has those fetched that nobody has
// fetched yet, and what else lies there and will be wanted.
func (f *File) want(off, end int64, read bool) ([]*block, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended != nil {
		return nil, f.ended
	} else if f.ctx.Err() != nil {
		return nil, context.Cause(f.ctx)
	}
	from, to := f.widen(off, end)
	if read {
		to = max(to, f.ahead(off, end))
	}
	wanted := make([]*block, 0, (end-1)/blockSize-off/blockSize+1)
	var missing []*block
	for n := from / blockSize; n*blockSize < to; n++ {
		b := f.blocks[n]
		if b == nil {
			b = &block{n: n, ready: make(chan struct{})}
			f.blocks[n] = b
			missing = append(missing, b)
		} else if b.place != nil {
			f.kept.MoveToFront(b.place)
		}
		if n >= off/blockSize && n*blockSize < end {
			wanted = append(wanted, b)
		}
	}
	if len(missing) > 0 {
		f.tasks.Go(func() { f.bring(missing) })
	}
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

// bring reads blocks, which are in order, from the cache, and fetches the others.
func (f *File) bring(blocks []*block) {
	f.cacheOnce.Do(func() { f.cache, f.cacheErr = f.options.Cache.open(f.ctx, f.options, f.size) })
	if f.cacheErr != nil {
		f.end(f.cacheErr)
		f.settle(f.cacheErr, blocks...)
		return
	}
	if f.cache != nil {
		blocks = slices.DeleteFunc(blocks, func(b *block) bool {
			b.data = f.cache.read(b.n)
			if b.data != nil {
				f.settle(nil, b)
			}
			return b.data != nil
		})
	}
	for len(blocks) > 0 {
		i := 1
		for i < len(blocks) && (blocks[i].n-blocks[i-1].n-1)*blockSize <= near {
			i++
		}
		together := blocks[:i]
		f.tasks.Go(func() { f.fetch(together) })
		blocks = blocks[i:]
	}
}

// fetch fetches blocks by one request, with what lies between them.
func (f *File) fetch(blocks []*block) {
	n := blocks[0].n
	off, end := n*blockSize, min((blocks[len(blocks)-1].n+1)*blockSize, f.size)
	f.count(1, 0)
	r, err := f.src.OpenRange(f.ctx, off, end-off)
	if err == nil {
		defer r.Close()
	}
	for ; err == nil && off < end; n++ {
		var read int
		data := make([]byte, min(blockSize, end-off))
		read, err = io.ReadFull(r, data)
		off += int64(read)
		f.count(0, read)
		if err != nil || n != blocks[0].n {
			continue
		}
		if f.cache != nil {
			if err = f.cache.write(f.ctx, n, data); err != nil {
				f.end(err)
				break
			}
		}
		blocks[0].data = data
		f.settle(nil, blocks[0])
		blocks = blocks[1:]
	}
	switch {
	case err == nil:
		return
	case f.ctx.Err() != nil:
		err = context.Cause(f.ctx)
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		err = fmt.Errorf("the object breaks off at byte %d of %d: %w", off, f.size, io.ErrUnexpectedEOF)
	}
	if errors.Is(err, ErrChanged) {
		f.end(err) // what is in memory is of another object than what would come
	}
	f.settle(err, blocks...)
}

func (f *File) count(requests, bytes int) {
	f.mu.Lock()
	f.requests += requests
	f.bytes += int64(bytes)
	f.mu.Unlock()
}

// end has all later reads fail.
func (f *File) end(err error) {
	f.mu.Lock()
	f.ended = err
	f.mu.Unlock()
}

// settle says of blocks that they are there, or why not: then whoever wants them
// next has them fetched again.
func (f *File) settle(err error, blocks ...*block) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range blocks {
		b.err = err
		if err != nil {
			delete(f.blocks, b.n)
		} else {
			b.place = f.kept.PushFront(b)
		}
		close(b.ready)
	}
	for most := int(memory() / blockSize); f.kept.Len() > most; {
		delete(f.blocks, f.kept.Remove(f.kept.Back()).(*block).n)
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

// Forget has the cache forget the object when the File is closed: what came is not
// what should have, and might be next time.
func (f *File) Forget() {
	f.mu.Lock()
	f.wrong = true
	f.mu.Unlock()
}

// Close ends what goes on in the background, and all reads.
func (f *File) Close() error {
	f.end(fs.ErrClosed)
	f.cancel(fs.ErrClosed)
	f.tasks.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		open.Add(-1)
	}
	if f.cache != nil {
		if f.wrong {
			f.cache.cache.root.Remove(f.cache.name)
		}
		f.cache.close()
		f.cache = nil
	}
	return nil
}
