package storage

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"vitrine"
)

// T-4.5: a store that answers a range with something else is found out.
func TestS3RangeLies(t *testing.T) {
	const body = "0123456789"
	answer := func(status int, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"e"`)
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	var lie http.HandlerFunc
	s := openFake(t, func(w http.ResponseWriter, r *http.Request) { lie(w, r) })
	for what, handler := range map[string]http.HandlerFunc{
		"200 for 206":           answer(200, body),
		"200, right length":     answer(200, "2345"),
		"another start":         answer(206, "1234", "Content-Range", "bytes 1-4/10"),
		"too long":              answer(206, "23456", "Content-Range", "bytes 2-6/10"),
		"too short":             answer(206, "234", "Content-Range", "bytes 2-4/10"),
		"length lies":           answer(206, "234567", "Content-Range", "bytes 2-5/10"),
		"no Content-Range":      answer(206, "2345"),
		"broken Content-Range":  answer(206, "2345", "Content-Range", "bytes 2-5/*"),
		"more in Content-Range": answer(206, "2345", "Content-Range", "bytes 2-5/10, 7-8/10"),
		"escape in it":          answer(206, "2345", "Content-Range", "bytes \x1b[2J"),
		"gzip":                  answer(206, "2345", "Content-Range", "bytes 2-5/10", "Content-Encoding", "gzip"),
		"negative":              answer(206, "2345", "Content-Range", "bytes -2-5/10"),
		"overflow":              answer(206, "2345", "Content-Range", "bytes 2-5/99999999999999999999"),
		"many parts":            answer(206, "2345", "Content-Type", "multipart/byteranges; boundary=x"),
		"redirect":              answer(307, "", "Location", "http://127.0.0.1:1/"),
		"nothing of it":         answer(206, "", "Content-Range", "bytes 2-1/10"),
		"no length": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 2-5/10")
			w.WriteHeader(206)
			w.(http.Flusher).Flush()
			io.WriteString(w, "2345")
		},
	} {
		lie = handler
		r, err := s.OpenRange(t.Context(), s3TestKey, 2, 4)
		if err == nil {
			got, err := io.ReadAll(r)
			t.Errorf("%s: read %q, %v", what, got, err)
			r.Close()
		} else if containsAny(err.Error(), "\x1b", "http://") {
			t.Errorf("%s: error %q", what, err)
		}
	}
}

// breaking serves a body of which each answer breaks off after some bytes.
func breaking(f *fakeS3, after int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			return false
		}
		f.serveGet(&cutWriter{w, after}, r, strings.TrimPrefix(r.URL.Path, "/vitrine-test/"))
		panic(http.ErrAbortHandler)
	}
}

type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p[:min(len(p), w.left)])
	w.left -= n
	w.ResponseWriter.(http.Flusher).Flush()
	return n, err
}

func TestS3ResumesWhatBreaksOff(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 10_000)
	f := &fakeS3{}
	f.put(s3TestKey, body)
	f.before = breaking(f, 50_000)
	s := openFake(t, f.ServeHTTP)
	for _, rg := range []struct{ off, n int64 }{{0, -1}, {1000, -1}, {1000, 120_000}} {
		r, err := s.OpenRange(t.Context(), s3TestKey, rg.off, rg.n)
		if err != nil {
			t.Fatal(err)
		}
		want := body[rg.off:]
		if rg.n >= 0 {
			want = want[:rg.n]
		}
		if err := iotest.TestReader(onlyReader{r}, []byte(want)); err != nil {
			t.Errorf("%+v: %v", rg, err)
		}
		r.Close()
	}

	// Attempts are bounded.
	f.before = breaking(f, 0)
	r, err := s.Open(t.Context(), s3TestKey)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	before := f.count("GET")
	if n, err := io.Copy(io.Discard, r); n != 0 || !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("read %d bytes, %v, want io.ErrUnexpectedEOF", n, err)
	}
	if n := f.count("GET") - before; n != s3Resumes {
		t.Errorf("%d more requests, want %d", n, s3Resumes)
	}

	// Another object is not joined to the first.
	f.before = breaking(f, 50_000)
	r, err = s.Open(t.Context(), s3TestKey)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f.put(s3TestKey, strings.Repeat("x", len(body)))
	if _, err := io.Copy(io.Discard, r); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("another object came: %v", err)
	}
}

type onlyReader struct{ io.Reader }

// A store that falls silent does not hold us for ever.
func TestS3Stalls(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	wait := func(r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	s := openFake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"e"`)
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, "0123456789")
		w.(http.Flusher).Flush()
		wait(r)
	})
	r, err := s.Open(t.Context(), s3TestKey)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	start := time.Now()
	if n, err := io.Copy(io.Discard, r); n != 10 || !errors.Is(err, ErrUnavailable) {
		t.Errorf("%d bytes, %v, want ErrUnavailable", n, err)
	}
	s = openFake(t, func(w http.ResponseWriter, r *http.Request) { wait(r) }) // not even a header
	if _, err := s.Stat(t.Context(), s3TestKey); !errors.Is(err, ErrUnavailable) {
		t.Errorf("no header: %v, want ErrUnavailable", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

// A listing skips what is not ours, and is not believed when it goes round in circles.
func TestS3ListLies(t *testing.T) {
	a, b := vitrine.ArtifactKey(s3TestUUID, "a"), vitrine.ArtifactKey(s3TestUUID, "b")
	for what, test := range map[string]struct {
		keys []string
		more bool
		good bool
	}{
		"foreign keys":    {keys: []string{".tmp/x", a, "artifacts/x", b, "zzz"}, good: true},
		"wrong order":     {keys: []string{b, a}},
		"twice":           {keys: []string{a, a}},
		"the same page":   {keys: []string{a, b}, more: true},
		"the empty page":  {more: true},
		"another prefix":  {keys: []string{a, b, "records/2026/11/22/" + s3TestUUID + "/build.json"}, good: true},
		"path traversal":  {keys: []string{"artifacts/../x", a, b}, good: true},
		"escape sequence": {keys: []string{a, b, "artifacts/&#27;[2J"}},
	} {
		pages := 0
		s := openFake(t, func(w http.ResponseWriter, r *http.Request) {
			pages++
			fmt.Fprintf(w, "<ListBucketResult><IsTruncated>%t</IsTruncated><NextContinuationToken>again</NextContinuationToken>", test.more)
			for _, k := range test.keys {
				fmt.Fprintf(w, "<Contents><Key>%s</Key><Size>1</Size></Contents>", k)
			}
			fmt.Fprint(w, "</ListBucketResult>")
		})
		var got []string
		var failed error
		for o, err := range s.List(t.Context(), vitrine.ArtifactsPrefix) {
			if failed = err; err == nil {
				got = append(got, o.Key)
			}
		}
		switch {
		case test.good && (failed != nil || strings.Join(got, " ") != a+" "+b):
			t.Errorf("%s: %q, %v", what, got, failed)
		case !test.good && failed == nil && !test.more:
			t.Errorf("%s: %q", what, got)
		case pages > 3:
			t.Errorf("%s: %d pages", what, pages)
		}
	}
}
