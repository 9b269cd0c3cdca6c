package crypto

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// sealedSpans is a sealed file that age reads at random. age asks for one chunk
// at a time; a span that is held was read of src at once, and serves all the
// chunks in it.
type sealedSpans struct {
	src  io.ReaderAt
	size int64
	mu   sync.RWMutex
	held []*sealedSpan
}

// A sealedSpan is a piece of a sealed file, from off on.
type sealedSpan struct {
	off int64
	b   []byte
}

// A sourceError is an error of reading the sealed file, which says nothing about
// its bytes: an io.ErrUnexpectedEOF of the source is no end of them.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// ReadAt is that of [io.ReaderAt]. Its errors are a sourceError or [ErrTruncated].
func (s *sealedSpans) ReadAt(p []byte, off int64) (int, error) {
	s.mu.RLock()
	for _, h := range s.held {
		if h.off <= off && off+int64(len(p)) <= h.off+int64(len(h.b)) {
			n := copy(p, h.b[off-h.off:])
			s.mu.RUnlock()
			return n, nil
		}
	}
	s.mu.RUnlock()
	return s.read(p, off)
}

func (s *sealedSpans) read(p []byte, off int64) (int, error) {
	n, err := s.src.ReadAt(p, off)
	switch {
	case n == len(p):
		return n, nil
	case err == nil || err == io.EOF:
		return n, fmt.Errorf("%w: the file ends after %d of %d bytes", ErrTruncated, off+int64(n), s.size)
	}
	return n, &sourceError{err}
}

// hold reads a span and holds it until it is released. Its memory may be that of
// a span that was released, which may be nil.
func (s *sealedSpans) hold(used *sealedSpan, off, n int64) (*sealedSpan, error) {
	h := used
	if h == nil {
		h = new(sealedSpan)
	}
	if int64(cap(h.b)) < n {
		h.b = make([]byte, n)
	}
	h.off, h.b = off, h.b[:n]
	if _, err := s.ReadAt(h.b, off); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.held = append(s.held, h)
	s.mu.Unlock()
	return h, nil
}

func (s *sealedSpans) release(h *sealedSpan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = slices.DeleteFunc(s.held, func(held *sealedSpan) bool { return held == h })
}

// A stream is what age decrypts, at random: a zstd stream, or what was sealed as
// it is.
type stream struct {
	src   *sealedSpans
	age   io.ReaderAt
	start int64 // of the first chunk in src
	size  int64 // of the plaintext
}

// sealed is the piece of src whose chunks hold n bytes of the stream from off on.
func (s *stream) sealed(off, n int64) (from, size int64) {
	first, last := off/chunkSize, (off+n-1)/chunkSize
	from = s.start + first*sealedSize
	return from, min(s.start+(last+1)*sealedSize, s.src.size) - from
}

// read fills p from off on. src is asked once for all of it.
func (s *stream) read(p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	if off/chunkSize != (off+int64(len(p))-1)/chunkSize {
		from, n := s.sealed(off, int64(len(p)))
		h, err := s.src.hold(nil, from, n)
		if err != nil {
			return err
		}
		defer s.src.release(h)
	}
	return s.decrypt(p, off)
}

// decrypt fills p from off on, of chunks that are best held.
func (s *stream) decrypt(p []byte, off int64) error {
	_, err := s.age.ReadAt(p, off)
	if err == nil || err == io.EOF {
		return nil
	}
	var failed *sourceError
	switch {
	case errors.As(err, &failed):
		return failed
	case errors.Is(err, ErrCorrupt):
		return err
	}
	// age read all of it, so that a chunk did not authenticate.
	return fmt.Errorf("%w: %w", ErrAltered, err)
}
