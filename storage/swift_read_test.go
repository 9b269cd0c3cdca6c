package storage

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// T-4.5: what a store says of a range is held against what was asked.
func TestSwiftLyingRanges(t *testing.T) {
	const body = "0123456789"
	for name, handler := range map[string]http.HandlerFunc{
		"200 in place of 206": func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) },
		"another range": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 3-6/10")
			w.WriteHeader(206)
			io.WriteString(w, body[3:7])
		},
		"too long": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 2-9/10")
			w.WriteHeader(206)
			io.WriteString(w, body[2:])
		},
		"shorter than its range": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 2-5/10")
			w.WriteHeader(206)
			io.WriteString(w, body[2:4])
		},
		"shorter than was asked": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 2-3/10")
			w.WriteHeader(206)
			io.WriteString(w, body[2:4])
		},
		"no Content-Range": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(206); io.WriteString(w, body[2:6]) },
		"nonsense for a size": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 2-5/*")
			w.WriteHeader(206)
			io.WriteString(w, body[2:6])
		},
		"compressed": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 2-5/10")
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(206)
			io.WriteString(w, body[2:6])
		},
		"empty": func(w http.ResponseWriter, r *http.Request) {},
		"endless": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 2-5/10")
			w.WriteHeader(206)
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		},
		"416 of what is there": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes */10")
			w.WriteHeader(416)
		},
		"416 without a size": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(416) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := badSwift(t, handler)
			r, err := s.OpenRange(t.Context(), swiftKey, 2, 4)
			if err == nil {
				var got []byte
				got, err = io.ReadAll(r)
				if len(got) > 4 {
					t.Errorf("read %d bytes", len(got))
				}
				r.Close()
			}
			if err == nil {
				t.Error("it was believed")
			}
		})
	}
}

// A body that breaks off goes on where it ended, if the object is the same.
func TestSwiftBrokenBody(t *testing.T) {
	body := strings.Repeat("0123456789", 1000)
	for _, test := range []struct {
		name    string
		perTry  int
		etag    func(try int64) string
		healthy bool
	}{
		{"a few times", 3000, func(int64) string { return "e" }, true},
		{"without an end", 0, func(int64) string { return "e" }, false},
		{"and nothing tells what is there then", 3000, func(int64) string { return "" }, false},
		{"and is another then", 3000, func(try int64) string { return fmt.Sprint(try) }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var tries atomic.Int64
			s := badSwift(t, func(w http.ResponseWriter, r *http.Request) {
				try := tries.Add(1)
				w.Header().Set("ETag", test.etag(try))
				off := 0
				if try > 1 {
					fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &off)
					w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", off, len(body)-1, len(body)))
					if r.Header.Get("If-Match") == "" {
						t.Error("a second request without If-Match")
					}
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(body)-off))
				if off > 0 || try > 1 {
					w.WriteHeader(http.StatusPartialContent)
				}
				io.WriteString(w, body[off:min(len(body), off+test.perTry)])
				if off+test.perTry < len(body) {
					w.(http.Flusher).Flush()
					panic(http.ErrAbortHandler)
				}
			})
			r, err := s.Open(t.Context(), swiftKey)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			got, err := io.ReadAll(r)
			switch {
			case test.healthy && (err != nil || string(got) != body):
				t.Errorf("%d bytes, %v", len(got), err)
			case !test.healthy && err == nil:
				t.Errorf("%d bytes, and no error", len(got))
			case !test.healthy && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrUnavailable):
				t.Errorf("error %v", err)
			}
			if n := tries.Load(); n > 2*swiftTries {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestSwiftStalls(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"before the answer": func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"in the body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "01234")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := badSwift(t, handler)
			s.idle = 50 * time.Millisecond
			r, err := s.Open(t.Context(), swiftKey)
			if err == nil {
				_, err = io.ReadAll(r)
				r.Close()
			}
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("error %v, want ErrUnavailable", err)
			}
		})
	}
	// A slow reader is not a slow store.
	s := badSwift(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(4<<20))
		w.Write(make([]byte, 4<<20))
	})
	s.idle = 50 * time.Millisecond
	r, err := s.Open(t.Context(), swiftKey)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(120 * time.Millisecond)
	if n, err := io.Copy(io.Discard, r); n != 4<<20-1 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestSwiftBadListings(t *testing.T) {
	item := func(name string) string {
		return `{"name":"p/` + name + `","bytes":5,"last_modified":"2026-11-22T18:40:38.963560"}`
	}
	for name, page := range map[string]string{
		"not JSON": "<html>", "not a list": `{"name":1}`, "the same again and again": "[" + item(swiftKey) + "]",
		"not in order":      "[" + item("artifacts/b") + "," + item("artifacts/a") + "]",
		"not of the prefix": `[{"name":"elsewhere"}]`, "a size below nothing": strings.Replace("["+item(swiftKey)+"]", "5", "-5", 1),
		"no time": `[{"name":"p/` + swiftKey + `","bytes":5}]`, "too long": "[" + strings.Repeat(" ", maxSwiftJSON) + "]",
	} {
		t.Run(name, func(t *testing.T) {
			s := badSwift(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, page) })
			var last error
			n := 0
			for _, last = range s.List(t.Context(), "artifacts/") {
				if n++; n > 10 {
					t.Fatal("endless")
				}
			}
			if last == nil {
				t.Error("it was believed")
			}
		})
	}
}
