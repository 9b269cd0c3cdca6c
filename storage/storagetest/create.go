package storagetest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"vitrine/storage"
)

func storesTheBody(t *testing.T, b storage.Bucket) {
	before := time.Now().Add(-time.Minute)
	create(t, b, key, "hello")
	want(t, b, key, "hello")
	o, err := b.Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if o.Key != key || o.Size != 5 || o.ModTime.Before(before) || o.ModTime.After(time.Now().Add(time.Minute)) {
		t.Errorf("Stat: %+v", o)
	}
}

func storesAnEmptyObject(t *testing.T, b storage.Bucket) {
	create(t, b, key, "")
	want(t, b, key, "")
	create(t, b, key, "")
	if err := tryCreate(t.Context(), b, key, "x"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over an empty object: %v, want fs.ErrExist", err)
	}
	r, err := b.OpenRange(t.Context(), key, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, r); got != "" {
		t.Errorf("range of an empty object: %q", got)
	}
}

func storesABigObject(t *testing.T, b storage.Bucket) {
	body := strings.Repeat("0123456789abcde\n", 5<<16) + "end" // 5 MiB and a bit
	create(t, b, key, body)
	want(t, b, key, body)
	r, err := b.OpenRange(t.Context(), key, 4<<20-1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, r); got != body[4<<20-1:5<<20-1] {
		t.Errorf("a range from the middle: %d bytes, and not the right ones", len(got))
	}
}

func wholeOrNotAtAll(t *testing.T, b storage.Bucket) {
	const body = "the body that was promised"
	good := options(body)
	wrongHash := good
	wrongHash.SHA256[31] ^= 1
	negative := good
	negative.Size = -1
	broken := errors.New("the runner went away")
	for _, test := range []struct {
		name string
		body io.Reader
		opts storage.CreateOptions
		err  error // nil: any
	}{
		{"fails midway", io.MultiReader(strings.NewReader(body[:10]), iotest.ErrReader(broken)), good, broken},
		{"too short", strings.NewReader(body[:10]), good, storage.ErrIntegrity},
		{"nothing", strings.NewReader(""), good, storage.ErrIntegrity},
		{"too long", strings.NewReader(body + "!"), good, storage.ErrIntegrity},
		{"endless", endless{}, good, storage.ErrIntegrity},
		{"wrong hash", strings.NewReader(body), wrongHash, storage.ErrIntegrity},
		{"other bytes of that size", strings.NewReader(strings.ToUpper(body)), good, storage.ErrIntegrity},
		{"negative size", strings.NewReader(body), negative, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := b.Create(t.Context(), key, test.body, test.opts)
			if err == nil || test.err != nil && !errors.Is(err, test.err) {
				t.Errorf("Create: %v, want %v", err, test.err)
			}
			wantNothing(t, b)
		})
	}
	// None of it is in the way of the right one, which may come in any pieces.
	err := b.Create(t.Context(), key, iotest.DataErrReader(iotest.OneByteReader(strings.NewReader(body))), good)
	if err != nil {
		t.Fatal(err)
	}
	want(t, b, key, body)
}

func neverOverAnExistingKey(t *testing.T, b storage.Bucket) {
	create(t, b, key, "first")
	for _, body := range []string{"other", "longer than the first", "", "FIRST"} {
		if err := tryCreate(t.Context(), b, key, body); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Create of %q over another body: %v, want fs.ErrExist", body, err)
		}
		want(t, b, key, "first")
	}
	if err := b.Create(t.Context(), key, strings.NewReader("short"), options("longer")); err == nil {
		t.Error("Create of a wrong body over an existing key succeeded")
	}
	want(t, b, key, "first")
}

func sameBytesAgain(t *testing.T, b storage.Bucket) {
	create(t, b, key, "first")
	before, err := b.Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	create(t, b, key, "first")
	want(t, b, key, "first")
	if after, err := b.Stat(t.Context(), key); err != nil || after != before {
		t.Errorf("after the same bytes again: %+v, %v; before: %+v", after, err, before)
	}
}

func oneWriterWins(t *testing.T, b storage.Bucket) {
	const writers = 16
	bodies := make([]string, writers)
	errs := race(writers, func(i int) error {
		bodies[i] = strings.Repeat(fmt.Sprintf("writer %02d\n", i), 5000)
		return tryCreate(t.Context(), b, key, bodies[i])
	})
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Errorf("writers %d and %d both succeeded", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, fs.ErrExist):
			t.Errorf("writer %d: %v, want fs.ErrExist", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("no writer succeeded")
	}
	want(t, b, key, bodies[winner])
}

func sameBytesRace(t *testing.T, b storage.Bucket) {
	for i, err := range race(16, func(int) error { return tryCreate(t.Context(), b, key, "the same") }) {
		if err != nil {
			t.Errorf("writer %d: %v", i, err)
		}
	}
	want(t, b, key, "the same")
}
