package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"vitrine"
)

func TestS3URL(t *testing.T) {
	for raw, want := range map[string]s3Location{
		"s3://bucket":               {bucket: "bucket"},
		"s3://bucket/":              {bucket: "bucket"},
		"s3://bucket/a/b/":          {bucket: "bucket", prefix: "a/b/"},
		"s3://my.bucket-1?region=x": {bucket: "my.bucket-1", region: "x"},
		"s3://bucket/p?endpoint=http://127.0.0.1:9/&region=eu-1&path_style=true&public_url=https://a.example/b/": {
			bucket: "bucket", prefix: "p/", endpoint: "http://127.0.0.1:9", region: "eu-1", pathStyle: true, publicURL: "https://a.example/b"},
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseS3(u); err != nil || got != want {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
	for _, raw := range []string{
		"s3://", "s3:///prefix", "s3://ab", "s3://bucket:80/", "s3://-bucket", "s3://bucket/a//b", "s3://bucket/../x", "s3://bucket/a b",
		"s3://bucket?secret_key=hunter2", "s3://bucket?endpoint=hunter2", "s3://bucket?endpoint=ftp://hunter2",
		"s3://bucket?endpoint=http://a:hunter2@host", "s3://bucket?endpoint=http://host/?x=hunter2", "s3://bucket?endpoint=",
		"s3://bucket?region=", "s3://bucket?region=hunter2/x", "s3://bucket?path_style=yes", "s3://bucket?path_style=true&path_style=false",
		"s3://bucket?public_url=//hunter2", "s3://bucket?a;b=hunter2", "s3://bucket?region=%zz",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseS3(u); err == nil {
			t.Errorf("%s: %+v", raw, got)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error repeats a value: %v", raw, err)
		}
	}
}

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

func TestS3TriesAgain(t *testing.T) {
	reset := func(http.ResponseWriter) { panic(http.ErrAbortHandler) }
	status := func(status int, code string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { s3Fail(w, status, code, "") }
	}
	for _, test := range []struct {
		what  string
		fail  func(http.ResponseWriter)
		times int
		want  error
		puts  int
	}{
		// With one more PUT, by which it finds out whether conditions hold.
		{"burst of 503", status(503, "SlowDown"), 3, nil, 5},
		{"burst of 500", status(500, "InternalError"), 4, nil, 6},
		{"429", status(429, "TooManyRequests"), 1, nil, 3},
		{"conflict", status(409, "ConditionalRequestConflict"), 2, nil, 4},
		{"reset", reset, 2, nil, 4},
		{"503 for ever", status(503, "SlowDown"), -1, ErrUnavailable, s3Attempts},
		{"reset for ever", reset, -1, ErrUnavailable, s3Attempts},
		{"wrong hash", status(400, "BadDigest"), 1, ErrIntegrity, 1},
		{"wrong payload", status(400, "XAmzContentSHA256Mismatch"), 1, ErrIntegrity, 1},
		{"forbidden", status(403, "AccessDenied"), 1, errAny, 1},
	} {
		f := &fakeS3{conditions: conditionsHeld, before: failFirst(test.times, http.MethodPut, test.fail)}
		s := openFake(t, f.ServeHTTP)
		err := s3Create(t.Context(), s, "the body")
		if test.want == errAny && (err == nil || errors.Is(err, ErrIntegrity) || errors.Is(err, ErrUnavailable)) || test.want != errAny && !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.what, err, test.want)
		}
		if n := f.count("PUT"); n != test.puts {
			t.Errorf("%s: %d times, want %d", test.what, n, test.puts)
		}
	}
	f := &fakeS3{conditions: conditionsHeld, before: failFirst(1, http.MethodPut, func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", "1")
		s3Fail(w, 429, "TooManyRequests", "")
	})}
	start := time.Now()
	if err := s3Create(t.Context(), openFake(t, f.ServeHTTP), "x"); err != nil || time.Since(start) < time.Second {
		t.Errorf("Retry-After: %v after %s", err, time.Since(start))
	}
}

