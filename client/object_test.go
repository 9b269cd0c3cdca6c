package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vitrine"
	"vitrine/client"
	"vitrine/remote"
)

// A shelf is the fake of a server that sends who reads an object to a store, or
// gives it out itself, and of that store.
type shelf struct {
	t      *testing.T
	client *client.Client
	store  *httptest.Server

	mu              sync.Mutex
	direct          bool // the server sends on
	object          string
	tag             string // ETag of whoever has the object
	good            string // signature that the store takes
	breakAt         int    // a transfer breaks off at this byte of the object; 0: none
	answer          int    // the store answers this status if it is not 0
	asked, answered int    // requests of the server, and of the store
}

func newShelf(t *testing.T, object string) *shelf {
	s := &shelf{t: t, direct: true, object: object, tag: `"1"`, good: "s1"}
	s.store = httptest.NewServer(http.HandlerFunc(s.serveStore))
	t.Cleanup(s.store.Close)
	s.client = serve(t, s.serve)
	s.client.RetryFor = 0
	return s
}

func (s *shelf) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.direct {
		http.Redirect(w, r, s.store.URL+"/bucket/object?X-Amz-Signature="+s.good, http.StatusFound)
		return
	}
	s.send(w, r)
}

func (s *shelf) serveStore(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered++
	switch {
	case s.answer != 0:
		w.WriteHeader(s.answer)
	case r.URL.Query().Get("X-Amz-Signature") != s.good:
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "<Code>AccessDenied</Code>%s", r.URL)
	default:
		s.send(w, r)
	}
}

func (s *shelf) send(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", s.tag)
	at := s.breakAt
	s.breakAt = 0
	if at == 0 {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(s.object))
		return
	}
	var first, last int
	fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last)
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(s.object)))
	w.Header().Set("Content-Length", fmt.Sprint(last-first+1))
	w.WriteHeader(http.StatusPartialContent)
	io.WriteString(w, s.object[first:at])
	http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// set changes the shelf.
func (s *shelf) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// requests of the server, and of the store, since the last call.
func (s *shelf) requests() (asked, answered int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked, answered = s.asked, s.answered
	s.asked, s.answered = 0, 0
	return asked, answered
}

func (s *shelf) open() *client.Object {
	return s.client.Object(vitrine.ArtifactKey(uuid, "a.log"), int64(len(s.object)))
}

func (s *shelf) read(o *client.Object, off, n int64) (string, error) {
	s.t.Helper()
	r, err := o.OpenRange(s.t.Context(), off, n)
	if err != nil {
		if strings.Contains(err.Error(), "Signature") || strings.Contains(err.Error(), "s1") {
			s.t.Errorf("an error tells the signature: %v", err)
		}
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	return string(text), err
}

// want reads a range, and counts requests.
func (s *shelf) want(o *client.Object, off, n int64, asked, answered int) {
	s.t.Helper()
	text, err := s.read(o, off, n)
	if want := s.object[off : off+n]; text != want || err != nil {
		s.t.Errorf("range %d, %d: %q, error %v", off, n, text, err)
	}
	if a, b := s.requests(); a != asked || b != answered {
		s.t.Errorf("range %d, %d: %d requests of the server and %d of the store, want %d and %d", off, n, a, b, asked, answered)
	}
}

const digits = "0123456789"

// The server is asked once where the object is, and again when that is not good
// any more, for whatever reason.
func TestObjectAtStore(t *testing.T) {
	s := newShelf(t, digits)
	o := s.open()
	s.want(o, 0, 2, 1, 1)
	s.want(o, 8, 2, 0, 1)
	s.set(func() { s.good = "s1b" }) // what was signed has expired
	s.want(o, 3, 3, 1, 2)
	s.want(o, 3, 3, 0, 1)
	s.set(func() { s.direct, s.good = false, "s1c" }) // the server gives it out itself
	s.want(o, 1, 1, 1, 1)
	s.want(o, 1, 1, 1, 0)
	s.set(func() { s.direct = true })
	s.want(o, 1, 1, 1, 1)
	if got := o.Requests(); got != 12 {
		t.Errorf("Requests = %d", got)
	}
	s.store.Close()
	if _, err := s.read(o, 1, 1); err == nil {
		t.Error("a store that is gone: no error")
	}
	if a, _ := s.requests(); a != 1 {
		t.Errorf("a store that is gone: the server was asked %d times", a)
	}
}

// A store that answers nothing good is asked once more by the server's word, and
// its last answer is the error.
func TestObjectRefused(t *testing.T) {
	for status, is := range map[int]error{403: nil, 404: fs.ErrNotExist, 503: nil} {
		s := newShelf(t, digits)
		o := s.open()
		s.want(o, 0, 1, 1, 1)
		s.set(func() { s.answer = status })
		_, err := s.read(o, 1, 1)
		if a, b := s.requests(); err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) || is != nil && !errors.Is(err, is) || a != 1 || b != 2 {
			t.Errorf("%d: error %v, %d and %d requests", status, err, a, b)
		}
	}
}

