package crypto

import (
	"sync"
	"time"
)

// large reports whether a frame is larger than any that Seal writes.
func (f dataFrame) large() bool { return f.plain > frameSize || f.packed > frameSize+frameSize/8 }

// theLarge is the one large frame that all who read at random have open at a time, so
// that memory does not grow with how many logs of such frames are read at once.
var theLarge = largeFrame{freed: make(chan struct{}, 1)}

// A largeFrame is had by who reads it until its end is read, or until it was left
// alone for a while: nobody holds it between two reads, so that nobody can wait for
// ever, and what was taken away is opened again.
type largeFrame struct {
	mu    sync.Mutex
	of    *ReaderAt // nil: none is open
	index int
	used  time.Time     // zero if it was read to its end
	freed chan struct{} // receives when it was
	frame packedFrame
}

// leftAlone is how long a frame is kept for who does not read on; longer in tests,
// which may have to wait for a core.
var leftAlone = 50 * time.Millisecond

// read copies from the plaintext of a frame what there is from off on.
func (l *largeFrame) read(p []byte, r *ReaderAt, index int, off int64) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.of != r || l.index != index {
		if wait := leftAlone - time.Since(l.used); l.of != nil && wait > 0 {
			l.mu.Unlock()
			select {
			case <-l.freed:
			case <-time.After(wait):
			}
			l.mu.Lock()
			continue
		}
		if l.of = nil; l.open(r, index) != nil {
			return 0, l.frame.err
		}
		l.of, l.index = r, index
	}
	n := copy(p, l.frame.plain[off:])
	l.used = time.Now()
	if off+int64(n) == int64(len(l.frame.plain)) {
		l.used = time.Time{}
		select {
		case l.freed <- struct{}{}:
		default:
		}
	}
	return n, nil
}

func (l *largeFrame) open(r *ReaderAt, index int) error {
	f := &l.frame
	f.err = r.load(f, index, func(p []byte, off int64) error {
		for len(p) > 0 { // what is sealed, and what the source takes, is held a piece at a time
			n := min(len(p), heldAhead)
			if err := r.stream.read(p[:n], off); err != nil {
				return err
			}
			p, off = p[n:], off+int64(n)
		}
		return nil
	})
	if f.err == nil {
		r.decompress(f)
	}
	return f.err
}
