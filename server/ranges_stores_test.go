//go:build stores

package server_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"vitrine"
	"vitrine/remote"
	"vitrine/storage"
)

// An artifact is read by ranges from the store itself, for which the server is
// asked once; and when it is another object there, that is an error.
func TestRangesOnStores(t *testing.T) {
	onStores(t, func(t *testing.T, b storage.Bucket) {
		s := newSiteOn(t, b, direct)
		r := s.publishFiles(bigAndSmall)
		for path, body := range bigAndSmall {
			if len(body) < 1000 {
				continue
			}
			key, size := vitrine.ArtifactKey(r.UUID, path), int64(len(body))
			object := s.client().Object(key, size)
			f := remote.Open(t.Context(), object, size, remote.Options{Head: 100, Tail: 200})
			defer f.Close()
			read := func(off int64) error {
				p := make([]byte, 100)
				_, err := f.ReadAt(p, off)
				if err == nil && !bytes.Equal(p, body[off:off+100]) {
					t.Errorf("%s: other bytes at %d", path, off)
				}
				return err
			}
			if err := errors.Join(read(0), read(size-200), read(size-100)); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if size < 200<<10 {
				continue
			}
			if requests, n := f.Fetched(); requests != 3 || n > 64<<10 {
				t.Errorf("%s: %d requests, %d bytes", path, requests, n)
			}
			other := sealedBytes(len(body))
			if err := errors.Join(b.Delete(t.Context(), key), b.Create(t.Context(), key, bytes.NewReader(other), optionsOf(other))); err != nil {
				t.Fatal(err)
			}
			if err := read(size / 2); !errors.Is(err, remote.ErrChanged) || strings.Contains(strings.ToLower(err.Error()), "sig") {
				t.Errorf("%s has changed: error %v", path, err)
			}
			if got := object.Requests(); got != 4 {
				t.Errorf("%s: %d requests, one of which shows that it has changed", path, got)
			}
		}
		s.noSignatureTold()
	})
}
