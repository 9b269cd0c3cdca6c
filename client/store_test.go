package client_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vitrine"
	"vitrine/client"
	"vitrine/storage"
)

// T-4.5: a store, or a server, that lies about a range is found out before a
// wrong byte is given out, or at the end of what it announced, and is not read
// without bound.
func TestLyingRanges(t *testing.T) {
	const text = "0123456789"
	answer := func(status int, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
			http.NewResponseController(w).Flush() // without a length, unless one is set
		}
	}
	key := vitrine.ArtifactKey(uuid, "a.log")
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		want   string // in the error; empty: none
	}{
		{"the truth", answer(206, "3456", "Content-Range", "bytes 3-6/10", "Content-Length", "4"), ""},
		{"the truth, without a length", answer(206, "3456", "Content-Range", "bytes 3-6/10"), ""},
		{"the whole", answer(200, text), "want 206"},
		{"the whole as a range", answer(206, text, "Content-Range", "bytes 0-9/10"), "not what was asked"},
		{"another range", answer(206, "4567", "Content-Range", "bytes 4-7/10"), "not what was asked"},
		{"a longer range", answer(206, "345678", "Content-Range", "bytes 3-8/10"), "not what was asked"},
		{"a shorter range", answer(206, "345", "Content-Range", "bytes 3-5/10"), "not what was asked"},
		{"an end that is none", answer(206, "345", "Content-Range", "bytes 3-5/9"), "not what was asked"},
		{"beyond its own end", answer(206, "3456", "Content-Range", "bytes 3-6/5"), "not what was asked"},
		{"no size", answer(206, "3456", "Content-Range", "bytes 3-6/*"), "not what was asked"},
		{"no Content-Range", answer(206, "3456"), "not what was asked"},
		{"signs", answer(206, "3456", "Content-Range", "bytes +3-6/10"), "not what was asked"},
		{"a huge number", answer(206, "3456", "Content-Range", "bytes 3-6/99999999999999999999"), "not what was asked"},
		{"several ranges", answer(206, "--x", "Content-Type", "multipart/byteranges; boundary=x"), "not what was asked"},
		{"another length", answer(206, "34567", "Content-Range", "bytes 3-6/10", "Content-Length", "5"), "not what was asked"},
		{"fewer bytes than announced", answer(206, "34", "Content-Range", "bytes 3-6/10"), "unexpected EOF"},
		{"cut", answer(206, "34", "Content-Range", "bytes 3-6/10", "Content-Length", "4"), "unexpected EOF"},
		{"gzip", answer(206, "3456", "Content-Range", "bytes 3-6/10", "Content-Encoding", "gzip"), "coded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := serve(t, test.answer)
			r, err := c.OpenRange(context.Background(), key, 3, 4)
			var got []byte
			if err == nil {
				got, err = io.ReadAll(r)
				r.Close()
			}
			if test.want == "" && (err != nil || string(got) != "3456") || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %q, error %v; want %q", got, err, test.want)
			}
			if test.want != "" && !strings.HasPrefix("3456", string(got)) {
				t.Errorf("wrong bytes came out: %q", got)
			}
		})
	}
	// More than was announced is not read.
	var sent atomic.Int64
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes 3-6/10")
		w.WriteHeader(206)
		for chunk := bytes.Repeat([]byte("3456"), 1<<12); ; {
			n, err := w.Write(chunk)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	})
	r, err := c.OpenRange(context.Background(), key, 3, 4)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	r.Close()
	if string(got) != "3456" || err != nil {
		t.Errorf("of an endless answer: %q, error %v", got, err)
	}
	if _, err := serve(t, answer(200, text, "Content-Encoding", "gzip")).Open(context.Background(), key); err == nil {
		t.Error("a coded answer was taken")
	}
}

// A transfer is gone on with only of an object of the same size: by the server
// and the store alike, whatever their ETags.
func TestResumeElsewhere(t *testing.T) {
	const text = "0123456789"
	key := vitrine.ArtifactKey(uuid, "a.log")
	for whole, good := range map[string]bool{"10": true, "11": false} {
		var requests atomic.Int32
		store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var off int
			fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &off)
			last := "9"
			if whole == "11" {
				last = "10"
			}
			w.Header().Set("ETag", fmt.Sprint(requests.Load()))
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%s/%s", off, last, whole))
			w.WriteHeader(206)
			io.WriteString(w, (text + last[:len(last)-1])[off:]) // one byte more, if it claims so
		}))
		t.Cleanup(store.Close)
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1) > 1 {
				http.Redirect(w, r, store.URL+"/x?X-Amz-Signature=s", http.StatusFound)
				return
			}
			w.Header().Set("ETag", `"the server's"`)
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, text[:4])
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		r, err := c.Open(context.Background(), key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if good && (string(got) != text || err != nil) || !good && (err == nil || !strings.Contains(err.Error(), "had 10 bytes and has 11")) {
			t.Errorf("size %s: %q, error %v", whole, got, err)
		}
	}
}

