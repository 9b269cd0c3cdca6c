package server_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vitrine"
	"vitrine/storage"
)

// A fakeStore is a bucket in memory that signs requests, and the store that
// honours them. It has a secret in its URLs under the names that real ones use.
type fakeStore struct {
	*storage.Memory
	url    string
	secret []byte

	created atomic.Int32 // artifacts that did not come by signed requests
	puts    atomic.Int32 // parts that did
	read    atomic.Int64 // bytes of artifacts that were read without a signed request
	refuse  atomic.Int32 // so many signed requests are answered 403
	broken  atomic.Pointer[error]
}

func newFakeStore(t *testing.T) *fakeStore {
	f := &fakeStore{Memory: storage.NewMemory(), secret: []byte(rand.Text())}
	h := httptest.NewServer(f)
	t.Cleanup(h.Close)
	f.url = h.URL
	return f
}

// fail makes the bucket fail from now on; nil heals it.
func (f *fakeStore) fail(err error) { f.broken.Store(&err) }

func (f *fakeStore) failure() error {
	if err := f.broken.Load(); err != nil {
		return *err
	}
	return nil
}

func (f *fakeStore) sign(query url.Values, method, path string) string {
	m := hmac.New(sha256.New, f.secret)
	fmt.Fprintf(m, "%s\n%s\n%s\n%s\n%s\n%s", method, path, query.Get("until"), query.Get("part"), query.Get("size"), query.Get("sha"))
	return hex.EncodeToString(m.Sum(nil))
}

func (f *fakeStore) signed(method, key string, query url.Values) string {
	sig := f.sign(query, method, "/"+key)
	query.Set("X-Amz-Signature", sig)
	query.Set("temp_url_sig", sig)
	return f.url + "/" + key + "?" + query.Encode()
}

// SignPart is [storage.Signer.SignPart].
func (f *fakeStore) SignPart(_ context.Context, key string, part vitrine.Part, until time.Time) (storage.Request, error) {
	if err := f.failure(); err != nil {
		return storage.Request{}, err
	}
	query := url.Values{"until": {strconv.FormatInt(until.Unix(), 10)}, "part": {strconv.Itoa(part.Number)}, "size": {fmt.Sprint(part.Size)}, "sha": {part.SHA256}}
	return storage.Request{Method: "PUT", URL: f.signed("PUT", key, query), Header: map[string]string{"X-Store": "yes", "Content-MD5": part.MD5}}, nil
}

// SignOpen is [storage.Signer.SignOpen].
func (f *fakeStore) SignOpen(_ context.Context, key, filename string, until time.Time) (string, error) {
	query := url.Values{"until": {strconv.FormatInt(until.Unix(), 10)}, "filename": {filename}}
	return f.signed("GET", key, query), f.failure()
}

func (f *fakeStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, query := strings.TrimPrefix(r.URL.Path, "/"), r.URL.Query()
	until, _ := strconv.ParseInt(query.Get("until"), 10, 64)
	if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
		http.Error(w, "what is for the server came to the store", http.StatusTeapot)
		return
	}
	if f.refuse.Add(-1) >= 0 || time.Now().Unix() >= until || query.Get("X-Amz-Signature") != f.sign(query, r.Method, r.URL.Path) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "<Error><Code>SignatureDoesNotMatch</Code><SignatureProvided>%s</SignatureProvided></Error>", query.Get("X-Amz-Signature"))
		return
	}
	switch r.Method {
	case http.MethodGet:
		o, err := f.Stat(r.Context(), key)
		body, err2 := f.Memory.Open(r.Context(), key)
		if err := errors.Join(err, err2); err != nil {
			http.Error(w, "", http.StatusNotFound)
			return
		}
		text, _ := io.ReadAll(body)
		w.Header().Set("ETag", `"the store's own"`)
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", o.ModTime, strings.NewReader(string(text)))
	case http.MethodPut:
		number, _ := strconv.Atoi(query.Get("part"))
		part := vitrine.Part{Number: number, Size: r.ContentLength, SHA256: query.Get("sha"), MD5: r.Header.Get("Content-MD5")}
		if fmt.Sprint(part.Size) != query.Get("size") || r.Header.Get("X-Store") != "yes" {
			http.Error(w, "<Code>EntityTooLarge</Code>", http.StatusForbidden)
			return
		}
		if err := f.Memory.PutPart(r.Context(), key, part, r.Body); err != nil {
			http.Error(w, "<Code>BadDigest</Code>", http.StatusBadRequest)
			return
		}
		f.puts.Add(1)
	}
}

// The bucket's own doors count what passes, and fail when they are to.

func (f *fakeStore) Create(ctx context.Context, key string, body io.Reader, opts storage.CreateOptions) error {
	if err := f.failure(); err != nil {
		return err
	}
	if strings.HasPrefix(key, vitrine.ArtifactsPrefix) {
		f.created.Add(1)
	}
	return f.Memory.Create(ctx, key, body, opts)
}

func (f *fakeStore) PutPart(ctx context.Context, key string, part vitrine.Part, body io.Reader) error {
	if err := f.failure(); err != nil {
		return err
	}
	f.created.Add(1)
	return f.Memory.PutPart(ctx, key, part, body)
}

func (f *fakeStore) Complete(ctx context.Context, key string, parts []vitrine.Part, opts storage.CreateOptions) error {
	if err := f.failure(); err != nil {
		return err
	}
	return f.Memory.Complete(ctx, key, parts, opts)
}

func (f *fakeStore) Stat(ctx context.Context, key string) (storage.Object, error) {
	if err := f.failure(); err != nil {
		return storage.Object{}, err
	}
	return f.Memory.Stat(ctx, key)
}

func (f *fakeStore) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	return f.OpenRange(ctx, key, 0, -1)
}

func (f *fakeStore) OpenRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := f.failure(); err != nil {
		return nil, err
	}
	r, err := f.Memory.OpenRange(ctx, key, off, n)
	if err != nil || !strings.HasPrefix(key, vitrine.ArtifactsPrefix) {
		return r, err
	}
	return &countedReader{r, &f.read}, nil
}

type countedReader struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

var _ storage.Signer = (*fakeStore)(nil)