var errAny = errors.New("any, but no sentinel")

// Whatever the store does with conditions, nothing is written over an object.
func TestS3Conditions(t *testing.T) {
	for name, conditions := range map[string]int32{"held": conditionsHeld, "refused": conditionsMissing, "ignored": conditionsUnknown} {
		f := &fakeS3{conditions: conditions}
		f.put(s3TestKey, "first")
		for range 2 { // a new process, and one that knows the store
			s := openFake(t, f.ServeHTTP)
			for range 2 {
				if err := s3Create(t.Context(), s, "other"); !errors.Is(err, fs.ErrExist) {
					t.Errorf("%s: other bytes: %v, want fs.ErrExist", name, err)
				}
				if err := s3Create(t.Context(), s, "first"); err != nil {
					t.Errorf("%s: the same bytes: %v", name, err)
				}
			}
			if got := string(f.objects[s3TestKey].body); got != "first" {
				t.Errorf("%s: now it holds %q", name, got)
			}
			another := vitrine.ArtifactKey(s3TestUUID, "another")
			for _, body := range []string{"new", "new", "newer"} {
				err := s.Create(t.Context(), another, strings.NewReader(body), s3Options(body))
				if want := body == "new"; (err == nil) != want {
					t.Errorf("%s: %s: %v", name, body, err)
				}
			}
			want := conditionsMissing
			if conditions == conditionsHeld {
				want = conditionsHeld
			}
			if got := s.conditions.Load(); got != want {
				t.Errorf("%s: conditions are %d, want %d", name, got, want)
			}
			delete(f.objects, another)
		}
	}
}

// Where there are no conditions a lost race is noticed, and so is a lost object.
func TestS3LostRace(t *testing.T) {
	f := &fakeS3{conditions: conditionsMissing}
	f.after = func(*http.Request) bool { // f.mu is held
		f.objects[s3TestKey] = fakeObject{body: []byte("theirs")}
		return false
	}
	if err := s3Create(t.Context(), openFake(t, f.ServeHTTP), "mine!!"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("another writer won: %v, want fs.ErrExist", err)
	}
	f = &fakeS3{conditions: conditionsMissing}
	f.after = func(*http.Request) bool { delete(f.objects, s3TestKey); return false }
	if err := s3Create(t.Context(), openFake(t, f.ServeHTTP), "mine"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("the store lost it: %v, want ErrUnavailable", err)
	}
}

// A write whose answer is lost is done, not in its own way.
func TestS3LostAnswer(t *testing.T) {
	n := 0
	f := &fakeS3{conditions: conditionsHeld}
	f.after = func(*http.Request) bool { n++; return n == 1 }
	if err := s3Create(t.Context(), openFake(t, f.ServeHTTP), "mine"); err != nil {
		t.Error(err)
	}
}

