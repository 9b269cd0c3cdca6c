package crypto

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
)

const (
	// heldAhead is about how much of a sealed file a reader in order reads at once.
	heldAhead = 1 << 20
	// What such a reader asks for ahead, of a source that can be asked: little at
	// first, since many stop after some lines, then twice as much each time.
	firstPrefetch = 256 << 10
	maxPrefetch   = 8 << 20
	// largePiece is how much is copied at once of a large frame.
	largePiece = 256 << 10
)

// allInFlight is what readers that begin while others read share, as maxInFlight is
// what one may have.
const allInFlight = 4 * maxInFlight

// readers is how many read now.
var readers atomic.Int64

// A prefetcher is a source that can be told what will be read soon.
type prefetcher interface{ Prefetch(off, n int64) }

// NewReader reads n bytes from off on, with frames ahead of what was read being
// fetched and opened side by side. Close ends that. It implements [io.WriterTo],
// the fastest way.
func (r *ReaderAt) NewReader(off, n int64) io.ReadCloser {
	if off < 0 || n < 0 {
		return &aheadReader{err: fmt.Errorf("open: read %d bytes at %d", n, off)}
	}
	off = min(off, r.size)
	n = min(n, r.size-off)
	return &aheadReader{r: r, off: off, left: n}
}

// An aheadReader has frames read and decrypted in one goroutine, which starts
// with the first Read, and decompressed in others.
type aheadReader struct {
	r     *ReaderAt
	off   int64             // of the next byte
	left  int64             // bytes to come
	queue chan *packedFrame // frames in order, some still being decompressed; nil before the first Read
	spare chan *packedFrame // to be used again
	stop  chan struct{}     // closed when no more are wanted
	frame *packedFrame      // whose plaintext is being read
	rest  []byte            // of it
	piece []byte            // of its plaintext, if it is large
	err   error
}

// start begins to read ahead.
func (a *aheadReader) start() {
	// Only as many as make maxInFlight, and fewer where others read too: they keep the
	// cores busy together.
	most := min(maxInFlight, allInFlight/readers.Add(1))
	depth := min(2*int64(parallel()), max(1, most/max(1, a.r.largest)))
	a.queue = make(chan *packedFrame, depth)
	a.spare = make(chan *packedFrame, depth+3)
	a.stop = make(chan struct{})
	l := loader{r: a.r, queue: a.queue, spare: a.spare, stop: a.stop}
	go l.run(a.r.frameAt(a.off), a.r.frameAt(a.off+a.left-1))
}

// more makes sure that there is plaintext in rest, unless there is none or an error.
func (a *aheadReader) more() bool {
	if a.err == nil && a.left == 0 {
		a.err = io.EOF
	}
	if a.err != nil || len(a.rest) > 0 {
		return a.err == nil
	}
	if a.queue == nil {
		a.start()
	}
	if a.frame == nil || a.off == a.frame.off+int64(a.frame.size) {
		if a.frame != nil {
			a.spare <- a.frame // there is room for all
		}
		a.frame = <-a.queue
		<-a.frame.done
	}
	switch {
	case a.frame.err != nil:
		a.err = a.frame.err
		return false
	case a.frame.large:
		return a.moreOfLarge()
	}
	a.rest = a.frame.plain[a.off-a.frame.off:]
	a.rest = a.rest[:min(int64(len(a.rest)), a.left)]
	return true
}

// moreOfLarge is more of a large frame, which is not opened ahead.
func (a *aheadReader) moreOfLarge() bool {
	if a.piece == nil {
		a.piece = make([]byte, largePiece)
	}
	n := min(largePiece, a.left, a.frame.off+int64(a.frame.size)-a.off)
	_, a.err = a.r.ReadAt(a.piece[:n], a.off)
	a.rest = a.piece[:n]
	return a.err == nil
}

func (a *aheadReader) took(n int) {
	a.rest = a.rest[n:]
	a.off += int64(n)
	a.left -= int64(n)
}

func (a *aheadReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if !a.more() {
		return 0, a.err
	}
	n := copy(p, a.rest)
	a.took(n)
	return n, nil
}

