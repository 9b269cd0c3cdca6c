package storagetest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"vitrine"
	"vitrine/storage"
)

func opensRanges(t *testing.T, b storage.Bucket) {
	create(t, b, key, "0123456789")
	for _, test := range []struct {
		off, n int64
		want   string
	}{
		{0, 10, "0123456789"}, {0, -1, "0123456789"}, {0, 1, "0"}, {3, 4, "3456"}, {9, 1, "9"},
		{4, -1, "456789"}, {8, 100, "89"}, {8, 1<<63 - 1, "89"}, {5, 0, ""}, {0, 0, ""},
		{10, 0, ""}, {10, 5, ""}, {10, -1, ""},
	} {
		r, err := b.OpenRange(t.Context(), key, test.off, test.n)
		if err != nil {
			t.Errorf("OpenRange(%d, %d): %v", test.off, test.n, err)
			continue
		}
		if got := read(t, r); got != test.want {
			t.Errorf("OpenRange(%d, %d): %q, want %q", test.off, test.n, got, test.want)
		}
	}
}

func offsetBeyondTheEnd(t *testing.T, b storage.Bucket) {
	create(t, b, key, "0123456789")
	for _, off := range []int64{11, 1 << 40, 1<<63 - 1, -1} {
		for _, n := range []int64{-1, 0, 1} {
			if r, err := b.OpenRange(t.Context(), key, off, n); err == nil {
				r.Close()
				t.Errorf("OpenRange(%d, %d) of ten bytes succeeded", off, n)
			} else if errors.Is(err, fs.ErrNotExist) {
				t.Errorf("OpenRange(%d, %d) of ten bytes: %v, but the object is there", off, n, err)
			}
		}
	}
}

func missingObject(t *testing.T, b storage.Bucket) {
	check := func(key string) {
		t.Helper()
		if r, err := b.Open(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%s): %v, %v, want fs.ErrNotExist", key, r, err)
		}
		if r, err := b.OpenRange(t.Context(), key, 1, 1); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("OpenRange(%s): %v, %v, want fs.ErrNotExist", key, r, err)
		}
		if o, err := b.Stat(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat(%s): %v, %v, want fs.ErrNotExist", key, o, err)
		}
	}
	check(key)
	create(t, b, key, "x")
	check(vitrine.ArtifactKey(uuid, "deploy.log.zst"))
	check(key + "/below")
	create(t, b, vitrine.ArtifactKey(uuid, "folder/file"), "x")
	check(vitrine.ArtifactKey(uuid, "folder"))
}

func cancelledStream(t *testing.T, b storage.Bucket) {
	create(t, b, key, strings.Repeat("x", 2<<20))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := b.Open(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		t.Errorf("read after cancel: %v", err)
	}
}

func manyReaders(t *testing.T, b storage.Bucket) {
	body := strings.Repeat("0123456789", 10_000)
	create(t, b, key, body)
	for i, err := range race(16, func(i int) error {
		off := int64(i * 1000)
		r, err := b.OpenRange(t.Context(), key, off, 5000)
		if err != nil {
			return err
		}
		defer r.Close()
		got, err := io.ReadAll(r)
		if err == nil && string(got) != body[off:off+5000] {
			err = errors.New("wrong bytes")
		}
		return err
	}) {
		if err != nil {
			t.Errorf("reader %d: %v", i, err)
		}
	}
}
