package storage_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vitrine"
	"vitrine/storage"
	"vitrine/storage/storagetest"
)

// A patient is a bucket that can fall ill.
type patient struct {
	storage.Bucket
	down  error // of every call
	full  error // of every write
	calls int
}

func (p *patient) fail() error {
	p.calls++
	return p.down
}

func (p *patient) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	return p.OpenRange(ctx, key, 0, -1)
}

func (p *patient) OpenRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := p.fail(); err != nil {
		return nil, err
	}
	return p.Bucket.OpenRange(ctx, key, off, n)
}

func (p *patient) Stat(ctx context.Context, key string) (storage.Object, error) {
	if err := p.fail(); err != nil {
		return storage.Object{}, err
	}
	return p.Bucket.Stat(ctx, key)
}

func (p *patient) List(ctx context.Context, prefix string) iter.Seq2[storage.Object, error] {
	if err := p.fail(); err != nil {
		return func(yield func(storage.Object, error) bool) { yield(storage.Object{}, err) }
	}
	return p.Bucket.List(ctx, prefix)
}

func (p *patient) Create(ctx context.Context, key string, body io.Reader, opts storage.CreateOptions) error {
	if err := p.fail(); err != nil {
		return err
	}
	if p.full != nil {
		io.CopyN(io.Discard, body, 1) // it fails when something of the body is gone
		return p.full
	}
	return p.Bucket.Create(ctx, key, body, opts)
}

func (p *patient) PutPart(ctx context.Context, key string, part vitrine.Part, body io.Reader) error {
	if p.full != nil {
		return p.full
	}
	return p.Bucket.PutPart(ctx, key, part, body)
}

func (p *patient) Delete(ctx context.Context, key string) error {
	if err := p.fail(); err != nil {
		return err
	}
	return p.Bucket.Delete(ctx, key)
}

func several(t *testing.T, buckets ...storage.Bucket) storage.Bucket {
	t.Helper()
	var stores []storage.Store
	for i, b := range buckets {
		stores = append(stores, storage.Store{Name: fmt.Sprintf("store-%d", i),
			Open: func(context.Context) (storage.Bucket, error) { return b, nil }})
	}
	return storage.Several(t.Context(), stores...)
}

func TestSeveral(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Bucket {
		return several(t, storage.NewMemory(), storage.NewMemory())
	})
}

// What one store can't take the other does, and nobody sees a difference.
func TestSeveralOneTakesNothing(t *testing.T) {
	full := fmt.Errorf("no space: %w", storage.ErrUnavailable)
	storagetest.Run(t, func(t *testing.T) storage.Bucket {
		refuses := refusing{storage.NewMemory(), full}
		return several(t, refuses, storage.NewMemory())
	})
}

// A refusing bucket takes nothing, and reads nothing of a body.
type refusing struct {
	storage.Bucket
	err error
}

func (r refusing) Create(context.Context, string, io.Reader, storage.CreateOptions) error {
	return r.err
}

func (r refusing) PutPart(context.Context, string, vitrine.Part, io.Reader) error { return r.err }

const otherUUID = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

var start = time.Date(2026, 11, 22, 2, 11, 9, 0, time.UTC)

// A build goes as a whole to one store, the first that takes its first object.
func TestSeveralKeepsBuildsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &patient{Bucket: storage.NewMemory()}, &patient{Bucket: storage.NewMemory()}
		b := several(t, one, two)
		put := func(key string) error { return create(t.Context(), b, key, "body of "+key) }
		has := func(p *patient, key string) bool {
			_, err := p.Bucket.Stat(t.Context(), key)
			return err == nil
		}
		for _, cause := range []error{storage.ErrUnavailable, errors.New("no space left on device")} {
			one.full = cause
			if err := put(vitrine.StartedKey(start, uuid)); err != nil {
				t.Fatal(err)
			}
			one.full = nil
			for _, key := range []string{key, vitrine.ArtifactKey(uuid, "b"), vitrine.RecordKey(start, uuid)} {
				if err := put(key); err != nil {
					t.Fatal(err)
				}
				if has(one, key) || !has(two, key) {
					t.Errorf("%s is not where the build began", key)
				}
			}
			// A bucket that knows nothing yet finds out.
			b = several(t, one, two)
			mark := vitrine.MarkKey(vitrine.KeptKind, start, uuid)
			if err := put(mark); err != nil || !has(two, mark) {
				t.Errorf("the mark is not beside the record: %v", err)
			}
			// While its store is down, a build waits; another does not.
			two.down = storage.ErrUnavailable
			if err := put(vitrine.ArtifactKey(uuid, "c")); !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("an object of a build whose store is down: %v", err)
			}
			if err := put(vitrine.StartedKey(start, otherUUID)); err != nil || !has(one, vitrine.StartedKey(start, otherUUID)) {
				t.Errorf("another build: %v", err)
			}
			two.down = nil
			time.Sleep(time.Minute)
			for _, u := range []string{uuid, otherUUID} {
				for o, err := range b.List(t.Context(), "") {
					if err != nil {
						t.Fatal(err)
					}
					if strings.Contains(o.Key, u) {
						b.Delete(t.Context(), o.Key)
					}
				}
			}
			b = several(t, one, two)
		}
	})
}

