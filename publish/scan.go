package publish

import (
	"regexp"

	"vitrine/summary"
)

const (
	scanSize   = 64 << 10 // bytes that are handed to the scanner at a time
	scanBehind = 8        // times scanSize that it may be behind
)

// A scan makes the summary of a log in a goroutine of its own, beside the sealing.
// What it holds of the plaintext is in memory alone, and bounded: a writer that is
// too far ahead waits. A log of less than scanSize needs no goroutine.
type scan struct {
	scanner *summary.Scanner
	part    []byte      // what is not handed over yet
	queue   chan []byte // nil until there is a goroutine
	free    chan []byte // of the goroutine, to be written to again
	done    chan struct{}
}

func newScan(path string, patterns []*regexp.Regexp) *scan {
	return &scan{scanner: summary.NewScanner(path, patterns)}
}

// Write takes the next bytes of the log. It never fails.
func (s *scan) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := min(len(p), scanSize-len(s.part))
		s.part = append(s.part, p[:k]...)
		p = p[k:]
		if len(s.part) == scanSize {
			s.hand()
		}
	}
	return n, nil
}

// hand gives the part to the goroutine, and takes a free one for what comes.
func (s *scan) hand() {
	if s.queue == nil {
		s.queue, s.free, s.done = make(chan []byte, scanBehind), make(chan []byte, scanBehind), make(chan struct{})
		for range scanBehind - 1 { // and the one that is full
			s.free <- nil
		}
		go func() {
			defer close(s.done)
			for part := range s.queue {
				s.scanner.Write(part)
				s.free <- part[:0]
			}
		}()
	}
	s.queue <- s.part
	if s.part = <-s.free; s.part == nil {
		s.part = make([]byte, 0, scanSize)
	}
}

// end waits until all that was written is scanned. After it nothing may be written.
func (s *scan) end() {
	if s.queue != nil {
		close(s.queue)
		<-s.done
		s.queue = nil
	}
	s.scanner.Write(s.part)
	s.part = nil
}
