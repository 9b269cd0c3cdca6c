// Package view shows the logs of a build in a browser on the reader's own machine.
//
// It serves plaintext, and so to nobody but the reader: it must listen on
// 127.0.0.1 alone, answer only below a random token, to its own Host and Origin,
// and load nothing from elsewhere. It must never write a file, say in a log what
// was asked for, or hold more than a piece of a log at a time.
package view

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"vitrine/grep"
	"vitrine/lines"
	"vitrine/ngram"
	"vitrine/summary"
)

// A Build is what is shown.
type Build struct {
	UUID, Job, Result, Page string    // Page is the address of its public page
	Start, End              time.Time // zero if unknown
	Project, Pipeline       string
	Change                  int64            // 0 if it was run for none
	Patchset                string           // of the change
	Artifacts               []Artifact       // the first is the one to begin with
	Summary                 *summary.Summary // may be nil
}

// An Artifact is a log of a build.
type Artifact struct {
	Path string // as people know it
	Size int64  // of the plaintext
	// Open opens it, when somebody looks at it for the first time; if that fails,
	// at the next time again. The context is that of the server, so the log may
	// be read with it as long as there is somebody to read it.
	Open func(context.Context) (*lines.Log, error)
	// MayHold returns the pieces of the opened log that can hold what a query asks
	// for, as crypto.ReaderAt does; nil if there is no index.
	MayHold func(ngram.Query) (spans []grep.Span, ok bool, err error)
}

// How long the server goes on without anybody who looks.
const (
	patience = 10 * time.Second // after somebody did: a page that is loaded anew is back in less
	arrival  = time.Minute      // after the page was loaded: it has its scripts to load, maybe on a busy machine
	// Unopened is how long it goes on if nobody comes: what it serves is plaintext.
	Unopened = 15 * time.Minute
)

// A Server shows one build.
type Server struct {
	http.Handler
	build     Build
	artifacts []*artifact
	ctx       context.Context // of all that is opened; ends with Close
	end       context.CancelFunc
	passes    chan struct{} // one for each pass over a log that goes on

	mu       sync.Mutex
	watchers int
	leaving  *time.Timer // runs while there are no watchers
	seen     chan struct{}
	gone     chan struct{}
}

// New makes a server for those who come to host (127.0.0.1:PORT). Path is where
// its page is; whoever knows it can read the logs.
func New(host string, b Build) (s *Server, path string, err error) {
	if ip, _, err := net.SplitHostPort(host); err != nil || ip != "127.0.0.1" {
		return nil, "", errors.New("a view is served on 127.0.0.1 alone, not on " + host)
	}
	random := make([]byte, 32)
	rand.Read(random)
	token := base64.RawURLEncoding.EncodeToString(random)
	s = &Server{build: b, passes: make(chan struct{}, 4), seen: make(chan struct{}), gone: make(chan struct{})}
	s.ctx, s.end = context.WithCancel(context.Background())
	s.leaving = time.AfterFunc(Unopened, s.leave)
	for _, a := range b.Artifacts {
		s.artifacts = append(s.artifacts, &artifact{Artifact: a, server: s})
	}
	s.Handler = guard(host, token, s.routes())
	return s, "/" + token + "/", nil
}

// Serve answers on l, which listens on the host that New was told, until ctx ends
// or nobody looks any more; then it closes the server.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer s.Close()
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // it would name addresses, and the token with them
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
	}
	go func() {
		select {
		case <-ctx.Done():
		case <-s.gone:
		case <-s.ctx.Done():
		}
		srv.Close()
	}()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends all that goes on in the background.
func (s *Server) Close() {
	s.leaving.Stop()
	s.end()
}

// Seen is closed when somebody comes to the page for the first time.
func (s *Server) Seen() <-chan struct{} { return s.seen }

// Gone is closed when nobody has looked for a while, or nobody came at all.
func (s *Server) Gone() <-chan struct{} { return s.gone }

// arrive counts somebody to whom the page was sent, and who may close it before it
// says that it is there.
func (s *Server) arrive() { s.look(0, arrival) }

// watch counts somebody who looks until the function it returns is called.
func (s *Server) watch() (leave func()) {
	s.look(1, 0)
	return func() { s.look(-1, patience) }
}

// look counts those who look, and how long there may be none.
func (s *Server) look(more int, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers += more
	select {
	case <-s.seen:
	default:
		close(s.seen)
	}
	if s.watchers > 0 {
		s.leaving.Stop()
	} else {
		s.leaving.Reset(wait)
	}
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watchers > 0 { // somebody came as the time was up
		return
	}
	select {
	case <-s.gone:
	default:
		close(s.gone)
	}
}
