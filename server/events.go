package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/server/index"
	"vitrine/web"
)

const (
	maxListeners    = 512 // of all pages together
	maxListenersOne = 16  // of one address
	maxListenersOur = 256 // of one address of our own network, which may be a proxy's
	maxNewer        = 100 // builds that are counted: pages say 99+

	versionEvery = time.Second      // between looks whether the index has changed, for all listeners
	askEvery     = 2 * time.Second  // the least time between one listener's questions
	beatEvery    = 20 * time.Second // between words to a listener: proxies end what is silent
)

// A change is what a page of builds hears.
type change struct {
	Newer   int      `json:"newer"`   // builds that came since, up to maxNewer
	Changed []string `json:"changed"` // uuids of its builds that run no more
}

// buildEvents is GET …/builds/events: tells, for as long as somebody listens, of
// builds newer than a list's first, and of running ones of it that have ended.
func (s *Server) buildEvents(c echo.Context) error {
	q, running, err := parseListener(c)
	if err != nil {
		return err
	}
	wake, err := s.listeners.add(c.RealIP())
	if err != nil {
		return err
	}
	defer s.listeners.remove(wake, c.RealIP())
	s.listeners.watch(s.indexVersion)

	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(c.Response())
	if err := out.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) { // no more comes
		return fmt.Errorf("listen: %w", err)
	}
	write := func(format string, a ...any) error {
		if err := out.SetWriteDeadline(time.Now().Add(requestTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if _, err := fmt.Fprintf(c.Response(), format, a...); err != nil {
			return err
		}
		return out.Flush()
	}
	if err := write(": listening\n\n"); err != nil {
		return nil // whoever listened went away
	}

	ctx := c.Request().Context()
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	ask := time.NewTimer(0) // the page was made a while ago
	defer ask.Stop()
	var asked time.Time
	var told change
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.listeners.stopped:
			return nil
		case <-wake:
			ask.Reset(time.Until(asked.Add(askEvery)))
		case <-beat.C:
			if err := write(":\n\n"); err != nil {
				return nil
			}
			ask.Reset(time.Until(asked.Add(askEvery))) // time alone makes a build lost
		case <-ask.C:
			now, err := s.changes(ctx, q, running)
			if err != nil {
				if ctx.Err() == nil {
					s.Log.Error("listener not told", "error", err)
				}
				return nil // it comes again
			}
			asked = time.Now()
			if now.Newer == told.Newer && slices.Equal(now.Changed, told.Changed) {
				continue
			}
			text, err := json.Marshal(now)
			if err != nil {
				return err
			}
			if err := write("event: builds\ndata: %s\n\n", text); err != nil {
				return nil
			}
			told = now
		}
	}
}

func parseListener(c echo.Context) (q index.Query, running []string, err error) {
	values := c.QueryParams()
	if q, err = parseQuery(values); err != nil {
		return q, nil, err
	}
	if q.Before != "" || q.Skip != 0 {
		return q, nil, refuse(http.StatusBadRequest, "only what is newer than a cursor is told: want %s", web.ParamAfter)
	}
	q.Limit = maxNewer
	running = values[web.ParamRunning]
	if len(running) > listed {
		return q, nil, refuse(http.StatusBadRequest, "%d running builds, more than %d", len(running), listed)
	}
	for _, uuid := range running {
		if !vitrine.ValidUUID(uuid) {
			return q, nil, refuseParam(web.ParamRunning, uuid, "32 lower-case hex digits")
		}
	}
	return q, running, nil
}

// changes asks the index what a listener is to hear.
func (s *Server) changes(ctx context.Context, q index.Query, running []string) (change, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	newer, err := s.Index.Builds(ctx, q)
	if err != nil {
		return change{}, err
	}
	now := change{Newer: len(newer.Builds), Changed: []string{}}
	if len(running) == 0 {
		return now, nil
	}
	list, err := s.Index.Builds(ctx, index.Query{UUID: running, Limit: listed})
	if err != nil {
		return change{}, err
	}
	for _, b := range list.Builds {
		if b.State != vitrine.Running {
			now.Changed = append(now.Changed, b.UUID)
		}
	}
	return now, nil
}

func (s *Server) indexVersion() (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	return s.Index.Version(ctx)
}

// listeners are the open pages that hear of changes. One look at the index a
// second serves all of them, and none is made while there are none.
type listeners struct {
	mu       sync.Mutex
	by       map[string]int         // listeners by address
	wake     map[chan struct{}]bool // each holds one word: that something has changed
	watching bool
	over     bool
	stopped  chan struct{} // closed when the server stops
}

// add counts a listener in and returns what wakes it.
func (l *listeners) add(address string) (chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.over:
		return nil, errUnavailable("the server is stopping")
	case len(l.wake) >= maxListeners:
		return nil, errUnavailable(fmt.Sprintf("more than %d pages listen", maxListeners))
	}
	most := maxListenersOur
	if isStranger(address) {
		most = maxListenersOne
	}
	if l.by[address] >= most {
		return nil, refuse(http.StatusTooManyRequests, "more than %d pages of one address listen", most)
	}
	wake := make(chan struct{}, 1)
	l.wake[wake] = true
	l.by[address]++
	return wake, nil
}

// isStranger reports whether an address is one person's, or one network's. One of
// our own network may be a proxy, with everybody behind it.
func isStranger(address string) bool {
	a, err := netip.ParseAddr(address)
	return err != nil || !a.Unmap().IsLoopback() && !a.Unmap().IsPrivate()
}

func (l *listeners) remove(wake chan struct{}, address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.wake, wake)
	if l.by[address]--; l.by[address] == 0 {
		delete(l.by, address)
	}
}

// stop ends all listeners, and lets no other in.
func (l *listeners) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.over = true
		close(l.stopped)
	}
}

// watch wakes all listeners whenever the version changes, until there are none.
// Only one watch runs at a time.
func (l *listeners) watch(version func() (int64, error)) {
	l.mu.Lock()
	isWatched := l.watching
	l.watching = true
	l.mu.Unlock()
	if isWatched {
		return
	}
	// Read before any listener asks, so that no change is missed between.
	last, _ := version()
	go func() {
		tick := time.NewTicker(versionEvery)
		defer tick.Stop()
		for l.goesOn() {
			select {
			case <-l.stopped:
				continue
			case <-tick.C:
			}
			// An index that fails to tell is another version: those woken say why.
			if now, _ := version(); now != last {
				last = now
				l.wakeAll()
			}
		}
	}()
}

// goesOn reports whether there is somebody to watch for.
func (l *listeners) goesOn() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watching = len(l.wake) > 0 && !l.over
	return l.watching
}

func (l *listeners) wakeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for wake := range l.wake {
		select {
		case wake <- struct{}{}:
		default: // it has been told and has not looked yet
		}
	}
}
