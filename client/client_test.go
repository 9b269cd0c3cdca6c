package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vitrine"
	"vitrine/client"
)

const uuid = "3f0c9a51d2e84f0b9d1c5a7e2b60aa91"

func serve(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := client.New(s.URL+"/", "demo")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewRefuses(t *testing.T) {
	for _, test := range []struct{ server, tenant string }{
		{"", "demo"}, {"example.org", "demo"}, {"ftp://example.org", "demo"}, {"https://user@example.org", "demo"},
		{"https://example.org?x=y", "demo"}, {"https://example.org", ""}, {"https://example.org", "../x"},
	} {
		if _, err := client.New(test.server, test.tenant); err == nil {
			t.Errorf("New(%q, %q) succeeded", test.server, test.tenant)
		}
	}
}

// What may pass is tried again; what can't is not.
func TestRetry(t *testing.T) {
	for _, test := range []struct {
		status int
		tries  int32 // until the answer is taken as it is; 0: the third succeeds
		is     error
	}{
		{http.StatusServiceUnavailable, 0, nil},
		{http.StatusBadGateway, 0, nil},
		{http.StatusTooManyRequests, 0, nil},
		{http.StatusNotFound, 1, fs.ErrNotExist},
		{http.StatusGone, 1, fs.ErrNotExist},
		{http.StatusConflict, 1, fs.ErrExist},
		{http.StatusForbidden, 1, client.ErrRefused},
		{http.StatusBadRequest, 1, nil},
		{http.StatusFound, 1, nil},
	} {
		t.Run(fmt.Sprint(test.status), func(t *testing.T) {
			t.Parallel()
			var tries atomic.Int32
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if n := tries.Add(1); n == 3 {
					io.WriteString(w, `{"uuid":"`+uuid+`"}`)
					return
				}
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(test.status)
				fmt.Fprintf(w, `{"title":"x","status":%d,"detail":"because of this"}`, test.status)
			})
			b, err := c.Build(context.Background(), uuid)
			if test.tries == 0 {
				if err != nil || b.UUID != uuid || tries.Load() != 3 {
					t.Fatalf("got %q, error %v after %d tries", b.UUID, err, tries.Load())
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "because of this") || (test.is != nil && !errors.Is(err, test.is)) || tries.Load() != test.tries {
				t.Fatalf("error %v after %d tries, want one that is %v with the reason", err, tries.Load(), test.is)
			}
		})
	}
}

func TestRetryEnds(t *testing.T) {
	c, err := client.New("http://127.0.0.1:1", "demo")
	if err != nil {
		t.Fatal(err)
	}
	c.RetryFor = time.Second
	start := time.Now()
	if _, err := c.Build(context.Background(), uuid); err == nil || time.Since(start) > time.Minute {
		t.Fatalf("error %v after %s", err, time.Since(start))
	}
	c.RetryFor = time.Hour
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Build(ctx, uuid); err == nil || time.Since(start) > time.Minute {
		t.Fatalf("error %v after %s", err, time.Since(start))
	}
}

func TestResolve(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("uuid") {
		case "3f*":
			fmt.Fprintf(w, `{"builds":[{"uuid":%q}]}`, uuid)
		case "4*":
			fmt.Fprintf(w, `{"builds":[{"uuid":"40000000000000000000000000000000"},{"uuid":"41000000000000000000000000000000"}]}`)
		default:
			io.WriteString(w, `{"builds":[]}`)
		}
	})
	for _, good := range []string{uuid, "3f", "https://x.example/t/demo/build/" + uuid, "https://x.example/t/demo/build/3f", "https://x.example/t/demo/build/" + uuid + "/"} {
		if got, err := c.Resolve(context.Background(), good); got != uuid || err != nil {
			t.Errorf("Resolve(%q) = %q, error %v", good, got, err)
		}
	}
	for _, bad := range []string{"", "3F", "*", "xyz", uuid + "0", "https://x.example/", "../3f"} {
		if got, err := c.Resolve(context.Background(), bad); !errors.Is(err, client.ErrNoBuild) {
			t.Errorf("Resolve(%q) = %q, error %v", bad, got, err)
		}
	}
	if _, err := c.Resolve(context.Background(), "4"); !errors.Is(err, client.ErrAmbiguous) {
		t.Errorf("two builds: error %v", err)
	}
	if _, err := c.Resolve(context.Background(), "5"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no build: error %v", err)
	}
}