// Where a server sends us is followed for a GET alone, a few times, with nothing
// but what is asked for; and never told whole.
func TestRedirects(t *testing.T) {
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization")+r.Header.Get("Cookie")+r.Header.Get("Referer") != "" || r.Header.Get("Range") != "bytes=1-2" {
			t.Errorf("the store was sent %v", r.Header)
		}
		switch r.URL.Path {
		case "/good":
			w.Header().Set("Set-Cookie", "a=b")
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader("0123"))
		case "/on":
			http.Redirect(w, r, "/good?X-Amz-Signature=s", http.StatusTemporaryRedirect)
		case "/loop":
			http.Redirect(w, r, "/loop?X-Amz-Signature=s", http.StatusFound)
		case "/gone":
			w.WriteHeader(404)
		case "/damaged":
			w.WriteHeader(409)
		case "/denied":
			w.WriteHeader(403)
			io.WriteString(w, "<Code>AccessDenied</Code><X>X-Amz-Signature=s</X>")
		}
	}))
	t.Cleanup(store.Close)
	key := vitrine.ArtifactKey(uuid, "a.log")
	for _, test := range []struct {
		to   string
		want string
		is   error
	}{
		{store.URL + "/good?X-Amz-Signature=s", "", nil},
		{store.URL + "/on?X-Amz-Signature=s", "", nil},
		{store.URL + "/loop?X-Amz-Signature=s", "elsewhere", nil},
		{store.URL + "/gone?X-Amz-Signature=s", "404", fs.ErrNotExist},
		{store.URL + "/damaged?X-Amz-Signature=s", "lost or damaged there", storage.ErrIntegrity},
		{store.URL + "/denied?X-Amz-Signature=s", "403 Forbidden AccessDenied", nil},
		{"file:///etc/passwd?X-Amz-Signature=s", "no http", nil},
		{"http://u:p@127.0.0.1:1/?X-Amz-Signature=s", "no http", nil},
		{"http://[::1?X-Amz-Signature=s", "no http", nil},
		{"http://x.example/%zz?X-Amz-Signature=s", "no http", nil},
	} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", test.to)
			w.Header().Set("Set-Cookie", "session=secret")
			w.WriteHeader(302)
		})
		c.RetryFor = 0
		r, err := c.OpenRange(context.Background(), key, 1, 2)
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: %v", test.to, err)
				continue
			}
			if got, _ := io.ReadAll(r); string(got) != "12" {
				t.Errorf("%s: %q", test.to, got)
			}
			r.Close()
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "Signature") || test.is != nil && !errors.Is(err, test.is) || errors.Is(err, client.ErrRefused) {
			t.Errorf("%s: error %v, want one with %q", test.to, err, test.want)
		}
	}
	p := begun(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, store.URL+"/good", http.StatusTemporaryRedirect)
	})
	err := p.Create(context.Background(), key, strings.NewReader("x"), storage.CreateOptions{Size: 1, SHA256: sha256.Sum256([]byte("x"))})
	if err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("an upload that is sent on: %v", err)
	}
}

// What was asked for by https is not fetched where anybody on the way can change it.
func TestRedirectToPlain(t *testing.T) {
	object := func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("0123"))
	}
	asked := false
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked = true; object(w, r) }))
	t.Cleanup(plain.Close)
	to := ""
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/store" {
			object(w, r)
			return
		}
		http.Redirect(w, r, to+"/store?X-Amz-Signature=s", http.StatusFound)
	}))
	t.Cleanup(s.Close)
	usual := http.DefaultTransport
	http.DefaultTransport = s.Client().Transport // whose clone the client uses
	t.Cleanup(func() { http.DefaultTransport = usual })
	c, err := client.New(s.URL, "demo")
	if err != nil {
		t.Fatal(err)
	}
	key := vitrine.ArtifactKey(uuid, "a.log")
	to = s.URL
	r, err := c.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	to = plain.URL
	_, err = c.Open(t.Context(), key)
	if err == nil || !strings.Contains(err.Error(), "from https to "+plain.URL) || strings.Contains(err.Error(), "Signature") || asked {
		t.Errorf("from https to http: %v", err)
	}
}

