package server_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// listen opens a stream of events and returns what comes of it, line by line;
// the channel is closed when the stream ends.
func listen(t *testing.T, base string, query url.Values) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	q, err := http.NewRequestWithContext(ctx, "GET", base+"/t/demo/builds/events?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		t.Fatal(err)
	}
	h := resp.Header
	if resp.StatusCode != 200 || h.Get("Content-Type") != "text/event-stream" || h.Get("Cache-Control") != "no-store" ||
		h.Get("X-Accel-Buffering") != "no" || h.Get("Content-Encoding") != "" {
		t.Fatalf("%d with headers %v", resp.StatusCode, h)
	}
	lines := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(lines)
		for scan := bufio.NewScanner(resp.Body); scan.Scan(); {
			lines <- scan.Text()
		}
	}()
	t.Cleanup(func() { cancel(); resp.Body.Close(); <-done })
	return lines
}

// next is the next line that is not empty and no comment; empty at the end.
func next(t *testing.T, lines <-chan string) string {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return ""
			}
			if line != "" && !strings.HasPrefix(line, ":") {
				return line
			}
		case <-timeout:
			t.Fatal("nothing was heard for 10 s")
		}
	}
}

func wantChange(t *testing.T, lines <-chan string, data string) {
	t.Helper()
	if event := next(t, lines); event != "event: builds" {
		t.Fatalf("%q, want an event", event)
	}
	if got := next(t, lines); got != "data: "+data {
		t.Fatalf("%q, want data: %s", got, data)
	}
}

// A page of the newest builds hears of newer ones of its filter, and which of its
// running ones have ended; and it hears for longer than other requests may take.
func TestEvents(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	old := s.publish()
	running := s.started(nil)
	token := s.begin(running)
	h := httptest.NewUnstartedServer(s.server.Handler())
	h.Config.ReadTimeout, h.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	h.Start()
	t.Cleanup(h.Close)
	events := func(query string) url.Values {
		t.Helper()
		_, _, page := s.visit("GET", "/t/demo/builds"+query)
		_, rest, _ := strings.Cut(page, `data-events="/t/demo/builds/events?`)
		address, _, ok := strings.Cut(rest, `"`)
		values, err := url.ParseQuery(strings.ReplaceAll(address, "&amp;", "&"))
		if !ok || err != nil {
			t.Fatalf("no address of events, or %v, in %s", err, page)
		}
		return values
	}
	query := events("?job_name=deploy-w*")
	if got := query["running"]; len(got) != 1 || got[0] != running.UUID || query.Get("job_name") != "deploy-w*" || query.Get("after") == "" {
		t.Fatalf("the page listens to %v", query)
	}
	web := listen(t, h.URL, query)
	mail := listen(t, h.URL, events("?job_name=deploy-mail"))
	query.Add("running", old.UUID) // one that had ended before anybody listened is told at once
	late := listen(t, h.URL, query)
	wantChange(t, late, `{"newer":0,"changed":["`+old.UUID+`"]}`)
	time.Sleep(400 * time.Millisecond) // longer than the server waits for others

	s.want(201, "", "PUT", api+"/"+running.UUID, token, signed(t, finished(running), s.bridge))
	wantChange(t, web, `{"newer":0,"changed":["`+running.UUID+`"]}`)
	s.history(time.Now().Add(2*time.Second), nil)
	s.history(time.Now().Add(3*time.Second), nil)
	s.refresh()
	wantChange(t, web, `{"newer":2,"changed":["`+running.UUID+`"]}`)
	for len(mail) > 0 { // nothing that it filters has changed
		if line := <-mail; line != "" && !strings.HasPrefix(line, ":") {
			t.Errorf("the list of another job hears %q", line)
		}
	}
}

func TestEventsRefuse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	many := strings.Repeat("&running="+strings.Repeat("a", 32), 51)
	for query, want := range map[string]string{"before=1-" + strings.Repeat("a", 32): "after", "skip=1": "after", "running=x": "hex", "result=GREEN": "GREEN", many: "51 running"} {
		s.want(400, want, "GET", "/t/demo/builds/events?"+query, nil, nil)
	}
	s.want(404, "", "GET", "/t/other/builds/events", nil, nil)

	// A stranger's address has room for some pages, our own network for many, and
	// the server for so many in all.
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}, 1000)
	open := func(address string) *flushed {
		w := &flushed{ResponseRecorder: httptest.NewRecorder(), first: make(chan struct{}, 100)}
		r := httptest.NewRequest("GET", "/t/demo/builds/events", nil).WithContext(ctx)
		r.RemoteAddr = address
		r.Header.Set("X-Forwarded-For", "203.0.113.7")
		go func() {
			s.server.Handler().ServeHTTP(w, r)
			w.first <- struct{}{}
			ended <- struct{}{}
		}()
		<-w.first
		return w
	}
	for i := range 512 {
		address := "10.0.0.2:1"
		if i < 16 {
			address = "192.0.2.1:1"
		} else if i < 16+256 {
			address = "10.0.0.1:1"
		}
		if w := open(address); w.Code != 200 {
			t.Fatalf("listener %d: %d", i, w.Code)
		}
		if i == 15 {
			if w := open("192.0.2.1:2"); w.Code != 429 || w.Header().Get("Retry-After") == "" {
				t.Errorf("a 17th page of one address: %d %v", w.Code, w.Header())
			}
		}
		if i == 16+255 {
			if w := open("10.0.0.1:2"); w.Code != 429 {
				t.Errorf("a 257th page of one address of our network: %d", w.Code)
			}
		}
	}
	if w := open("192.0.2.2:1"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("listener 513: %d %v", w.Code, w.Header())
	}
	cancel()
	for range 515 {
		<-ended
	}
	ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	if w := open("192.0.2.1:1"); w.Code != 200 { // there is room again
		t.Errorf("after all went: %d", w.Code)
	}
}

// A flushed recorder says when the first bytes, or the end, have come.
type flushed struct {
	*httptest.ResponseRecorder
	first chan struct{}
}

func (f *flushed) Flush() {
	f.ResponseRecorder.Flush()
	f.first <- struct{}{}
}

// A server that stops ends what listens instead of waiting for it.
func TestEventsEndWithTheServer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.publish()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(ctx, l) }()
	lines := listen(t, "http://"+l.Addr().String(), nil)
	wantChange(t, lines, `{"newer":1,"changed":[]}`)
	start := time.Now()
	stop()
	if line := next(t, lines); line != "" {
		t.Errorf("%q, want the end", line)
	}
	if err := <-served; err != nil || time.Since(start) > 5*time.Second {
		t.Errorf("Serve returned %v after %v", err, time.Since(start))
	}
}