// A server can't make a client use memory without bound, or take HTML for an answer.
func TestHostileReplies(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"endless": func(w http.ResponseWriter, r *http.Request) {
			chunk := bytes.Repeat([]byte(" "), 1<<20)
			for range 64 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
		"not JSON":      answer("<html>"),
		"another build": answer(`{"uuid":"40000000000000000000000000000000"}`),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := serve(t, h).Build(context.Background(), uuid); err == nil {
				t.Fatal("no error")
			}
		})
	}
}

func answer(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
}

// What a list shows goes to a terminal, and its uuids are cut short for it.
func TestHostileList(t *testing.T) {
	const good = `"uuid":"` + uuid + `"`
	for _, test := range []struct{ text, want string }{
		{`{"builds":[{` + good + `}]}`, ""},
		{`{"builds":[{"uuid":"x"}]}`, `uuid "x"`},
		{`{"builds":[{}]}`, `uuid ""`},
		{`{"builds":[{"uuid":"../../../../../../../../../../tmp"}]}`, "uuid"},
		{`{"builds":[{` + good + `,"job_name":"a\u001b[2J"}]}`, "control character"},
		{`{"builds":[{` + good + `,"result":"\u009b2J"}]}`, "control character"},
		{`{"builds":[{` + good + `,"ref":{"project":"a\nb"}}]}`, "control character"},
		{`{"builds":[{` + good + `,"artifacts":[{"metadata":{"\u0007":"x"}}]}]}`, "control character"},
		{`{"builds":[],"older":"\u2028"}`, "control character"},
		{`{"builds":[{` + good + `,"job_name":"` + strings.Repeat("x", vitrine.MaxText+1) + `"}]}`, "more than"},
	} {
		page, err := serve(t, answer(test.text)).Builds(context.Background(), nil)
		if test.want == "" {
			if err != nil || len(page.Builds) != 1 {
				t.Errorf("%s: got %v, error %v", test.text, page, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), test.want) || len(page.Builds) > 0 {
			t.Errorf("%.80s: got %v, error %v; want one with %q", test.text, page, err, test.want)
		}
	}
	refusal := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{"title":"x\u001b[2J","detail":"no \u001b[2J"}`)
	})
	if _, err := refusal.Builds(context.Background(), nil); err == nil || strings.Contains(err.Error(), "\x1b") || !strings.Contains(err.Error(), `"no \x1b[2J"`) {
		t.Errorf("a refusal in escape sequences: %v", err)
	}
}

func TestOpenRange(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if want := "/api/v1/tenant/demo/builds/" + uuid + "/artifacts/logs/a+b.log"; r.URL.Path != want {
			t.Errorf("path %q, want %q", r.URL.Path, want)
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("0123456789"))
	})
	key := vitrine.ArtifactKey(uuid, "logs/a+b.log")
	for _, test := range []struct {
		off, n int64
		want   string
	}{{0, -1, "0123456789"}, {3, -1, "3456789"}, {3, 4, "3456"}, {0, 1, "0"}, {5, 0, ""}, {0, 0, ""}} {
		r, err := c.OpenRange(context.Background(), key, test.off, test.n)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if string(got) != test.want || err != nil {
			t.Errorf("range %d, %d: got %q, error %v", test.off, test.n, got, err)
		}
	}
	whole := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "0123456789") })
	if _, err := whole.OpenRange(context.Background(), key, 3, 4); err == nil {
		t.Error("a 200 for a range was taken for the range")
	}
	if _, err := whole.Open(context.Background(), "../etc/passwd"); err == nil {
		t.Error("a key that is none of vitrine's was asked for")
	}
}

// A transfer that breaks off is gone on with; one that always does ends.
func TestResume(t *testing.T) {
	const text = "0123456789"
	key := vitrine.ArtifactKey(uuid, "a.log")
	for _, test := range []struct {
		breaks int32
		whole  bool
	}{{0, true}, {3, true}, {1000, false}} {
		var requests atomic.Int32
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1) > test.breaks {
				http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
				return
			}
			off := 0
			if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &off); err == nil {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-9/10", off))
				w.Header().Set("Content-Length", fmt.Sprint(len(text)-off))
				w.WriteHeader(http.StatusPartialContent)
			} else {
				w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			}
			if test.whole {
				io.WriteString(w, text[off:off+2])
			}
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		r, err := c.Open(context.Background(), key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if test.whole && (string(got) != text || err != nil) {
			t.Errorf("%d breaks: got %q, error %v", test.breaks, got, err)
		}
		if !test.whole && (err == nil || requests.Load() > 30) {
			t.Errorf("%d breaks: got %q, no error, after %d requests", test.breaks, got, requests.Load())
		}
	}
}

// However often a transfer breaks off, it ends well as long as something comes; and
// soon once nothing does.
func TestResumeOften(t *testing.T) {
	text := strings.Repeat("0123456789", 100_000)
	key := vitrine.ArtifactKey(uuid, "a.log")
	for _, dries := range []int{len(text), len(text) / 2} {
		var requests atomic.Int32
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			off := 0
			if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &off); err == nil {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", off, len(text)-1, len(text)))
				w.Header().Set("Content-Length", fmt.Sprint(len(text)-off))
				w.WriteHeader(http.StatusPartialContent)
			} else {
				w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			}
			io.WriteString(w, text[off:max(off, min(off+len(text)/50, dries))])
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		whole, err := c.Open(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		ranged, err := c.Object(key, int64(len(text))).OpenRange(t.Context(), 0, int64(len(text)))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []io.ReadCloser{whole, ranged} {
			got, err := io.ReadAll(r)
			r.Close()
			if string(got) != text[:dries] || (err == nil) != (dries == len(text)) {
				t.Errorf("%d bytes of %d, error %v", len(got), dries, err)
			}
		}
		if n := requests.Load(); n > 2*(50+20+1) {
			t.Errorf("%d requests", n)
		}
	}
}

// A server that stops in the middle of an answer does not hold its client.
func TestStall(t *testing.T) {
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"builds":[`)
		http.NewResponseController(w).Flush()
		select {
		case <-done:
		case <-r.Context().Done():
		}
	})
	silent := serve(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-done:
		case <-r.Context().Done():
		}
	})
	for name, c := range map[string]*client.Client{"in the middle": c, "before its answer": silent} {
		c.StallAfter, c.RetryFor = 50*time.Millisecond, 0
		start := time.Now()
		_, err := c.Builds(context.Background(), nil)
		if err == nil || !strings.Contains(err.Error(), "stopped answering") || time.Since(start) > time.Minute {
			t.Errorf("%s: error %v after %s", name, err, time.Since(start))
		}
	}
}

