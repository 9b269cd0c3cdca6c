// Package storagetest holds what every storage backend must do: one subtest for
// each promise that the prose of package storage makes. It is imported by tests
// alone, and must know nothing of any backend.
package storagetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"sync"
	"testing"

	"vitrine"
	"vitrine/storage"
)

const uuid = "3f0c2b7a9d8e4f10a1b2c3d4e5f60718"

var key = vitrine.ArtifactKey(uuid, "deploy.log.zst.age")

// Run tests that the buckets which open returns keep the promises of package
// storage. Each call of open gives an empty bucket, and cleans up by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) storage.Bucket) {
	for _, test := range []struct {
		promise string
		run     func(t *testing.T, b storage.Bucket)
	}{
		{"stores the body", storesTheBody},
		{"stores an empty object", storesAnEmptyObject},
		{"stores a big object", storesABigObject},
		{"whole or not at all", wholeOrNotAtAll},
		{"never over an existing key", neverOverAnExistingKey},
		{"the same bytes again succeed", sameBytesAgain},
		{"of racing writers one wins", oneWriterWins},
		{"racing writers of the same bytes all succeed", sameBytesRace},
		{"opens ranges", opensRanges},
		{"an offset beyond the end is an error", offsetBeyondTheEnd},
		{"lists in the order of the keys' bytes", listsInOrder},
		{"lists every key with the prefix", listsPrefixes},
		{"lists what was created before the call", listsWhatIsThere},
		{"a missing object is fs.ErrNotExist", missingObject},
		{"refuses keys that are not vitrine's", refusesForeignKeys},
		{"deletes", deletes},
		{"a cancelled context ends a call", cancelledContext},
		{"a cancelled context ends a stream", cancelledStream},
		{"many read at once", manyReaders},
		{"completes parts", completesParts},
		{"a part that comes again takes the place of the earlier", partAgain},
		{"refuses a body that is not the part", wrongPart},
		{"completes nothing of parts that are not there", missingParts},
		{"never completes over an existing key", completeOverAnExistingKey},
		{"parts are no objects", partsAreNoObjects},
		{"completes what Parts tells", completesWhatIsThere},
		{"completions at once all succeed", completesAtOnce},
		{"aborts", aborts},
		{"aborts no neighbour", abortsNoNeighbour},
	} {
		t.Run(test.promise, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func options(body string) storage.CreateOptions {
	return storage.CreateOptions{Size: int64(len(body)), SHA256: sha256.Sum256([]byte(body))}
}

func tryCreate(ctx context.Context, b storage.Bucket, key, body string) error {
	return b.Create(ctx, key, bytes.NewReader([]byte(body)), options(body))
}

func create(t *testing.T, b storage.Bucket, key, body string) {
	t.Helper()
	if err := tryCreate(t.Context(), b, key, body); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, b storage.Bucket, key, body string) {
	t.Helper()
	r, err := b.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, r); got != body {
		t.Errorf("%s holds %.60q (%d bytes), want %.60q (%d)", key, got, len(got), body, len(body))
	}
}

func wantNothing(t *testing.T, b storage.Bucket) {
	t.Helper()
	if got := list(t, b, ""); len(got) > 0 {
		t.Errorf("left behind: %q", got)
	}
}

func read(t *testing.T, r io.ReadCloser) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return string(b)
}

func list(t *testing.T, b storage.Bucket, prefix string) []string {
	t.Helper()
	var keys []string
	for o, err := range b.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("List(%.60q): %v", prefix, err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

// race runs n calls at once and returns their errors.
func race(n int, f func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
