package view

import (
	"context"
	"sync"

	"vitrine/lines"
)

// An artifact is one that was opened, or can be.
type artifact struct {
	Artifact
	server *Server

	mu     sync.Mutex
	opened *opening // that goes on or went well; nil if there is none
}

// An opening goes on until done is closed.
type opening struct {
	done    chan struct{}
	log     *lines.Log
	counted chan struct{} // closed when the number of lines is known, or can't be
	err     error
}

// open opens the artifact once, however many ask for it. Who doesn't wait for it
// any more doesn't end it for others.
func (a *artifact) open(ctx context.Context) (*opening, error) {
	a.mu.Lock()
	if a.opened == nil {
		a.opened = &opening{done: make(chan struct{}), counted: make(chan struct{})}
		go a.start(a.opened)
	}
	o := a.opened
	a.mu.Unlock()
	select {
	case <-o.done:
		return o, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// start opens the log, and then has its lines counted if it doesn't know them.
func (a *artifact) start(o *opening) {
	defer close(o.counted)
	o.log, o.err = a.Open(a.server.ctx)
	if o.err != nil {
		a.mu.Lock()
		a.opened = nil // the next to ask tries again
		a.mu.Unlock()
	}
	close(o.done)
	if o.err != nil {
		return
	}
	if _, ok := o.log.Known(); !ok {
		o.log.Count(a.server.ctx) // it remembers; if it can't be read, who reads on is told why
	}
}
