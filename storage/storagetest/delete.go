package storagetest

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"vitrine"
	"vitrine/storage"
)

func refusesForeignKeys(t *testing.T, b storage.Bucket) {
	for _, k := range []string{
		"", ".", "/", "..", "../x", "/etc/passwd", "x", "artifacts", "artifacts/", "artifacts/" + uuid, "artifacts/" + uuid + "/",
		"artifacts/" + uuid + "/../x", "artifacts/" + uuid + "/a/../../../x", "artifacts/" + uuid + "//a", "artifacts/../" + key,
		"/" + key, "./" + key, key + "/", `artifacts\` + uuid + `\a`, "artifacts/" + uuid + `/a\b`, "artifacts/" + uuid + "/a\x00b",
		"artifacts/" + uuid + "/.git/config", "artifacts/" + uuid + "/CON", "artifacts/" + uuid + "/a b", "artifacts/" + uuid + "/ä",
		"artifacts/" + strings.ToUpper(uuid) + "/a", "artifacts/short/a", "artifacts/" + uuid + "/" + strings.Repeat("a", 209),
		"records/2026/11/22/" + uuid + "/other.json", "records/2026/11/31/" + uuid + "/build.json", "records/2026/1/2/" + uuid + "/build.json",
		"records/2026/11/22/" + uuid, ".tmp/x", "https://example.org/x",
	} {
		if err := tryCreate(t.Context(), b, k, "x"); err == nil {
			t.Errorf("Create(%.60q) succeeded", k)
		}
		if r, err := b.Open(t.Context(), k); err == nil {
			r.Close()
			t.Errorf("Open(%.60q) succeeded", k)
		}
		if r, err := b.OpenRange(t.Context(), k, 0, 1); err == nil {
			r.Close()
			t.Errorf("OpenRange(%.60q) succeeded", k)
		}
		if _, err := b.Stat(t.Context(), k); err == nil {
			t.Errorf("Stat(%.60q) succeeded", k)
		}
		if err := b.Delete(t.Context(), k); err == nil {
			t.Errorf("Delete(%.60q) succeeded", k)
		}
	}
	wantNothing(t, b)
}

func deletes(t *testing.T, b storage.Bucket) {
	neighbour := vitrine.ArtifactKey(uuid, "folder/a")
	gone := vitrine.ArtifactKey(uuid, "folder/b")
	create(t, b, neighbour, "stays")
	create(t, b, gone, "goes")
	for range 2 { // the second time, and of what never was, it is no error either
		if err := b.Delete(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Delete(t.Context(), key); err != nil {
		t.Error(err)
	}
	if err := b.Delete(t.Context(), neighbour+"/below"); err != nil {
		t.Error(err)
	}
	if err := b.Delete(t.Context(), vitrine.ArtifactKey(uuid, "folder")); err != nil {
		t.Error(err)
	}
	if got := list(t, b, ""); !slices.Equal(got, []string{neighbour}) {
		t.Errorf("after Delete: %q", got)
	}
	want(t, b, neighbour, "stays")
	create(t, b, gone, "other bytes") // the key is free again
	want(t, b, gone, "other bytes")
}

func cancelledContext(t *testing.T, b storage.Bucket) {
	create(t, b, key, "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	other := vitrine.ArtifactKey(uuid, "other")
	if err := tryCreate(ctx, b, other, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("Create: %v", err)
	}
	if _, err := b.Open(ctx, key); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
	if _, err := b.OpenRange(ctx, key, 0, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("OpenRange: %v", err)
	}
	if _, err := b.Stat(ctx, key); !errors.Is(err, context.Canceled) {
		t.Errorf("Stat: %v", err)
	}
	if err := b.Delete(ctx, key); !errors.Is(err, context.Canceled) {
		t.Errorf("Delete: %v", err)
	}
	var err error
	for _, err = range b.List(ctx, "") {
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("List: %v", err)
	}

	// In the middle of a body.
	ctx, cancel = context.WithCancel(t.Context())
	body := strings.Repeat("x", 1<<20)
	half := io.MultiReader(strings.NewReader(body[:1<<19]), readerFunc(func(p []byte) (int, error) {
		cancel()
		return copy(p, body[:1]), nil
	}))
	if err := b.Create(ctx, other, half, options(body)); !errors.Is(err, context.Canceled) {
		t.Errorf("Create, cancelled midway: %v", err)
	}
	if got := list(t, b, ""); !slices.Equal(got, []string{key}) {
		t.Errorf("after cancelled calls: %q", got)
	}
}
