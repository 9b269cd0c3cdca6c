package faultproxy_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"vitrine/storage/storagetest/faultproxy"
)

const size = 1 << 20

// An echo answers with what it was sent, and tells what came.
type echo struct {
	mu       sync.Mutex
	requests []*http.Request
	received int // bytes of all bodies
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e.mu.Lock()
	e.requests = append(e.requests, r)
	e.received += len(body)
	e.mu.Unlock()
	w.Header().Set("X-Echo", r.Header.Get("X-Test"))
	w.WriteHeader(http.StatusCreated)
	w.Write(body)
}

func (e *echo) seen() (requests, bytes int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.requests), e.received
}

func start(t *testing.T) (*faultproxy.Proxy, *echo) {
	t.Helper()
	e := &echo{}
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	return faultproxy.New(t, server.URL), e
}

func put(p *faultproxy.Proxy, body string) (*http.Response, string, error) {
	r, err := http.NewRequest(http.MethodPut, p.URL()+"/a%2Fb//c?x=1&y", strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	r.Header.Set("X-Test", "value")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

func TestPassesOn(t *testing.T) {
	p, e := start(t)
	body := strings.Repeat("x", size)
	resp, got, err := put(p, body)
	if err != nil || got != body || resp.StatusCode != http.StatusCreated || resp.Header.Get("X-Echo") != "value" {
		t.Fatalf("%v with %d bytes, error %v", resp, len(got), err)
	}
	r := e.requests[0]
	if r.RequestURI != "/a%2Fb//c?x=1&y" || "http://"+r.Host != p.URL() || r.ContentLength != size {
		t.Errorf("the server saw %s at %s with %d bytes", r.RequestURI, r.Host, r.ContentLength)
	}
	for _, name := range []string{"X-Forwarded-For", "Accept-Encoding"} {
		if values := r.Header.Values(name); len(values) > 1 || name == "X-Forwarded-For" && len(values) > 0 {
			t.Errorf("the server saw %s: %q", name, values)
		}
	}
	if resp, err := http.Head(p.URL()); err != nil || resp.StatusCode != http.StatusCreated {
		t.Errorf("HEAD: %v, error %v", resp, err)
	}
	if p.Count("PUT") != 1 || p.Count("HEAD") != 1 || p.Count("GET") != 0 {
		t.Errorf("counted %d PUT, %d HEAD, %d GET", p.Count("PUT"), p.Count("HEAD"), p.Count("GET"))
	}
}

func TestDown(t *testing.T) {
	p, e := start(t)
	entered := make(chan struct{})
	p.Hook(func(*http.Request) faultproxy.Action {
		close(entered)
		return faultproxy.Action{Delay: time.Hour}
	})
	broken := make(chan error)
	go func() {
		_, _, err := put(p, "x")
		broken <- err
	}()
	<-entered
	p.Down(true)
	if err := <-broken; err == nil {
		t.Error("the connection under way was not ended")
	}
	if _, _, err := put(p, "x"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error %v, want %v", err, syscall.ECONNREFUSED)
	}
	p.Hook(nil)
	p.Down(false)
	if _, _, err := put(p, "x"); err != nil {
		t.Error(err)
	}
	if n, _ := e.seen(); n != 1 {
		t.Errorf("the server saw %d requests, want 1", n)
	}
}

func TestStatus(t *testing.T) {
	p, e := start(t)
	p.Hook(faultproxy.Always(faultproxy.Action{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}, Body: "slow down"}))
	resp, got, err := put(p, strings.Repeat("x", size))
	if err != nil || got != "slow down" || resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "1" {
		t.Fatalf("%v %q, error %v", resp, got, err)
	}
	if n, _ := e.seen(); n != 0 {
		t.Errorf("the server saw %d requests", n)
	}
}

func TestShare(t *testing.T) {
	var runs [2]string
	for i := range runs {
		p, _ := start(t)
		p.Hook(faultproxy.Share(0.3, faultproxy.Action{Status: http.StatusServiceUnavailable}))
		for range 200 {
			resp, _, err := put(p, "")
			if err != nil {
				t.Fatal(err)
			}
			runs[i] += resp.Status[:1]
		}
	}
	if n := strings.Count(runs[0], "5"); n < 40 || n > 80 || runs[0] != runs[1] {
		t.Errorf("%d of 200 failed, the same ones in two runs: %v", n, runs[0] == runs[1])
	}
}

func TestCutRequest(t *testing.T) {
	p, e := start(t)
	p.Hook(faultproxy.Always(faultproxy.Action{CutRequest: size / 2}))
	if _, _, err := put(p, strings.Repeat("x", size)); err == nil {
		t.Error("no error")
	}
	deadline := time.Now().Add(5 * time.Second)
	for n, received := e.seen(); n != 1 || received != size/2; n, received = e.seen() {
		if time.Now().After(deadline) {
			t.Fatalf("the server got %d requests with %d bytes, want %d", n, received, size/2)
		}
		time.Sleep(time.Millisecond)
	}
	if _, got, err := put(p, "short"); err != nil || got != "short" {
		t.Errorf("a body that does not reach the cut: %q, error %v", got, err)
	}
}

func TestCutResponse(t *testing.T) {
	p, _ := start(t)
	p.Hook(faultproxy.Always(faultproxy.Action{CutResponse: 1000}))
	resp, got, err := put(p, strings.Repeat("x", size))
	if resp == nil || resp.StatusCode != http.StatusCreated || len(got) > 1000 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v with %d bytes, error %v", resp, len(got), err)
	}
}

func TestSlow(t *testing.T) {
	p, _ := start(t)
	for name, a := range map[string]faultproxy.Action{
		"delay": {Delay: 200 * time.Millisecond},
		"rate":  {Rate: size * 10}, // up and down again
	} {
		p.Hook(faultproxy.Always(a))
		began := time.Now()
		if _, got, err := put(p, strings.Repeat("x", size)); err != nil || len(got) != size {
			t.Errorf("%s: %d bytes, error %v", name, len(got), err)
		}
		if took := time.Since(began); took < 150*time.Millisecond || took > 5*time.Second {
			t.Errorf("%s: took %s, want about 200 ms", name, took)
		}
	}
}

// What the server did is done when After runs, and the client does not know yet.
func TestAfter(t *testing.T) {
	p, e := start(t)
	var answered atomic.Bool
	p.Hook(faultproxy.Always(faultproxy.Action{After: func() {
		if n, _ := e.seen(); n != 1 || answered.Load() {
			t.Errorf("the server saw %d requests, answered: %v", n, answered.Load())
		}
	}}))
	if _, _, err := put(p, "x"); err != nil {
		t.Error(err)
	}
	answered.Store(true)

	p.Hook(faultproxy.Always(faultproxy.Action{After: func() { panic(http.ErrAbortHandler) }}))
	if resp, _, err := put(p, "x"); err == nil {
		t.Errorf("answered %v", resp)
	}
	if n, _ := e.seen(); n != 2 {
		t.Errorf("the server saw %d requests, want 2", n)
	}
}

func TestManyAtOnce(t *testing.T) {
	p, e := start(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if _, got, err := put(p, "x"); err != nil || got != "x" {
					t.Errorf("%q, error %v", got, err)
				}
				p.Hook(nil)
			}
		})
	}
	wg.Wait()
	if n, _ := e.seen(); n != 160 || p.Count("PUT") != n {
		t.Errorf("the server saw %d requests, the proxy %d, want 160", n, p.Count("PUT"))
	}
}
