package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vitrine"
	"vitrine/retention"
	"vitrine/storage"
)

// A stoppable bucket is one whose store can be stopped.
type stoppable struct {
	storage.Bucket
	stopped atomic.Bool
}

func (s *stoppable) err() error {
	if s.stopped.Load() {
		return storage.ErrUnavailable
	}
	return nil
}

func (s *stoppable) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Bucket.Open(ctx, key)
}

func (s *stoppable) OpenRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Bucket.OpenRange(ctx, key, off, n)
}

func (s *stoppable) Stat(ctx context.Context, key string) (storage.Object, error) {
	if err := s.err(); err != nil {
		return storage.Object{}, err
	}
	return s.Bucket.Stat(ctx, key)
}

func (s *stoppable) List(ctx context.Context, prefix string) iter.Seq2[storage.Object, error] {
	if err := s.err(); err != nil {
		return func(yield func(storage.Object, error) bool) { yield(storage.Object{}, err) }
	}
	return s.Bucket.List(ctx, prefix)
}

func (s *stoppable) Uploads(ctx context.Context, prefix string) iter.Seq2[storage.Upload, error] {
	if err := s.err(); err != nil {
		return func(yield func(storage.Upload, error) bool) { yield(storage.Upload{}, err) }
	}
	return s.Bucket.Uploads(ctx, prefix)
}

func (s *stoppable) Create(ctx context.Context, key string, body io.Reader, opts storage.CreateOptions) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Bucket.Create(ctx, key, body, opts)
}

// With one of two stores stopped the server starts, shows what the other has, and
// takes builds; nothing of the stopped one is thought to be gone, or removed.
func TestOneStoreOfTwoStopped(t *testing.T) {
	one, two := &stoppable{Bucket: storage.NewMemory()}, &stoppable{Bucket: storage.NewMemory()}
	open := func() storage.Bucket {
		place := func(name string, b storage.Bucket) storage.Store {
			return storage.Store{Name: name, Open: func(context.Context) (storage.Bucket, error) { return b, nil }}
		}
		return storage.Several(t.Context(), place("s3://one", one), place("swift://two", two))
	}
	s := newSiteOn(t, open(), nil)
	first := s.publish()
	stored := func(s *site, r *vitrine.Record) string {
		var b vitrine.Build
		if err := json.Unmarshal([]byte(s.want(200, "uuid", "GET", api+"/"+r.UUID, nil, nil)), &b); err != nil {
			t.Fatal(err)
		}
		return b.Storage
	}
	if got := stored(s, first); got != "s3://one" {
		t.Errorf("the first build is in %q", got)
	}
	one.stopped.Store(true)
	second := s.publish()
	if got := stored(s, second); got != "swift://two" {
		t.Errorf("the second build is in %q", got)
	}
	image := func(r *vitrine.Record) string { return api + "/" + r.UUID + "/artifacts/x.png" }
	s.want(200, "png", "GET", image(second), nil, nil)
	if status, text := s.do("GET", image(first), nil, nil); status != 503 {
		t.Errorf("what the stopped store has: %d %s", status, text)
	}
	s.want(200, first.UUID, "GET", api, nil, nil)
	// The same uuid again, which the index knows to be in the stopped store.
	again := s.started(func(r *vitrine.Record) {
		r.UUID, r.StartTime, r.Expires = first.UUID, r.StartTime.Add(-time.Minute), r.Expires.Add(-time.Minute)
	})
	if status, text := s.do("POST", api, nil, request(t, again, s.bridge)); status != 503 {
		t.Errorf("a uuid that is taken: %d %s", status, text)
	}
	if err := s.server.RemoveExpired(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing is removed") {
		t.Errorf("RemoveExpired: %v", err)
	}

	// One that starts now, with an empty index.
	n := s.again(open())
	if err := n.server.Refresh(t.Context()); err == nil {
		t.Error("a refresh without one store is said to be whole")
	}
	n.want(200, second.UUID, "GET", api, nil, nil)
	third := n.publish()
	if got := stored(n, third); got != "swift://two" {
		t.Errorf("the third build is in %q", got)
	}

	// It comes back.
	one.stopped.Store(false)
	n = s.again(open())
	n.refresh()
	for _, r := range []*vitrine.Record{first, second, third} {
		n.want(200, "png", "GET", image(r), nil, nil)
	}
}

// The server removes what has expired, shows when, and says so in its log.
func TestRemoveExpired(t *testing.T) {
	s := newSite(t)
	kept := s.publish()
	old := s.started(func(r *vitrine.Record) {
		r.StartTime = r.StartTime.Add(-40 * 24 * time.Hour)
		r.Expires = r.StartTime.AddDate(0, 0, 30)
	})
	final := finished(old, artifact("x.png", "png", false))
	final.Result = "FAILURE"
	key := vitrine.ArtifactKey(old.UUID, "x.png")
	if err := s.bucket.Create(t.Context(), key, strings.NewReader("png"), storage.CreateOptions{Size: 3, SHA256: [32]byte(unhex(t, final.Artifacts[0].SHA256))}); err != nil {
		t.Fatal(err)
	}
	s.put(vitrine.StartedKey(old.StartTime, old.UUID), signed(t, old, s.bridge))
	s.put(vitrine.RecordKey(old.StartTime, old.UUID), signed(t, final, s.bridge))
	if err := s.server.RemoveExpired(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.want(200, `"expired":"20`, "GET", api+"/"+old.UUID, nil, nil)
	s.want(200, "png", "GET", api+"/"+kept.UUID+"/artifacts/x.png", nil, nil)
	if status, _ := s.do("GET", api+"/"+old.UUID+"/artifacts/x.png", nil, nil); status != 410 {
		t.Errorf("an expired artifact is answered with %d", status)
	}
	if log := s.log.String(); !strings.Contains(log, `"msg":"artifacts removed","uuid":"`+old.UUID+`","reason":"`+string(retention.Expired)) {
		t.Errorf("the log has no word of it: %s", log)
	}
}

func unhex(t *testing.T, s string) (b []byte) {
	t.Helper()
	if _, err := fmt.Sscanf(s, "%x", &b); err != nil {
		t.Fatal(err)
	}
	return b
}
