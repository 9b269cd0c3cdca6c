package storagetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/storage"
)

// listed are keys whose order differs between whole keys and folder by folder:
// '.', '-' and '+' sort before the slash, letters and digits after it.
func listed() []string {
	day := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	other := "a" + uuid[1:]
	keys := []string{
		vitrine.ArtifactKey(uuid, "a/b"), vitrine.ArtifactKey(uuid, "a.b"), vitrine.ArtifactKey(uuid, "a-b/c"),
		vitrine.ArtifactKey(uuid, "a+"), vitrine.ArtifactKey(uuid, "a0"), vitrine.ArtifactKey(uuid, "ab/c"),
		vitrine.ArtifactKey(uuid, "A"), vitrine.ArtifactKey(uuid, "a/b.d/e/f.log.zst.age"),
		vitrine.ArtifactKey(uuid, "a/b-"), vitrine.ArtifactKey(uuid, "z.age"), vitrine.ArtifactKey(other, "a"),
		vitrine.StartedKey(day, uuid), vitrine.RecordKey(day, uuid),
		vitrine.SignatureKey(vitrine.RecordKey(day, uuid)), vitrine.SignatureKey(vitrine.StartedKey(day, uuid)),
		vitrine.RecordKey(day, other), vitrine.RecordKey(day.AddDate(0, 0, 1), uuid), vitrine.RecordKey(day.AddDate(1, 0, 0), uuid),
		vitrine.RecordKey(day.AddDate(0, -1, 0), uuid),
	}
	return keys
}

func listsInOrder(t *testing.T, b storage.Bucket) {
	keys := listed()
	for _, k := range keys {
		create(t, b, k, "body of "+k)
	}
	slices.Sort(keys)
	var got []string
	for o, err := range b.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if o.Size != int64(len("body of "+o.Key)) || o.ModTime.IsZero() {
			t.Errorf("listed %+v", o)
		}
		got = append(got, o.Key)
	}
	if !slices.Equal(got, keys) {
		t.Errorf("listed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(keys, "\n"))
	}
	for o, err := range b.List(t.Context(), "") { // and may be left at any time
		if err != nil || o.Key != keys[0] {
			t.Errorf("first of a list: %+v, %v", o, err)
		}
		break
	}
}

func listsPrefixes(t *testing.T, b storage.Bucket) {
	keys := listed()
	for _, k := range keys {
		create(t, b, k, k)
	}
	slices.Sort(keys)
	prefixes := []string{
		"r", "x", "/", ".", "..", "../", "records//", "records/../", "./", "records/./", "\x00", "records/\x00/", `records\`,
		"records/\xff/", ".tmp/", "artifacts/" + strings.Repeat("x", 5000) + "/", strings.Repeat("a/", 5000),
		vitrine.DayPrefix(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)), keys[0] + "/", keys[0] + "/x", keys[0] + "x",
	}
	for _, k := range keys { // every beginning of every key
		for i := range len(k) + 1 {
			prefixes = append(prefixes, k[:i])
		}
	}
	slices.Sort(prefixes)
	for _, prefix := range slices.Compact(prefixes) {
		var want []string
		for _, k := range keys {
			if strings.HasPrefix(k, prefix) {
				want = append(want, k)
			}
		}
		if got := list(t, b, prefix); !slices.Equal(got, want) {
			t.Errorf("List(%.60q): %q, want %q", prefix, got, want)
		}
	}
}

func listsWhatIsThere(t *testing.T, b storage.Bucket) {
	for i := range 20 {
		k := vitrine.ArtifactKey(uuid, fmt.Sprintf("part-%02d", i))
		create(t, b, k, "x")
		if got := list(t, b, vitrine.ArtifactsPrefix); len(got) != i+1 || got[i] != k {
			t.Fatalf("after creating %s: %q", k, got)
		}
	}
}
