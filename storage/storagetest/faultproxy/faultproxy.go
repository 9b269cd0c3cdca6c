// Package faultproxy stands between a client and a real server, so that a test can
// have the network or the server fail in just the way that it is about.
//
// It passes requests on as they are, with their Host header, which the signatures
// of S3 cover, until a hook says what happens to one. It must never be imported by
// anything but tests.
package faultproxy

import (
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

// An Action is what happens to one request. The zero Action passes it on.
type Action struct {
	Delay time.Duration // before anything else happens

	// Status answers in the place of the server, which does not see the request:
	// its body is taken and thrown away. With Header and Body.
	Status int
	Header http.Header
	Body   string

	// CutRequest and CutResponse reset the connection after so many bytes of the
	// body of the one or the other, if it has as many; 0 does not.
	CutRequest, CutResponse int64

	// Rate is the most bytes a second that either body gets; 0 is no limit.
	Rate int64

	// After is called when the server has answered, before the client learns of it.
	// If it panics with [http.ErrAbortHandler], the client never does.
	After func()
}

// A Hook decides about one request, of which it must not read the body. It is
// called for one request at a time.
type Hook func(*http.Request) Action

// Always does the same to every request.
func Always(a Action) Hook { return func(*http.Request) Action { return a } }

// Share does it to a share of the requests, from 0 to 1, by chance, and by the
// same chance in each run.
func Share(share float64, a Action) Hook {
	chance := rand.New(rand.NewPCG(1, 2))
	return func(*http.Request) Action {
		if chance.Float64() < share {
			return a
		}
		return Action{}
	}
}

// A Proxy is an HTTP server on this machine that stands for another. Its methods
// may be called at any time, by several goroutines at once.
type Proxy struct {
	t         testing.TB
	target    *url.URL
	transport *http.Transport
	address   string

	mu     sync.Mutex
	server *http.Server // nil while it is down
	hook   Hook
	counts map[string]int
}

// New returns a proxy before the server at target, a URL such as
// http://127.0.0.1:8080, until the test ends.
func New(t testing.TB, target string) *Proxy {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.Path != "" {
		t.Fatalf("faultproxy: target %q: want http://HOST:PORT", target)
	}
	p := &Proxy{t: t, target: u, transport: &http.Transport{
		DisableCompression:  true, // which would ask for what the client did not
		MaxIdleConnsPerHost: 64,
	}, address: "127.0.0.1:0", counts: map[string]int{}}
	p.Down(false)
	t.Cleanup(func() {
		p.Down(true)
		p.transport.CloseIdleConnections()
	})
	return p
}

// URL is where clients find the proxy, in the place of the target's URL.
func (p *Proxy) URL() string { return "http://" + p.address }

// Hook has h decide about every request from now on; nil passes all on.
func (p *Proxy) Hook(h Hook) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hook = h
}

// Count returns how many requests of a method came, whatever became of them.
func (p *Proxy) Count(method string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[method]
}

// Down ends all connections and refuses new ones, or takes them again.
func (p *Proxy) Down(down bool) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case down && p.server != nil:
		p.server.Close()
		p.server = nil
	case !down && p.server == nil:
		l, err := net.Listen("tcp", p.address)
		// Somebody's outgoing connection may have taken the port for a moment.
		for range 50 {
			if err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
			l, err = net.Listen("tcp", p.address)
		}
		if err != nil {
			p.t.Fatalf("faultproxy: %v", err)
		}
		p.address = l.Addr().String()
		p.server = &http.Server{Handler: p}
		go p.server.Serve(l)
	}
}

func (p *Proxy) decide(r *http.Request) Action {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[r.Method]++
	if p.hook == nil {
		return Action{}
	}
	return p.hook(r)
}

// ServeHTTP does to a request what the hook says.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := p.decide(r)
	select {
	case <-time.After(a.Delay):
	case <-r.Context().Done():
		return
	}
	if a.Status != 0 {
		io.Copy(io.Discard, r.Body)
		answer(w, a.Status, a.Header)
		io.WriteString(w, a.Body)
		return
	}
	out := r.Clone(r.Context()) // its Host stays as the client wrote it
	out.URL.Scheme, out.URL.Host, out.RequestURI = p.target.Scheme, p.target.Host, ""
	out.Header.Del("Connection")
	if r.ContentLength != 0 {
		out.Body = io.NopCloser(&faultyReader{r: r.Body, cut: a.CutRequest, rate: a.Rate})
	}
	resp, err := p.transport.RoundTrip(out)
	if err != nil {
		reset(w)
		return
	}
	defer resp.Body.Close()
	if a.After != nil {
		a.After()
	}
	resp.Header.Del("Connection")
	answer(w, resp.StatusCode, resp.Header)
	if _, err := io.Copy(flushing{w}, &faultyReader{r: resp.Body, cut: a.CutResponse, rate: a.Rate}); err != nil {
		reset(w)
	}
}

func answer(w http.ResponseWriter, status int, header http.Header) {
	for name, values := range header {
		w.Header()[name] = values
	}
	w.WriteHeader(status)
}

// reset ends the client's connection as a machine does that knows nothing of it.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// A faultyReader breaks off after cut bytes, and is no faster than rate.
type faultyReader struct {
	r         io.Reader
	cut, rate int64
	read      int64
}

func (f *faultyReader) Read(b []byte) (int, error) {
	if f.cut > 0 {
		if f.read == f.cut {
			return 0, net.ErrClosed
		}
		b = b[:min(int64(len(b)), f.cut-f.read)]
	}
	if f.rate > 0 {
		b = b[:min(int64(len(b)), max(f.rate/20, 1))]
	}
	n, err := f.r.Read(b)
	f.read += int64(n)
	if f.rate > 0 {
		time.Sleep(time.Duration(n) * time.Second / time.Duration(f.rate))
	}
	return n, err
}

// A flushing writer keeps nothing back, so that what came before a cut arrives.
type flushing struct{ http.ResponseWriter }

func (w flushing) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	if err == nil {
		err = http.NewResponseController(w.ResponseWriter).Flush()
	}
	return n, err
}
