//go:build stores

package storage_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/storage"
	"vitrine/storage/storagetest/faultproxy"
)

// A history that goes from a directory to S3, to Swift and back is the same.
func TestStoresCopyAround(t *testing.T) {
	first, last := openLocal(t, t.TempDir()), openLocal(t, t.TempDir())
	swift, _ := openSwift(t)
	for i, u := range []string{uuid, otherUUID} {
		putBuild(t, first, u, map[string][]byte{
			"a.age": []byte("a"), "empty.txt": {}, "big.age": bytes.Repeat([]byte("0123456789"), (vitrine.MinPartSize+i)/5),
		})
	}
	if err := create(t.Context(), first, vitrine.MarkKey(vitrine.KeptKind, start, uuid), "a mark"); err != nil {
		t.Fatal(err)
	}
	want := contents(t, first)
	places := []storage.Bucket{first, openS3(t), swift, last}
	for i, from := range places[:3] {
		totals, err := storage.Copy(t.Context(), places[i+1], from, storage.CopyOptions{})
		if err != nil || totals.Copied != len(want) || totals.Problems != 0 {
			t.Fatalf("copy %d: %+v, %v", i, totals, err)
		}
		totals, err = storage.Copy(t.Context(), places[i+1], from, storage.CopyOptions{Verify: true})
		if err != nil || totals.Copied != 0 || totals.Problems != 0 {
			t.Fatalf("copy %d, again: %+v, %v", i, totals, err)
		}
	}
	if got := contents(t, last); !maps.Equal(got, want) {
		t.Errorf("what came back differs: %d objects, want %d", len(got), len(want))
	}
}

// Each store proves itself, and nothing is left of the proof.
func TestStoresCheck(t *testing.T) {
	swift, _ := openSwift(t)
	for name, b := range map[string]storage.Bucket{"s3": openS3(t), "swift": swift} {
		signing := false
		good := storage.Check(t.Context(), b, func(f storage.Finding) {
			t.Logf("%s: %+v", name, f)
			signing = signing || f.What == "signing" && f.Good
		})
		if !good || !signing {
			t.Errorf("%s: good %v, signing %v", name, good, signing)
		}
		if left := keys(t, b); len(left) > 0 {
			t.Errorf("%s: left %q", name, left)
		}
	}
}

// S3 and Swift together; then S3 can't be reached.
func TestStoresSeveralOneStopped(t *testing.T) {
	_, u := s3Client(t)
	u.Path = "/" + rand.Text()
	openS3At(t, u) // which cleans up
	q := u.Query()
	proxy := faultproxy.New(t, q.Get("endpoint"))
	q.Set("endpoint", proxy.URL())
	through := *u
	through.RawQuery = q.Encode()
	_, container := openSwift(t)
	b, err := storage.OpenSeveral(t.Context(), []string{through.String(), container.place})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := b.(storage.Signer); !ok {
		t.Error("both sign, together they don't")
	}
	put := func(uuid string) error {
		for _, k := range []string{vitrine.StartedKey(start, uuid), vitrine.ArtifactKey(uuid, "a.age")} {
			if err := create(t.Context(), b, k, k); err != nil {
				return err
			}
		}
		return nil
	}
	where := func(uuid string) string {
		name, _ := b.(storage.Locator).Locate(t.Context(), vitrine.StartedKey(start, uuid))
		return name
	}
	if err := put(uuid); err != nil || !strings.HasPrefix(where(uuid), "s3://") {
		t.Fatalf("in %q, %v", where(uuid), err)
	}
	proxy.Down(true)
	if err := put(otherUUID); err != nil || !strings.HasPrefix(where(otherUUID), "swift://") {
		t.Errorf("while S3 is down: in %q, %v", where(otherUUID), err)
	}
	if r, err := b.Open(t.Context(), vitrine.ArtifactKey(otherUUID, "a.age")); err != nil {
		t.Error(err)
	} else {
		r.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := b.Stat(ctx, vitrine.ArtifactKey(uuid, "a.age")); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("what is in S3: %v", err)
	}
	var listErr error
	for _, listErr = range b.List(ctx, "") {
	}
	if !errors.Is(listErr, storage.ErrIncomplete) {
		t.Errorf("the list ends in %v", listErr)
	}
	// A server that starts now does so all the same.
	started := time.Now()
	if _, err := storage.OpenSeveral(ctx, []string{through.String(), container.place}); err != nil {
		t.Errorf("opened anew: %v", err)
	}
	t.Logf("opening took %s", time.Since(started))
	if proxy.Count("PUT") == 0 {
		t.Error("the proxy is not in between")
	}
}