// A part whose body breaks off, or is another, never arrives whole.
func TestS3PartBody(t *testing.T) {
	body := strings.Repeat("0123456789", 100_000)
	gone := errors.New("the runner went away")
	for what, test := range map[string]struct {
		body io.Reader
		want error
	}{
		"breaks off":         {io.MultiReader(strings.NewReader(body[:500_000]), iotest.ErrReader(gone)), gone},
		"breaks off at once": {iotest.ErrReader(gone), gone},
		"last byte differs":  {strings.NewReader(body[:len(body)-1] + "!"), ErrIntegrity},
		"one byte more":      {strings.NewReader(body + "!"), ErrIntegrity},
	} {
		whole := false
		s, server := startFake(t, func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			whole = whole || n > 0 && n == r.ContentLength
			s3Fail(w, 400, "IncompleteBody", "")
		}, s3DefaultTimes)
		part := vitrine.NewPart(1, []byte(body))
		opts := s3Options(body)
		sent, again := newSentBody(t.Context(), test.body, opts)
		_, err := s.uploadPart(t.Context(), s3TestKey, "U", part, sent, again)
		if err = s3Error(t.Context(), "send", err); !errors.Is(err, test.want) || errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v, want %v", what, err, test.want)
		}
		server.Close() // its handlers are done then
		if whole {
			t.Errorf("%s: the store got all of it", what)
		}
	}
	sent, again := newSentBody(t.Context(), strings.NewReader(body), s3Options(body))
	if !again {
		t.Error("a body that can be read again is not sent again")
	}
	for range 2 {
		if got, err := io.ReadAll(sent); err != nil || string(got) != body {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		if _, err := sent.(io.Seeker).Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
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

// T-OPS-1: errors say what the store said, without URLs and what could do
// something to a terminal.
func TestS3Errors(t *testing.T) {
	s := openFake(t, func(w http.ResponseWriter, r *http.Request) {
		s3Fail(w, 403, "AccessDenied", "no \u009b2J "+strings.Repeat("x", 5000))
	})
	_, err := s.Open(t.Context(), s3TestKey)
	if err == nil || !containsAny(err.Error(), "403 AccessDenied") || containsAny(err.Error(), "\u009b", "http") || len(err.Error()) > 1000 {
		t.Errorf("error %q", err)
	}
	cause := errors.New("connection reset by peer")
	for _, inner := range []error{
		&url.Error{Op: "Put", URL: "http://store/x?X-Amz-Signature=hunter2", Err: cause},
		fmt.Errorf("Get http://store/x?X-Amz-Signature=hunter2: %w", cause),
	} {
		err := s3Error(t.Context(), "sign", inner)
		if containsAny(err.Error(), "hunter2", "X-Amz") || !containsAny(err.Error(), "connection reset") {
			t.Errorf("error %v", err)
		}
	}
	signed, err := s.SignOpen(t.Context(), s3TestKey, "x", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.get(ctx, signed)
	if err = s3Error(t.Context(), "get", err); err == nil || containsAny(err.Error(), "X-Amz", "http:") {
		t.Errorf("error %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	u, err := url.Parse("s3://vitrine-test?endpoint=http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newS3(t.Context(), u, s3DefaultTimes); err == nil || errors.Is(err, ErrUnavailable) || !containsAny(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("no credentials: %v", err)
	}
	for _, f := range s.Inspect(t.Context()) {
		if containsAny(f.Detail+f.Fix, "X-Amz", "hunter2", "\u009b") || f.Detail == "" {
			t.Errorf("finding %+v", f)
		}
	}
}

// What is large is sent in parts, and never kept whole.
func TestS3LargeToFake(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	f := &fakeS3{conditions: conditionsHeld, before: failFirst(2, http.MethodPut, func(w http.ResponseWriter) { s3Fail(w, 503, "SlowDown", "") })}
	s := openFake(t, f.ServeHTTP)
	s.conditions.Store(conditionsHeld)
	if err := s.Create(t.Context(), s3TestKey, onlyReader{bytes.NewReader(body)}, s3Options(string(body))); err != nil {
		t.Fatal(err)
	}
	if f.received != int64(len(body)) || f.count("POST uploadId") != 1 {
		t.Errorf("%d bytes came, %q", f.received, f.requests)
	}

	for what, fail := range map[string]func(http.ResponseWriter){
		"503":                func(w http.ResponseWriter) { s3Fail(w, 503, "SlowDown", "") },
		"reset":              func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"the upload is gone": func(w http.ResponseWriter) { s3Fail(w, 404, "NoSuchUpload", "") },
	} {
		f := &fakeS3{before: failFirst(-1, http.MethodPut, fail)}
		err := openFake(t, f.ServeHTTP).Create(t.Context(), s3TestKey, bytes.NewReader(body), s3Options(string(body)))
		if !errors.Is(err, ErrUnavailable) || containsAny(err.Error(), "http://", "vitrine-test") {
			t.Errorf("%s: %v, want ErrUnavailable", what, err)
		}
		if f.count("DELETE") == 0 || f.count("POST uploadId") > 0 {
			t.Errorf("%s: %q", what, f.requests)
		}
	}
}
