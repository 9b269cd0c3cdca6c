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

// Only a store's own word ends the use of conditions, and not for ever.
func TestS3StrayRefusal(t *testing.T) {
	for _, test := range []struct {
		status int
		code   string
		want   int32
	}{{405, "MethodNotAllowed", conditionsHeld}, {501, "XNotImplemented", conditionsHeld}, {501, "NotImplemented", conditionsMissing}} {
		f := &fakeS3{conditions: conditionsHeld, before: failFirst(1, http.MethodPut, func(w http.ResponseWriter) { s3Fail(w, test.status, test.code, "") })}
		s := openFake(t, f.ServeHTTP)
		s.conditions.Store(conditionsHeld)
		if err := s3Create(t.Context(), s, "hello"); (err == nil) != (test.want == conditionsMissing) {
			t.Errorf("%d %s: Create: %v", test.status, test.code, err)
		}
		if got := s.conditions.Load(); got != test.want {
			t.Errorf("%d %s: conditions are %d, want %d", test.status, test.code, got, test.want)
		}
		s.refused.CompareAndSwap(s.refused.Load(), time.Now().Add(-2*conditionsTime).Unix())
		if s.condition() == nil {
			t.Errorf("%d %s: conditions are not tried again", test.status, test.code)
		}
	}
}

// An upload is as young as its newest part, which is asked for only where it
// began a while ago.
func TestS3UploadsGrow(t *testing.T) {
	began, grew := time.Now().Add(-30*time.Hour).UTC().Truncate(time.Second), time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	young := vitrine.ArtifactKey(s3TestUUID, "young")
	f := &fakeS3{before: func(w http.ResponseWriter, r *http.Request) bool {
		q := r.URL.Query()
		switch {
		case q.Has("uploads"):
			fmt.Fprintf(w, "<ListMultipartUploadsResult><Upload><Key>%s</Key><UploadId>old</UploadId><Initiated>%s</Initiated></Upload>"+
				"<Upload><Key>%s</Key><UploadId>young</UploadId><Initiated>%s</Initiated></Upload></ListMultipartUploadsResult>",
				s3TestKey, began.Format(time.RFC3339), young, time.Now().UTC().Format(time.RFC3339))
		case q.Get("uploadId") == "old":
			fmt.Fprintf(w, "<ListPartsResult><Part><PartNumber>1</PartNumber><LastModified>%s</LastModified></Part>"+
				"<Part><PartNumber>2</PartNumber><LastModified>%s</LastModified></Part></ListPartsResult>",
				grew.Format(time.RFC3339), began.Format(time.RFC3339))
		default:
			return false
		}
		return true
	}}
	s := openFake(t, f.ServeHTTP)
	found := make(map[string]time.Time)
	for u, err := range s.Uploads(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		found[u.Key] = u.ModTime
	}
	if len(found) != 2 || !found[s3TestKey].Equal(grew) || time.Since(found[young]) > time.Minute {
		t.Errorf("%v; the old one grew at %s", found, grew)
	}
	if n := len(f.requests); n != 2 {
		t.Errorf("%d requests, want 2: %q", n, f.requests)
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