func (a *aheadReader) WriteTo(w io.Writer) (n int64, err error) {
	for a.more() {
		c, err := w.Write(a.rest)
		n += int64(c)
		a.took(c)
		if err != nil {
			return n, err
		}
	}
	if a.err == io.EOF {
		return n, nil
	}
	return n, a.err
}

// Close ends the reading ahead, and waits for what is underway.
func (a *aheadReader) Close() error {
	if a.stop != nil {
		close(a.stop)
		for f := range a.queue {
			<-f.done
		}
		a.stop = nil
		readers.Add(-1)
	}
	a.frame, a.rest, a.piece, a.err = nil, nil, nil, errors.New("open: reader is closed")
	return nil
}

// A loader reads and decrypts frames in order for an aheadReader.
type loader struct {
	r       *ReaderAt
	queue   chan<- *packedFrame
	spare   <-chan *packedFrame
	stop    <-chan struct{}
	held    *sealedSpan
	asked   int64  // of the source, up to where it was asked ahead
	nextAsk int64  // how much it is asked for next
	plain   []byte // of the stream, where frames are small
	at      int64  // where that lies
}

// run loads the frames from first to last, until one fails or no more are wanted.
func (l *loader) run(first, last int) {
	defer close(l.queue)
	defer func() {
		if l.held != nil {
			l.r.stream.src.release(l.held)
		}
	}()
	for i := first; i <= last; i++ {
		var f *packedFrame
		select {
		case f = <-l.spare:
		default:
			f = &packedFrame{done: make(chan struct{}, 1)}
		}
		e := l.r.frames[i]
		large := e.large()
		var err error
		if !large {
			if err = l.hold(i, last); err == nil {
				err = l.r.load(f, i, l.decrypt)
			}
		}
		f.off, f.size, f.large, f.err = e.off, int(e.plain), large, err
		if large || err != nil {
			f.done <- struct{}{}
		}
		select {
		case l.queue <- f:
		case <-l.stop:
			return
		}
		if err != nil {
			return
		}
		if !large {
			go l.r.unpack(f)
		}
	}
}

// hold sees to it that frame i is held, with those after it.
func (l *loader) hold(i, last int) error {
	s := l.r.stream
	from, n := s.sealed(l.r.frames[i].at, int64(l.r.frames[i].packed))
	if l.held != nil && from+n <= l.held.off+int64(len(l.held.b)) {
		return nil
	}
	end := func(j int) int64 {
		from, n := s.sealed(l.r.frames[j].at, int64(l.r.frames[j].packed))
		return from + n
	}
	to := from + n
	for j := i + 1; j <= last && end(j)-from <= heldAhead; j++ {
		to = end(j)
	}
	l.prefetch(from, to, end(last))
	used := l.held
	if used != nil {
		s.src.release(used)
	}
	var err error
	l.held, err = s.src.hold(used, from, to-from)
	return err
}

// decrypt is that of the stream. age takes memory for a whole chunk each time it is
// asked, so of small frames all is decrypted that the chunks they end in hold.
func (l *loader) decrypt(p []byte, off int64) error {
	s, end := l.r.stream, off+int64(len(p))
	if len(p) >= chunkSize {
		return s.decrypt(p, off)
	}
	if off < l.at || end > l.at+int64(len(l.plain)) {
		n := min((end+chunkSize-1)/chunkSize*chunkSize, s.size) - off
		l.at, l.plain = off, slices.Grow(l.plain[:0], int(n))[:n]
		if err := s.decrypt(l.plain, off); err != nil {
			return err
		}
	}
	copy(p, l.plain[off-l.at:])
	return nil
}

// prefetch asks the source for what comes after to, up to end, so that some of it
// is always on its way.
func (l *loader) prefetch(from, to, end int64) {
	src, ok := l.r.stream.src.src.(prefetcher)
	if !ok {
		return
	}
	if l.nextAsk == 0 {
		l.nextAsk = max(firstPrefetch, to-from)
	}
	l.asked = max(l.asked, from) // what lies between two frames nobody reads
	for l.asked < end && l.asked < to+l.nextAsk/2 {
		n := min(l.nextAsk, end-l.asked)
		src.Prefetch(l.asked, n)
		l.asked += n
		l.nextAsk = min(2*l.nextAsk, maxPrefetch)
	}
}
