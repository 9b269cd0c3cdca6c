package server

import (
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// words are when this process last heard of the builds that it lets in.
type words struct {
	mu     sync.Mutex
	builds map[string]*word
}

type word struct {
	last    time.Time
	open    int  // requests under way
	givenUp bool // it has to begin again before it is let in
}

// begun notes that a build has begun, or begun again.
func (w *words) begun(uuid string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	open := 0
	if b := w.builds[uuid]; b != nil {
		open = b.open
	}
	w.builds[uuid] = &word{last: time.Now(), open: open}
}

// hear notes a request of a build that lasts until done is called.
func (w *words) hear(uuid string) (done func()) {
	note := func(more int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		b := w.builds[uuid]
		if b == nil {
			b = &word{}
			w.builds[uuid] = b
		}
		b.last, b.open = time.Now(), b.open+more
	}
	note(1)
	return func() { note(-1) }
}

// silent are the builds of which nothing was heard for a time.
func (w *words) silent(since time.Time) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for uuid, b := range w.builds {
		if b.isSilent(since) {
			list = append(list, uuid)
		}
	}
	return list
}

func (b *word) isSilent(since time.Time) bool { return b.open == 0 && b.last.Before(since) }

// giveUp closes the door on a build, unless a word came meanwhile.
func (w *words) giveUp(uuid string, since time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.builds[uuid]
	if b == nil {
		b = &word{}
		w.builds[uuid] = b
	}
	if !b.isSilent(since) {
		return false
	}
	b.givenUp = true
	return true
}

func (w *words) isGivenUp(uuid string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.builds[uuid] != nil && w.builds[uuid].givenUp
}

// forget forgets a build, and with it that it was given up.
func (w *words) forget(uuid string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b := w.builds[uuid]; b != nil && b.open == 0 {
		delete(w.builds, uuid)
	}
}

// hear is around the requests that bring something of a build. Only one that is let
// in is a word of its publisher.
func (s *Server) hear(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		uuid := param(c, "uuid")
		if s.authorize(c.Request(), uuid) == nil {
			defer s.words.hear(uuid)()
		}
		return next(c)
	}
}
