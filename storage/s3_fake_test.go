package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"vitrine"
)

const s3TestUUID = "3f0c2b7a9d8e4f10a1b2c3d4e5f60718"

var s3TestKey = vitrine.ArtifactKey(s3TestUUID, "deploy.log.zst.age")

// openFake opens the bucket "vitrine-test" of a server that answers with handler.
func openFake(t *testing.T, handler http.HandlerFunc) *S3 {
	t.Helper()
	s, _ := startFake(t, handler, s3Times{stall: 200 * time.Millisecond, patience: time.Second, backoff: 5 * time.Millisecond})
	return s
}

func startFake(t *testing.T, handler http.HandlerFunc, times s3Times) (*S3, *httptest.Server) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "testkey")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && strings.Count(r.URL.Path, "/") == 1 {
			return // the bucket is there
		}
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse("s3://vitrine-test?path_style=true&endpoint=" + server.URL)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newS3(t.Context(), u, times)
	if err != nil {
		t.Fatal(err)
	}
	return s, server
}

// s3Fail answers as S3 does.
func s3Fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}

// A fakeS3 is a store with the vices of many. It keeps objects in memory, and of
// multipart uploads, which it accepts, nothing.
type fakeS3 struct {
	conditions int32 // what it does with If-None-Match: held, missing (501) or, unknown, ignored
	before     func(w http.ResponseWriter, r *http.Request) (done bool)
	after      func(r *http.Request) (lose bool) // the answer gets lost

	mu       sync.Mutex
	objects  map[string]fakeObject
	requests []string // method and query
	received int64    // bytes of parts that came whole
}

type fakeObject struct {
	body []byte
	meta string
}

func (o fakeObject) etag() string { return fmt.Sprintf(`"%x"`, sha256.Sum256(o.body)) }

func (f *fakeS3) put(key, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.objects == nil {
		f.objects = make(map[string]fakeObject)
	}
	f.objects[key] = fakeObject{body: []byte(body)}
}

func (f *fakeS3) count(prefix string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, r := range f.requests {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f.mu.Lock()
	f.requests = append(f.requests, r.Method+" "+r.URL.RawQuery)
	f.mu.Unlock()
	if f.before != nil && f.before(w, r) {
		return
	}
	key := strings.TrimPrefix(r.URL.Path, "/vitrine-test/")
	switch {
	case r.Method == http.MethodPut && q.Has("uploadId"):
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		if err != nil || n != r.ContentLength || hex.EncodeToString(h.Sum(nil)) != r.Header.Get("X-Amz-Content-Sha256") {
			s3Fail(w, 400, "BadDigest", "other bytes")
			return
		}
		f.mu.Lock()
		f.received += n
		f.mu.Unlock()
		w.Header().Set("ETag", fmt.Sprintf(`"%032d"`, 1))
	case r.Method == http.MethodPut:
		f.servePut(w, r, key)
	case r.Method == http.MethodPost && q.Has("uploads"):
		fmt.Fprint(w, "<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>")
	case r.Method == http.MethodPost && q.Has("uploadId"):
		f.mu.Lock()
		f.objects = map[string]fakeObject{key: {meta: "completed"}}
		f.mu.Unlock()
		fmt.Fprint(w, `<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>`)
	case r.Method == http.MethodGet && q.Has("uploads"):
		fmt.Fprint(w, "<ListMultipartUploadsResult></ListMultipartUploadsResult>")
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	default:
		f.serveGet(w, r, key)
	}
}

func (f *fakeS3) servePut(w http.ResponseWriter, r *http.Request, key string) {
	body, err := io.ReadAll(r.Body)
	conditional := r.Header.Get("If-None-Match") == "*"
	if conditional && f.conditions == conditionsMissing {
		s3Fail(w, 501, "NotImplemented", "no such header")
		return
	}
	if sum := sha256.Sum256(body); err != nil || hex.EncodeToString(sum[:]) != r.Header.Get("X-Amz-Content-Sha256") {
		s3Fail(w, 400, "BadDigest", "other bytes")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.objects[key]; ok && conditional && f.conditions == conditionsHeld {
		s3Fail(w, 412, "PreconditionFailed", "it is there")
		return
	}
	if f.objects == nil {
		f.objects = make(map[string]fakeObject)
	}
	o := fakeObject{body, r.Header.Get("X-Amz-Meta-Sha256")}
	f.objects[key] = o
	if f.after != nil && f.after(r) {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("ETag", o.etag())
}

func (f *fakeS3) serveGet(w http.ResponseWriter, r *http.Request, key string) {
	f.mu.Lock()
	o, ok := f.objects[key]
	f.mu.Unlock()
	if !ok {
		s3Fail(w, 404, "NoSuchKey", "nothing there")
		return
	}
	if o.meta != "" {
		w.Header().Set("X-Amz-Meta-Sha256", o.meta)
	}
	if m := r.Header.Get("If-Match"); m != "" && m != o.etag() {
		s3Fail(w, 412, "PreconditionFailed", "another object")
		return
	}
	w.Header().Set("ETag", o.etag())
	first, last := 0, len(o.body)-1
	status := http.StatusOK
	if spec, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		from, to, _ := strings.Cut(spec, "-")
		first, _ = strconv.Atoi(from)
		if n, err := strconv.Atoi(to); err == nil {
			last = min(n, last)
		}
		if first >= len(o.body) {
			s3Fail(w, 416, "InvalidRange", "beyond the end")
			return
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(o.body)))
		status = http.StatusPartialContent
	}
	w.Header().Set("Content-Length", strconv.Itoa(last+1-first))
	w.WriteHeader(status)
	w.Write(o.body[first : last+1])
}

func s3Create(ctx context.Context, s *S3, body string) error {
	return s.Create(ctx, s3TestKey, strings.NewReader(body), s3Options(body))
}

func s3Options(body string) CreateOptions {
	return CreateOptions{Size: int64(len(body)), SHA256: sha256.Sum256([]byte(body))}
}

// failFirst returns a handler that fails the first n requests of a method.
func failFirst(n int, method string, fail func(w http.ResponseWriter)) func(http.ResponseWriter, *http.Request) bool {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.Method != method || n == 0 {
			return false
		}
		n--
		_, _ = io.Copy(io.Discard, r.Body)
		fail(w)
		return true
	}
}

func containsAny(s string, words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(s, w) })
}
