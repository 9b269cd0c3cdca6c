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
				if r.URL.Query().Has("multipart-manifest") { // it is no manifest
					io.WriteString(w, body)
					return
				}
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

// A large object of which a segment is lost or another is found out, also in its
// middle. One that is out of reach is not blamed, nor what a manifest says of
// others' objects.
func TestSwiftDamage(t *testing.T) {
	const body = "0123456789"
	segment := func(n string) string { return "/c/p/segments/" + swiftKey + "/UNIQUE/" + n }
	manifest := fmt.Sprintf(`[{"name":%q,"hash":"a","bytes":5},{"name":%q,"hash":"b","bytes":5}]`, segment("00001"), segment("00002"))
	answer := func(status, size int, etag string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(size))
			w.Header().Set("ETag", etag)
			w.Header().Set("X-Timestamp", "1795294800.00000")
			w.WriteHeader(status)
		}
	}
	good := answer(200, 5, "b")
	for _, test := range []struct {
		name     string
		manifest string
		second   http.HandlerFunc // the answer to HEAD of the second segment
		from     int64
		is       error
		want     string
	}{
		{"lost", manifest, answer(404, 0, ""), 5, ErrIntegrity, "segment 00002 is lost in the store"},
		{"lost, and found out on the way", manifest, answer(404, 0, ""), 0, ErrIntegrity, "segment 00002 is lost in the store"},
		{"of another size", manifest, answer(200, 4, "b"), 7, ErrIntegrity, "segment 00002 is damaged in the store: 4 bytes, want 5"},
		{"another", manifest, answer(200, 5, "x"), 0, ErrIntegrity, `segment 00002 is damaged in the store: MD5 is "x", want "b"`},
		{"out of reach", manifest, answer(503, 0, ""), 5, ErrUnavailable, "409"},
		{"out of reach on the way", manifest, answer(503, 0, ""), 0, ErrUnavailable, "after byte 5"},
		{"as it should be", manifest, good, 5, ErrUnavailable, "409"},
		{"not told", "<html>", answer(404, 0, ""), 5, ErrUnavailable, "409"},
		{"of no size", strings.ReplaceAll(manifest, "5}", "-5}"), answer(404, 0, ""), 5, ErrUnavailable, "409"},
		{"another's", strings.ReplaceAll(manifest, swiftKey, "other"), answer(404, 0, ""), 5, ErrUnavailable, "409"},
		{"beyond the end", strings.ReplaceAll(manifest, `"bytes":5`, `"bytes":1`), answer(404, 0, ""), 5, ErrUnavailable, "409"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := badSwift(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Query().Has("multipart-manifest"):
					w.Header().Set("X-Static-Large-Object", "True")
					io.WriteString(w, test.manifest)
				case r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, segment("00002")):
					test.second(w, r)
				case r.Method == http.MethodHead:
					t.Errorf("HEAD %s", r.URL.Path)
				case r.Header.Get("Range") != "":
					w.WriteHeader(http.StatusConflict)
				default:
					w.Header().Set("ETag", "e")
					w.Header().Set("Content-Length", "10")
					io.WriteString(w, body[:5])
					w.(http.Flusher).Flush()
					panic(http.ErrAbortHandler)
				}
			})
			r, err := s.OpenRange(t.Context(), swiftKey, test.from, -1)
			if err == nil {
				_, err = io.ReadAll(r)
				r.Close()
			}
			if !errors.Is(err, test.is) || errors.Is(err, ErrIntegrity) != (test.is == ErrIntegrity) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
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