// A directStore is the fake of a server whose store takes the parts, and of that
// store.
type directStore struct {
	t      *testing.T
	store  *httptest.Server
	alter  func(*vitrine.PartsGrant)
	refuse atomic.Int32 // the status that the next part is answered
	forget atomic.Bool  // give up the build, and its parts, when the next signed request is asked for

	mu       sync.Mutex
	parts    map[string][]byte // by number, as they came last
	asked    int               // requests for signed requests
	lose     bool              // all parts, before they are completed
	complete *vitrine.PartsRequest
}

// newDirectStore returns it with a publisher that has begun the build.
func newDirectStore(t *testing.T, retryFor time.Duration) (*directStore, *client.Publisher) {
	d := &directStore{t: t, parts: make(map[string][]byte)}
	d.store = httptest.NewServer(http.HandlerFunc(d.take))
	t.Cleanup(d.store.Close)
	return d, begunBy(t, d.serve, `"direct":true,`, func(c *client.Client) { c.RetryFor = retryFor })
}

func (d *directStore) serve(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer t" {
		d.t.Errorf("%s %s without a token", r.Method, r.URL.Path)
	}
	var q vitrine.PartsRequest
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		d.t.Errorf("%s: %v", r.URL.Path, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.Method == http.MethodPut {
		if r.Header.Get("Content-Type") != vitrine.PartsMediaType {
			d.t.Errorf("an artifact came as %s", r.Header.Get("Content-Type"))
		}
		if d.lose {
			clear(d.parts)
		}
		for _, p := range q.Parts {
			if d.parts[fmt.Sprintf("/%d", p.Number)] == nil {
				w.WriteHeader(http.StatusUnprocessableEntity)
				return
			}
		}
		d.complete = &q
		w.WriteHeader(http.StatusCreated)
		return
	}
	d.asked++
	if len(d.parts) > 0 && d.forget.Swap(false) {
		clear(d.parts)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	g := vitrine.PartsGrant{Expires: time.Now().Add(time.Minute)}
	for _, p := range q.Parts {
		g.Requests = append(g.Requests, vitrine.PartRequest{
			Number: p.Number, Method: "PUT", Header: map[string]string{"X-Store": "yes", "Host": "elsewhere", "Content-Length": "1"},
			URL: fmt.Sprintf("%s/%d?temp_url_sig=SECRET%d", d.store.URL, p.Number, d.asked),
		})
	}
	if d.alter != nil {
		d.alter(&g)
	}
	json.NewEncoder(w).Encode(g)
}

func (d *directStore) take(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" || r.Header.Get("X-Store") != "yes" {
		d.t.Errorf("the store was sent %v", r.Header)
	}
	b, err := io.ReadAll(r.Body)
	if err != nil || int64(len(b)) != r.ContentLength {
		d.t.Errorf("part %s: %d bytes of %d, error %v", r.URL.Path, len(b), r.ContentLength, err)
	}
	if status := d.refuse.Swap(0); status != 0 {
		w.WriteHeader(int(status))
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parts[r.URL.Path] = b
}

func optionsOf(b []byte) storage.CreateOptions {
	return storage.CreateOptions{Size: int64(len(b)), SHA256: sha256.Sum256(b)}
}

// onlySeeker can't be read at random.
type onlySeeker struct{ io.ReadSeeker }

func TestDirectUpload(t *testing.T) {
	all := make([]byte, 2*vitrine.MinPartSize+5)
	rand.Read(all)
	key := vitrine.ArtifactKey(uuid, "a.log.zst.age")
	for name, body := range map[string]io.ReadSeeker{"at random": bytes.NewReader(all), "by seeking": onlySeeker{bytes.NewReader(all)}} {
		t.Run(name, func(t *testing.T) {
			d, p := newDirectStore(t, 10*time.Second)
			if err := p.Create(context.Background(), key, body, optionsOf(all)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(bytes.Join([][]byte{d.parts["/1"], d.parts["/2"], d.parts["/3"]}, nil), all) || len(d.parts) != 3 {
				t.Errorf("%d parts are not the body", len(d.parts))
			}
			if d.complete == nil || vitrine.CheckParts(d.complete.Parts, int64(len(all))) != nil || d.complete.Parts[2] != vitrine.NewPart(3, all[2*vitrine.MinPartSize:]) {
				t.Errorf("completed: %+v", d.complete)
			}
			// How far the body's position is tells how much is stored.
			if at, err := body.Seek(0, io.SeekCurrent); name == "at random" && (at != int64(len(all)) || err != nil) {
				t.Errorf("the body stands at %d, error %v", at, err)
			}
		})
	}
	for _, status := range []int{403, 401, 500, 503, 429, 400, 404, 422, 302} {
		t.Run(fmt.Sprintf("a part that is answered %d is tried again alone", status), func(t *testing.T) {
			t.Parallel()
			d, p := newDirectStore(t, 10*time.Second)
			d.refuse.Store(int32(status))
			small := all[:1000]
			if err := p.Create(context.Background(), key, bytes.NewReader(small), optionsOf(small)); err != nil {
				t.Fatal(err)
			}
			if d.asked != 2 || !bytes.Equal(d.parts["/1"], small) {
				t.Errorf("asked for a signed request %d times", d.asked)
			}
		})
	}
	t.Run("what has changed is not completed", func(t *testing.T) {
		d, p := newDirectStore(t, 10*time.Second)
		opts := optionsOf(all)
		opts.SHA256[0]++
		if err := p.Create(context.Background(), key, bytes.NewReader(all), opts); !errors.Is(err, storage.ErrIntegrity) || d.complete != nil {
			t.Errorf("another hash: %v", err)
		}
		if err := p.Create(context.Background(), key, bytes.NewReader(all[:len(all)-9]), optionsOf(all)); !errors.Is(err, storage.ErrIntegrity) || d.complete != nil {
			t.Errorf("a body that is too short: %v", err)
		}
	})
	t.Run("after a build was begun again all parts are sent again", func(t *testing.T) {
		d, p := newDirectStore(t, 10*time.Second)
		d.forget.Store(true)
		large := make([]byte, 6*vitrine.MinPartSize) // more parts than are sent at once
		if err := p.Create(context.Background(), key, bytes.NewReader(large), optionsOf(large)); err != nil {
			t.Fatal(err)
		}
		if d.forget.Load() || len(d.parts) != 6 || d.asked != 6+1+6 {
			t.Errorf("%d parts are there, asked for a signed request %d times", len(d.parts), d.asked)
		}
	})
	t.Run("parts that are lost are not sent again for ever", func(t *testing.T) {
		d, p := newDirectStore(t, 10*time.Second)
		d.lose = true
		var status *client.StatusError
		if err := p.Create(context.Background(), key, bytes.NewReader(all), optionsOf(all)); !errors.As(err, &status) || status.Problem.Status != 422 || d.asked != 3 {
			t.Errorf("error %v, asked for a signed request %d times", err, d.asked)
		}
	})
	t.Run("what is stored is not sent", func(t *testing.T) {
		d, p := newDirectStore(t, 10*time.Second)
		d.alter = func(g *vitrine.PartsGrant) { g.Requests = nil }
		if err := p.Create(context.Background(), key, bytes.NewReader(all), optionsOf(all)); err != nil || len(d.parts) != 0 || d.complete != nil {
			t.Errorf("%d parts, error %v", len(d.parts), err)
		}
	})
}

// A server can't have the runner send anything but a PUT of the part.
func TestHostileGrants(t *testing.T) {
	body := []byte("age-encryption.org/v1\n")
	key := vitrine.ArtifactKey(uuid, "a.log.zst.age")
	for name, alter := range map[string]func(*vitrine.PartsGrant){
		"another part":  func(g *vitrine.PartsGrant) { g.Requests[0].Number = 2 },
		"two":           func(g *vitrine.PartsGrant) { g.Requests = append(g.Requests, g.Requests[0]) },
		"a DELETE":      func(g *vitrine.PartsGrant) { g.Requests[0].Method = "DELETE" },
		"a file":        func(g *vitrine.PartsGrant) { g.Requests[0].URL = "file:///etc/passwd?temp_url_sig=SECRET" },
		"no URL":        func(g *vitrine.PartsGrant) { g.Requests[0].URL = "http://[?temp_url_sig=SECRET" },
		"a user":        func(g *vitrine.PartsGrant) { g.Requests[0].URL = "http://a:temp_url_sig@127.0.0.1/" },
		"a bad header":  func(g *vitrine.PartsGrant) { g.Requests[0].Header = map[string]string{"a b": "temp_url_sig"} },
		"nobody there":  func(g *vitrine.PartsGrant) { g.Requests[0].URL = "http://127.0.0.1:1/?temp_url_sig=SECRET" },
		"a long header": func(g *vitrine.PartsGrant) { g.Requests[0].Header = map[string]string{"A": "x\r\nB: temp_url_sig"} },
		"many headers": func(g *vitrine.PartsGrant) {
			for i := range 40 {
				g.Requests[0].Header[fmt.Sprint("X-", i)] = "temp_url_sig"
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, p := newDirectStore(t, 0)
			d.alter = alter
			err := p.Create(t.Context(), key, bytes.NewReader(body), optionsOf(body))
			if err == nil || strings.Contains(err.Error(), "temp_url_sig") || d.complete != nil {
				t.Errorf("error %v", err)
			}
			if len(d.parts) > 0 {
				t.Error("the store was sent something")
			}
		})
	}
}
