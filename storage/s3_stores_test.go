//go:build stores

package storage_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"vitrine"
	"vitrine/storage"
	"vitrine/storage/storagetest"
)

// s3Client is Amazon's client for the store, bucket and endpoint of
// VITRINE_TEST_S3. It makes the bucket.
func s3Client(t *testing.T) (*s3.Client, *url.URL) {
	t.Helper()
	u, err := url.Parse(os.Getenv("VITRINE_TEST_S3"))
	if err != nil || u.Scheme != "s3" {
		t.Fatal("VITRINE_TEST_S3 is not set to a storage URL: s3://bucket?endpoint=…")
	}
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(u.Query().Get("region")))
	if err != nil {
		t.Fatal(err)
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.BaseEndpoint = aws.String(u.Query().Get("endpoint"))
		o.UsePathStyle = u.Query().Get("path_style") == "true"
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	})
	if _, err := client.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: &u.Host}); err != nil {
		if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &u.Host}); err != nil {
			t.Fatal(err)
		}
	}
	return client, u
}

// openS3 opens an empty place in the test's bucket, and clears it at the end.
func openS3(t *testing.T) storage.Bucket {
	t.Helper()
	_, u := s3Client(t)
	u.Path = "/" + rand.Text()
	return openS3At(t, u)
}