// Where nothing answers at all, trying again would only take that long again.
func TestSilent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var taken atomic.Int32
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close() // when the listener ends
			taken.Add(1)
		}
	}()
	c, err := client.New("http://"+l.Addr().String(), "main")
	if err != nil {
		t.Fatal(err)
	}
	c.StallAfter, c.RetryFor = 200*time.Millisecond, time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, listErr := c.Builds(ctx, nil)
	_, rangeErr := c.Object(vitrine.ArtifactKey(uuid, "a.log.zst.age"), 100).OpenRange(ctx, 0, 10)
	for _, err := range []error{listErr, rangeErr} {
		if err == nil || !strings.Contains(err.Error(), "the server stopped answering: nothing came for 200ms") {
			t.Errorf("error %v", err)
		}
	}
	if n := taken.Load(); n > 2 {
		t.Errorf("asked %d times for two things", n)
	}
}

// Nor does one that takes nothing any more of what it is sent.
func TestUploadStall(t *testing.T) {
	done := make(chan struct{})
	defer close(done)            // before the server waits for its handlers
	text := make([]byte, 32<<20) // more than a connection holds
	var c *client.Client
	p := begun(t, func(w http.ResponseWriter, r *http.Request) {
		<-done
	}, func(own *client.Client) { c = own })
	c.StallAfter, c.RetryFor = 50*time.Millisecond, 0 // not before the build is begun: a busy machine may take longer
	start := time.Now()
	err := p.Create(context.Background(), vitrine.ArtifactKey(uuid, "a.log.zst.age"), bytes.NewReader(text), optionsOf(text))
	if err == nil || !strings.Contains(err.Error(), "stopped answering") || time.Since(start) > time.Minute {
		t.Errorf("error %v after %s", err, time.Since(start))
	}
}
