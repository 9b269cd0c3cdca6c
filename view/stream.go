package view

import (
	"bufio"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

const flushEvery = 100 * time.Millisecond

// A stream sends JSON values, one a line, and now and then how far it has come.
type stream struct {
	mu   sync.Mutex
	out  *bufio.Writer
	json *json.Encoder
	at   progress
	sent progress
	stop chan struct{}
	done sync.WaitGroup
}

// progress is how far a pass over a log has come.
type progress struct {
	At    int64  `json:"at"`              // bytes
	Line  int64  `json:"line,omitempty"`  // of a scan
	Count *int64 `json:"count,omitempty"` // of a search
}

// newStream begins the answer. It ends with close.
func newStream(w http.ResponseWriter) *stream {
	w.Header().Set("Content-Type", "application/x-ndjson")
	s := &stream{out: bufio.NewWriterSize(w, 32<<10), stop: make(chan struct{})}
	s.json = json.NewEncoder(s.out)
	flush := http.NewResponseController(w).Flush
	flush() // the page sees that it has begun
	s.done.Go(func() {
		tick := time.NewTicker(flushEvery)
		defer tick.Stop()
		for {
			select {
			case <-s.stop:
				return
			case <-tick.C:
			}
			s.mu.Lock()
			if s.at != s.sent {
				s.json.Encode(s.at)
				s.sent = s.at
			}
			s.out.Flush()
			flush()
			s.mu.Unlock()
		}
	})
	return s
}

func (s *stream) send(v any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.json.Encode(v)
}

func (s *stream) reach(p progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = p
}

// close ends the answer with v, or with what went wrong.
func (s *stream) close(v any, err error) {
	close(s.stop)
	s.done.Wait()
	if err != nil {
		v = failure{err.Error()}
	}
	s.json.Encode(v)
	s.out.Flush()
}