func TestObjectRanges(t *testing.T) {
	s := newShelf(t, digits)
	for _, direct := range []bool{true, false} {
		s.set(func() { s.direct = direct })
		o := s.open()
		for _, test := range []struct {
			off, n int64
			want   string
		}{{0, -1, digits}, {3, -1, "3456789"}, {8, 5, "89"}, {3, 4, "3456"}, {5, 0, ""}, {10, 3, ""}} {
			if got, err := s.read(o, test.off, test.n); got != test.want || err != nil {
				t.Errorf("range %d, %d: %q, error %v", test.off, test.n, got, err)
			}
		}
		for _, off := range []int64{-1, 11} {
			if got, err := s.read(o, off, 1); err == nil {
				t.Errorf("range from %d: %q", off, got)
			}
		}
	}
	if _, err := s.read(s.client.Object("../etc/passwd", 10), 1, 1); err == nil {
		t.Error("a key that is none of vitrine's was asked for")
	}
}

// An object that is another one than before is an error, at once: its bytes are
// not given out, and it is not asked for again.
func TestObjectChanged(t *testing.T) {
	for name, test := range map[string]struct {
		change func(s *shelf)
		tag    string // before
	}{
		"another tag":        {func(s *shelf) { s.tag, s.object = `"2"`, "abcdefghij" }, `"1"`},
		"another bare tag":   {func(s *shelf) { s.tag = "2" }, "1"},
		"no tag":             {func(s *shelf) { s.tag = "" }, `"1"`},
		"a weak tag":         {func(s *shelf) { s.tag = `W/"1"` }, `"1"`},
		"longer":             {func(s *shelf) { s.object += "x" }, ""},
		"shorter":            {func(s *shelf) { s.object = s.object[:9] }, ""},
		"much shorter":       {func(s *shelf) { s.object = "x" }, ""},
		"longer, one tag":    {func(s *shelf) { s.object += "x" }, `"1"`},
		"longer, a weak tag": {func(s *shelf) { s.object += "x" }, `W/"1"`},
	} {
		for _, direct := range []bool{true, false} {
			t.Run(fmt.Sprint(name, direct), func(t *testing.T) {
				s := newShelf(t, digits)
				s.client.RetryFor = time.Hour
				s.direct, s.tag = direct, test.tag
				o := s.open()
				if text, err := s.read(o, 0, 2); text != "01" || err != nil {
					t.Fatalf("%q, %v", text, err)
				}
				s.requests()
				s.set(func() { test.change(s) })
				text, err := s.read(o, 5, 3)
				if !errors.Is(err, remote.ErrChanged) || text != "" {
					t.Errorf("%q, error %v", text, err)
				}
				if a, b := s.requests(); a+b != 1 {
					t.Errorf("%d and %d requests", a, b)
				}
			})
		}
	}
	s := newShelf(t, digits)
	if _, err := s.read(s.client.Object(vitrine.ArtifactKey(uuid, "a.log"), 11), 0, 1); !errors.Is(err, remote.ErrChanged) || !strings.Contains(err.Error(), "has 10 bytes, and by its record 11") {
		t.Errorf("other than the record says: %v", err)
	}
}