// A store that stops when it has taken no more of a build than a signature keeps
// nobody from beginning it in the next.
func TestSeveralStopsAtTheSignature(t *testing.T) {
	started := vitrine.StartedKey(start, uuid)
	for _, again := range []bool{false, true} { // whether the signature is sent once more
		one, two := &patient{Bucket: storage.NewMemory()}, &patient{Bucket: storage.NewMemory()}
		b := several(t, one, two)
		put := func(key string) {
			t.Helper()
			if err := create(t.Context(), b, key, "body of "+key); err != nil {
				t.Fatal(err)
			}
		}
		put(vitrine.SignatureKey(started))
		one.down = storage.ErrUnavailable
		if again {
			put(vitrine.SignatureKey(started))
		}
		put(started)
		if got := keys(t, two.Bucket); !slices.Equal(got, []string{started, vitrine.SignatureKey(started)}) {
			t.Errorf("the next store has %q", got)
		}
		// It stays there when the first is back, also for who knows nothing yet.
		one.down = nil
		put(key)
		b = several(t, one, two)
		put(vitrine.RecordKey(start, uuid))
		if got := keys(t, one.Bucket); !slices.Equal(got, []string{vitrine.SignatureKey(started)}) {
			t.Errorf("the first store has %q", got)
		}
	}
}

// What is not an answer about the store ends the search for one.
func TestSeveralAnswers(t *testing.T) {
	one, two := &patient{Bucket: storage.NewMemory()}, &patient{Bucket: storage.NewMemory()}
	b := several(t, one, two)
	one.full = storage.ErrUnavailable
	once := io.MultiReader(strings.NewReader("hello")) // which can't be read again
	if err := b.Create(t.Context(), key, once, optionsFor([]byte("hello"))); err == nil {
		t.Error("half a body was stored")
	}
	if err := b.Create(t.Context(), key, bytes.NewReader([]byte("hello")), optionsFor([]byte("hello"))); err != nil {
		t.Errorf("a body that can be read again: %v", err)
	}
	one.full = nil
	if err := b.Create(t.Context(), vitrine.ArtifactKey(otherUUID, "a"), strings.NewReader("other"), optionsFor([]byte("hello"))); !errors.Is(err, storage.ErrIntegrity) {
		t.Errorf("a wrong body: %v", err)
	}
	if got := keys(t, two.Bucket); !slices.Equal(got, []string{key}) {
		t.Errorf("the second store has %q", got)
	}
	if err := create(t.Context(), b, key, "other bytes"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over an object of the second store: %v", err)
	}
	if got := keys(t, one.Bucket); len(got) != 0 {
		t.Errorf("the first store has %q", got)
	}
}

// A store that is down hides nothing of the others, and what it may have is not
// said to be missing.
func TestSeveralOneDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &patient{Bucket: storage.NewMemory()}, &patient{Bucket: storage.NewMemory()}
		there, hidden := vitrine.ArtifactKey(otherUUID, "a"), key
		if err := errors.Join(create(t.Context(), one, hidden, "hidden"), create(t.Context(), two, there, "there")); err != nil {
			t.Fatal(err)
		}
		b := several(t, one, two)
		for _, down := range []error{storage.ErrUnavailable, errors.New("403 Forbidden")} {
			one.down = down
			if r, err := b.Open(t.Context(), there); err != nil {
				t.Errorf("what the other has: %v", err)
			} else {
				r.Close()
			}
			if _, err := b.Stat(t.Context(), hidden); !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("what it has: %v", err)
			}
			var listed []string
			var err error
			for o, e := range b.List(t.Context(), "") {
				if err = e; err == nil {
					listed = append(listed, o.Key)
				}
			}
			if !slices.Equal(listed, []string{there}) || !errors.Is(err, storage.ErrIncomplete) {
				t.Errorf("listed %q, then %v", listed, err)
			}
			if err := b.Delete(t.Context(), there); err == nil {
				t.Error("deleted everywhere, it is said")
			}
			if err := create(t.Context(), two, there, "there"); err != nil {
				t.Fatal(err)
			}
			one.down = nil
			time.Sleep(time.Minute)
			if got := keys(t, b); !slices.Equal(got, []string{hidden, there}) {
				t.Errorf("when it is back: %q", got)
			}
		}
		// It rests: not every request waits for it.
		one.down, one.calls = storage.ErrUnavailable, 0
		for range 100 {
			b.Stat(t.Context(), vitrine.ArtifactKey("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "x"))
		}
		if one.calls > 2 {
			t.Errorf("it was asked %d times in no time", one.calls)
		}
	})
}