func openS3At(t *testing.T, u *url.URL) storage.Bucket {
	t.Helper()
	b, err := storage.OpenBucket(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		for o, err := range b.List(ctx, "") {
			if err == nil {
				err = b.Delete(ctx, o.Key)
			}
			if err != nil {
				t.Error(err)
			}
		}
		for u, err := range b.Uploads(ctx, "") {
			if err == nil {
				err = b.Abort(ctx, u.Key)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	return b
}

func TestS3(t *testing.T) { storagetest.Run(t, openS3) }

func TestS3WithoutPrefix(t *testing.T) {
	_, u := s3Client(t)
	b := openS3At(t, u)
	if err := create(t.Context(), b, key, "x"); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, b); len(got) != 1 || got[0] != key {
		t.Errorf("listed %q", got)
	}
}

func TestS3NoSuchBucket(t *testing.T) {
	_, u := s3Client(t)
	u.Host = "vitrine-" + strings.ToLower(rand.Text())
	_, err := storage.OpenBucket(t.Context(), u.String())
	if err == nil || !strings.Contains(err.Error(), "aws s3api create-bucket --bucket "+u.Host) {
		t.Errorf("error %v, want one that says how to make the bucket", err)
	}
}

func noise(t *testing.T, size int) ([]byte, storage.CreateOptions) {
	t.Helper()
	b := make([]byte, size)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b, storage.CreateOptions{Size: int64(size), SHA256: sha256.Sum256(b)}
}

func wantNoUploads(t *testing.T, b storage.Bucket) {
	t.Helper()
	for u, err := range b.Uploads(t.Context(), "") {
		t.Errorf("an upload is left: %v, %v", u, err)
	}
}

func readAll(t *testing.T, b storage.Bucket, key string) []byte {
	t.Helper()
	r, err := b.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// What is large goes in parts, and appears whole or not at all.
func TestS3Big(t *testing.T) {
	b := openS3(t)
	body, opts := noise(t, 40<<20+1)
	cut := errors.New("the runner went away")
	wrong := opts
	wrong.SHA256[0] ^= 1
	for what, test := range map[string]struct {
		body io.Reader
		opts storage.CreateOptions
		want error
	}{
		"cut":       {io.MultiReader(bytes.NewReader(body[:20<<20]), errReader{cut}), opts, cut},
		"too short": {bytes.NewReader(body[:20<<20]), opts, storage.ErrIntegrity},
		"too long":  {io.MultiReader(bytes.NewReader(body), strings.NewReader("!")), opts, storage.ErrIntegrity},
		"other":     {bytes.NewReader(body), wrong, storage.ErrIntegrity},
	} {
		if err := b.Create(t.Context(), key, test.body, test.opts); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", what, err, test.want)
		}
		wantNoUploads(t, b)
		if got := keys(t, b); len(got) > 0 {
			t.Errorf("%s: left behind %q", what, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	half := io.MultiReader(bytes.NewReader(body[:20<<20]), readerFunc(func([]byte) (int, error) { cancel(); return 0, nil }))
	if err := b.Create(ctx, key, half, opts); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled midway: %v", err)
	}
	wantNoUploads(t, b)

	// Racing writers of the same all succeed.
	errs := make(chan error, 3)
	for range cap(errs) {
		go func() { errs <- b.Create(t.Context(), key, bytes.NewReader(body), opts) }()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	wantNoUploads(t, b)
	if !bytes.Equal(readAll(t, b, key), body) {
		t.Error("other bytes came back")
	}
	if err := b.Create(t.Context(), key, bytes.NewReader(body), opts); err != nil {
		t.Errorf("the same again: %v", err)
	}
	other, opts := noise(t, 40<<20+1)
	if err := b.Create(t.Context(), key, bytes.NewReader(other), opts); !errors.Is(err, fs.ErrExist) {
		t.Errorf("other bytes of that size: %v, want fs.ErrExist", err)
	}
	wantNoUploads(t, b)
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// A part of wrong bytes leaves no upload without parts.
func TestS3WrongPartLeavesNothing(t *testing.T) {
	b := openS3(t)
	good := []byte("the bytes of the part")
	part := vitrine.NewPart(1, good)
	for _, body := range []io.Reader{
		strings.NewReader("THE BYTES OF THE PART"), errReader{errors.New("gone")}, strings.NewReader("the"),
		struct{ io.Reader }{strings.NewReader("THE BYTES OF THE PART")}, // that can't be read again
	} {
		if err := b.PutPart(t.Context(), key, part, body); err == nil {
			t.Error("stored")
		}
		wantNoUploads(t, b)
	}
	if err := b.PutPart(t.Context(), key, part, struct{ io.Reader }{bytes.NewReader(good)}); err != nil {
		t.Error(err)
	}
}

// An upload that somebody else aborts is begun anew.
func TestS3AbortedBySomebodyElse(t *testing.T) {
	_, u := s3Client(t)
	u.Path = "/" + rand.Text()
	b, other := openS3At(t, u), openS3At(t, u)
	part := vitrine.NewPart(1, []byte("x"))
	for range 2 {
		if err := b.PutPart(t.Context(), key, part, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		if err := other.Abort(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.PutPart(t.Context(), key, part, struct{ io.Reader }{strings.NewReader("x")}); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("a body that can't be read again: %v, want ErrUnavailable", err)
	}
	// Two that begin at once end on one upload.
	two := vitrine.NewPart(2, []byte("y"))
	one := vitrine.NewPart(1, bytes.Repeat([]byte("x"), vitrine.MinPartSize))
	errs := make(chan error, 2)
	go func() {
		errs <- b.PutPart(t.Context(), key, one, bytes.NewReader(bytes.Repeat([]byte("x"), vitrine.MinPartSize)))
	}()
	go func() { errs <- other.PutPart(t.Context(), key, two, strings.NewReader("y")) }()
	for range 2 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	opts := storage.CreateOptions{Size: one.Size + two.Size}
	for range 2 { // the second time there are no parts, but their hashes tell that it is the same
		if err := b.Complete(t.Context(), key, []vitrine.Part{one, two}, opts); err != nil {
			t.Error(err)
		}
	}
	wantNoUploads(t, other)
}

// T-OPS-1: no error repeats a signature, a key, or a URL with them.
func TestS3ErrorsHaveNoSecrets(t *testing.T) {
	_, u := s3Client(t)
	b := openS3(t)
	secret := os.Getenv("AWS_SECRET_ACCESS_KEY")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2hunter2")
	_, err := storage.OpenBucket(t.Context(), u.String())
	if err == nil || !strings.Contains(err.Error(), "403") || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("a wrong secret key: %v, want one that says 403 and what to look at", err)
	}
	refused := *u
	q := refused.Query()
	q.Set("endpoint", "http://127.0.0.1:1")
	refused.RawQuery = q.Encode()
	_, down := storage.OpenBucket(t.Context(), refused.String())
	if !errors.Is(down, storage.ErrUnavailable) {
		t.Errorf("nobody listens: %v, want ErrUnavailable", down)
	}
	q.Set("endpoint", "http://nowhere.invalid")
	refused.RawQuery = q.Encode()
	_, dns := storage.OpenBucket(t.Context(), refused.String())
	if !errors.Is(dns, storage.ErrUnavailable) {
		t.Errorf("no such host: %v, want ErrUnavailable", dns)
	}
	_, gone := b.Open(t.Context(), key)
	for _, err := range []error{err, down, dns, gone} {
		for _, word := range []string{"X-Amz", "Signature=", "hunter2", secret, "http://", "https://"} {
			if strings.Contains(err.Error(), word) {
				t.Errorf("%q is in: %v", word, err)
			}
		}
	}
}

func joined(body []byte) storage.CreateOptions {
	return storage.CreateOptions{Size: int64(len(body)), SHA256: sha256.Sum256(body)}
}