// A range that breaks off is gone on with, where the first byte is missing; and not
// if what is there then is another object.
func TestObjectResumed(t *testing.T) {
	for _, direct := range []bool{true, false} {
		s := newShelf(t, digits)
		s.direct, s.breakAt = direct, 5
		o := s.open()
		if text, err := s.read(o, 2, 6); text != "234567" || err != nil {
			t.Errorf("%q, error %v", text, err)
		}
		if a, b := s.requests(); direct && (a != 1 || b != 2) || !direct && (a != 2 || b != 0) {
			t.Errorf("%d and %d requests", a, b)
		}
		r, err := o.OpenRange(t.Context(), 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		s.set(func() { s.breakAt = 6 })
		r, err = o.OpenRange(t.Context(), 2, 6)
		if err != nil {
			t.Fatal(err)
		}
		s.set(func() { s.tag, s.object = `"2"`, "abcdefghij" })
		text, err := io.ReadAll(r)
		r.Close()
		if string(text) != "2345" || !errors.Is(err, remote.ErrChanged) {
			t.Errorf("%q, error %v", text, err)
		}
	}
}

// One that always breaks off, and one that stalls, end.
func TestObjectNeverWhole(t *testing.T) {
	var requests atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		var first, last int
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/1000", first, last))
		w.Header().Set("Content-Length", fmt.Sprint(last-first+1))
		w.WriteHeader(http.StatusPartialContent)
		sent := 1
		if strings.HasSuffix(r.URL.Path, "/half") {
			sent = (last - first + 2) / 2
		}
		io.WriteString(w, strings.Repeat("x", sent))
		http.NewResponseController(w).Flush()
		if !strings.HasSuffix(r.URL.Path, "/breaks") {
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	})
	c.RetryFor = 0
	read := func(path string) (string, error) {
		r, err := c.Object(vitrine.ArtifactKey(uuid, path), 1000).OpenRange(t.Context(), 0, 1000)
		if err != nil {
			return "", err
		}
		defer r.Close()
		text, err := io.ReadAll(r)
		return string(text), err
	}
	if text, err := read("breaks"); err == nil || len(text) != 21 || requests.Load() != 21 {
		t.Errorf("%d bytes by %d requests, error %v", len(text), requests.Load(), err)
	}
	c.StallAfter = 20 * time.Millisecond // where the machine is slow the first answer is late already
	var told atomic.Int32
	c.OnStall = func() { told.Add(1) }
	for _, path := range []string{"stall", "half"} {
		requests.Store(0)
		told.Store(0)
		if _, err := read(path); err == nil || !strings.Contains(err.Error(), "stopped answering") {
			t.Errorf("%s: error %v", path, err)
		}
		if n, told := requests.Load(), told.Load(); n > 3 || told < n-1 || told > 2 {
			t.Errorf("%s: %d requests, told of %d stalls", path, n, told)
		}
	}
}

// As a remote.File reads it: two requests of the store for the beginning and the
// end of a large object, and one of the server.
func TestObjectAsFile(t *testing.T) {
	text := bytes.Repeat([]byte(digits), 1<<20)
	s := newShelf(t, string(text))
	o := s.open()
	f := remote.Open(t.Context(), o, int64(len(text)), remote.Options{Head: 1 << 14, Tail: 1 << 16})
	defer f.Close()
	p := make([]byte, 100)
	for _, off := range []int64{0, int64(len(text)) - 100, 50, int64(len(text)) - 60000} {
		if n, err := f.ReadAt(p, off); n != 100 || err != nil || !bytes.Equal(p, text[off:off+100]) {
			t.Errorf("at %d: %d bytes, %v", off, n, err)
		}
	}
	asked, answered := s.requests()
	if requests, got := f.Fetched(); asked != 1 || answered != 2 || requests != 3 || got > 1<<14+1<<16+1<<15 {
		t.Errorf("%d and %d requests, Fetched: %d requests, %d bytes", asked, answered, requests, got)
	}
}

// The address of the store is told to nobody, whatever goes wrong there.
func TestObjectKeepsSecrets(t *testing.T) {
	s := newShelf(t, digits)
	o := s.open()
	s.want(o, 0, 1, 1, 1)
	u, err := url.Parse(s.store.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.store.CloseClientConnections()
	s.store.Close()
	if _, err := s.read(o, 1, 1); err == nil || !strings.Contains(err.Error(), u.Host) || strings.Contains(fmt.Sprintf("%v %+v %#v", err, o, err), "X-Amz") {
		t.Errorf("error %v", err)
	}
}
