package index_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"vitrine"
	"vitrine/server/index"
	"vitrine/storage"
)

// A process that ends before all of the bucket was in the index does not leave
// one that passes for whole: the next knows that it has to begin anew.
func TestRebuiltUntilWhole(t *testing.T) {
	t.Parallel()
	bucket := storage.NewMemory()
	for i := range 20 {
		publish(t, bucket, record(i*24))
	}
	path := filepath.Join(t.TempDir(), "index.sqlite")
	for _, step := range []struct {
		name string
		sync func(x *index.Index) error
		want bool
	}{
		{"nothing", func(*index.Index) error { return nil }, true},
		{"half a sync", func(x *index.Index) error {
			if _, err := x.Sync(t.Context(), &counter{Reader: bucket, listErr: io.ErrUnexpectedEOF}, time.Time{}); err == nil {
				return errors.New("succeeded")
			}
			return nil
		}, true},
		{"a build that comes", func(x *index.Index) error { return x.Add(t.Context(), entry(t, record(1))) }, true},
		{"a sync of two days", func(x *index.Index) error {
			_, err := x.Sync(t.Context(), bucket, now.AddDate(0, 0, -1))
			return err
		}, true},
		{"a sync of all", func(x *index.Index) error { syncAll(t, x, bucket); return nil }, false},
		{"half a sync more", func(x *index.Index) error {
			if _, err := x.Sync(t.Context(), &counter{Reader: bucket, listErr: io.ErrUnexpectedEOF}, time.Time{}); err == nil {
				return errors.New("succeeded")
			}
			return nil
		}, false},
	} {
		x := open(t, path)
		if err := step.sync(x); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := x.Rebuilt(); got != step.want {
			t.Errorf("after %s: still to be filled: %v, want %v", step.name, got, step.want)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		x = open(t, path)
		if got := x.Rebuilt(); got != step.want {
			t.Errorf("after %s, opened again: still to be filled: %v, want %v", step.name, got, step.want)
		}
		x.Close()
	}
}

// An ill store gives out all but one object: fails to open it, or breaks off.
type ill struct {
	storage.Reader
	key  string
	err  error
	late bool // breaks off
}

func (s ill) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	r, err := s.Reader.Open(ctx, key)
	if err != nil || key != s.key {
		return r, err
	}
	if !s.late {
		r.Close()
		return nil, s.err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r, 100), iotest.ErrReader(s.err)), r}, nil
}

// A record that the store does not give out now is not taken for a broken one:
// all others are added, and the sync is tried again.
func TestSyncUnreadable(t *testing.T) {
	t.Parallel()
	sick := record(3)
	key := vitrine.RecordKey(sick.StartTime, sick.UUID)
	for name, store := range map[string]ill{
		"record":             {key: key},
		"record breaks off":  {key: key, late: true},
		"signature":          {key: vitrine.SignatureKey(key)},
		"signature too, off": {key: vitrine.SignatureKey(key), late: true},
	} {
		for _, begun := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, begun %v", name, begun), func(t *testing.T) {
				t.Parallel()
				bucket := storage.NewMemory()
				for i := range 10 {
					publish(t, bucket, record(i))
				}
				inIndex := 9
				if begun {
					publish(t, bucket, started(sick))
					inIndex = 10
				}
				store := store // the other one runs beside
				store.Reader, store.err = bucket, errors.New("slow down "+strings.Repeat("x", 10_000))
				x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
				r, err := x.Sync(t.Context(), store, time.Time{})
				if err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "slow down") || len(err.Error()) > 1000 {
					t.Errorf("sync: %v, want a short error that names %s", err, key)
				}
				if r.Added != inIndex || r.Builds != inIndex || len(r.Problems) > 0 || !x.Rebuilt() {
					t.Errorf("report: %+v, want %d added; to be filled: %v", r, inIndex, x.Rebuilt())
				}
				if r := syncAll(t, x, bucket); r.Added != 1 || r.Builds != 10 || len(r.Problems) > 0 || x.Rebuilt() {
					t.Errorf("once the store is well again: %+v; to be filled: %v", r, x.Rebuilt())
				}
				if b, _, err := x.Build(t.Context(), sick.UUID); err != nil || b.State != vitrine.Finished {
					t.Errorf("the build: %v, %v", b.State, err)
				}
			})
		}
	}
}

// A stopper closes the index while a sync reads for it.
type stopper struct {
	storage.Reader
	after int64
	close func() error
}

func (s *stopper) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if atomic.AddInt64(&s.after, -1) == 0 {
		if err := s.close(); err != nil {
			return nil, err
		}
	}
	return s.Reader.Open(ctx, key)
}

// Whoever uses an index that is closed, or closes it under them, gets an error.
func TestClosed(t *testing.T) {
	t.Parallel()
	bucket := storage.NewMemory()
	for i := range 40 {
		publish(t, bucket, record(i))
	}
	for _, after := range []int64{1, 20, 80} {
		x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
		if r, err := x.Sync(t.Context(), &stopper{bucket, after, x.Close}, time.Time{}); err == nil || !x.Rebuilt() {
			t.Errorf("closed at the %d-th object: %+v, to be filled: %v", after, r, x.Rebuilt())
		}
		if _, err := x.Sync(t.Context(), bucket, time.Time{}); err == nil {
			t.Error("Sync of a closed index succeeded")
		}
		if err := x.Add(t.Context(), entry(t, record(1))); err == nil {
			t.Error("Add to a closed index succeeded")
		}
		if _, _, err := x.Build(t.Context(), record(1).UUID); err == nil {
			t.Error("Build of a closed index succeeded")
		}
		if _, err := x.Builds(t.Context(), index.Query{}); err == nil {
			t.Error("Builds of a closed index succeeded")
		}
	}
}