// A store that is not there when the history is opened is opened when it is.
func TestSeveralOpensLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := storage.NewMemory()
		create(t.Context(), late, key, "late")
		up := false
		b := storage.Several(t.Context(),
			storage.Store{Name: "now", Open: func(context.Context) (storage.Bucket, error) { return storage.NewMemory(), nil }},
			storage.Store{Name: "late", Open: func(ctx context.Context) (storage.Bucket, error) {
				if !up { // it does not even answer
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return late, nil
			}})
		before := time.Now()
		if _, err := b.Stat(t.Context(), key); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("before: %v", err)
		}
		if waited := time.Since(before); waited > 5*time.Second {
			t.Errorf("it took %s to give up", waited)
		}
		up = true
		time.Sleep(time.Minute)
		if _, err := b.Stat(t.Context(), key); err != nil {
			t.Errorf("after: %v", err)
		}
		if name, err := b.(storage.Locator).Locate(t.Context(), key); name != "late" {
			t.Errorf("it lies in %q, %v", name, err)
		}
	})
}

// Of what two stores have after a copy the list shows one; Delete takes both.
func TestSeveralCopies(t *testing.T) {
	one, two := storage.NewMemory(), storage.NewMemory()
	for _, b := range []storage.Bucket{one, two} {
		if err := create(t.Context(), b, key, "both"); err != nil {
			t.Fatal(err)
		}
	}
	b := several(t, one, two)
	if got := keys(t, b); !slices.Equal(got, []string{key}) {
		t.Errorf("listed %q", got)
	}
	if err := b.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if got := append(keys(t, one), keys(t, two)...); len(got) > 0 {
		t.Errorf("left %q", got)
	}
	if _, ok := b.(storage.Signer); ok {
		t.Error("memory can't sign")
	}
}

func TestPlaceName(t *testing.T) {
	for place, want := range map[string]string{
		"/var/lib/vitrine/bucket":                     "/var/lib/vitrine/bucket",
		"s3://logs/a?endpoint=https://u:p@h&region=x": "s3://logs/a",
		"swift://logs?cloud=one":                      "swift://logs",
		"s3://user:secret@logs/a":                     "s3://logs/a",
	} {
		if got := storage.PlaceName(place); got != want {
			t.Errorf("PlaceName(%q): %q, want %q", place, got, want)
		}
	}
}

func optionsFor(body []byte) storage.CreateOptions {
	return storage.CreateOptions{Size: int64(len(body)), SHA256: sha256.Sum256(body)}
}

// A signing bucket signs requests, or says why not.
type signing struct {
	storage.Bucket
	wrong error
}

func (s signing) SignPart(context.Context, string, vitrine.Part, time.Time) (storage.Request, error) {
	return storage.Request{}, s.wrong
}

func (s signing) SignOpen(context.Context, string, string, time.Time) (string, error) {
	return "", s.wrong
}

// A store that can't sign would get builds when the one before it is down, so it
// is found out while both are there; one that is away may be all right.
func TestSeveralSign(t *testing.T) {
	noKey := errors.New("the container has no TempURL key")
	for _, test := range []struct{ wrong, want error }{
		{nil, nil}, {noKey, noKey}, {storage.ErrUnavailable, nil},
	} {
		b := several(t, signing{storage.NewMemory(), nil}, signing{storage.NewMemory(), test.wrong})
		signer, ok := b.(storage.Signer)
		if !ok {
			t.Fatal("several stores that sign are no Signer")
		}
		_, err := signer.SignPart(t.Context(), vitrine.ArtifactKey(strings.Repeat("0", 32), "a.age"), vitrine.NewPart(1, []byte("x")), time.Now().Add(time.Hour))
		if !errors.Is(err, test.want) || test.want == nil && err != nil {
			t.Errorf("the second says %v: error %v, want %v", test.wrong, err, test.want)
		}
	}
	if _, ok := several(t, signing{storage.NewMemory(), nil}, storage.NewMemory()).(storage.Signer); ok {
		t.Error("a store that does not sign is taken for one that does")
	}
}
