package storagetest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/storage"
)

// bigPart is a body of the least size that a part which is not the last may have.
func bigPart(letter string) []byte {
	return bytes.Repeat([]byte(letter), vitrine.MinPartSize)
}

func putPart(t *testing.T, b storage.Bucket, key string, number int, body []byte) vitrine.Part {
	t.Helper()
	part := vitrine.NewPart(number, body)
	if err := b.PutPart(t.Context(), key, part, bytes.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	return part
}

func joined(bodies ...[]byte) storage.CreateOptions {
	body := bytes.Join(bodies, nil)
	return storage.CreateOptions{Size: int64(len(body)), SHA256: sha256.Sum256(body)}
}

func uploads(t *testing.T, b storage.Bucket, prefix string) []string {
	t.Helper()
	var found []string
	for u, err := range b.Uploads(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		if age := time.Since(u.ModTime).Abs(); age > time.Minute {
			t.Errorf("upload %s: ModTime is %s away", u.Key, age)
		}
		found = append(found, u.Key)
	}
	slices.Sort(found)
	return found
}

func completesParts(t *testing.T, b storage.Bucket) {
	one, two := bigPart("1"), []byte("two")
	parts := []vitrine.Part{{}, putPart(t, b, key, 2, two)} // in any order
	parts[0] = putPart(t, b, key, 1, one)
	for range 2 { // the second time nothing is left to do
		if err := b.Complete(t.Context(), key, parts, joined(one, two)); err != nil {
			t.Fatal(err)
		}
	}
	want(t, b, key, string(one)+string(two))
	create(t, b, key, string(one)+string(two)) // the same bytes, whichever way they came
	if got := uploads(t, b, ""); len(got) != 0 {
		t.Errorf("uploads after Complete: %q", got)
	}
	r, err := b.OpenRange(t.Context(), key, vitrine.MinPartSize-1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, r); got != "1t" {
		t.Errorf("a range over the border of two parts: %q", got)
	}
	if got := list(t, b, ""); !slices.Equal(got, []string{key}) {
		t.Errorf("listed %q", got)
	}
	if err := b.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	wantNothing(t, b)
}

func partAgain(t *testing.T, b storage.Bucket) {
	putPart(t, b, key, 1, []byte("a first line\n"))
	last := []byte("a first line\nand a second\n")
	part := putPart(t, b, key, 1, last)
	if err := b.Complete(t.Context(), key, []vitrine.Part{part}, joined(last)); err != nil {
		t.Fatal(err)
	}
	want(t, b, key, string(last))
}

func wrongPart(t *testing.T, b storage.Bucket) {
	good := []byte("the bytes of the part")
	for what, body := range map[string]string{
		"other bytes": "THE BYTES OF THE PART", "too few": "the bytes", "none": "", "too many": string(good) + "!",
	} {
		err := b.PutPart(t.Context(), key, vitrine.NewPart(1, good), strings.NewReader(body))
		if !errors.Is(err, storage.ErrIntegrity) {
			t.Errorf("%s: error %v, want ErrIntegrity", what, err)
		}
	}
	if parts, err := b.Parts(t.Context(), key); err != nil || len(parts) != 0 {
		t.Errorf("left behind: %v, %v", parts, err)
	}
	for _, p := range []vitrine.Part{{}, {Number: 1, Size: 1}, vitrine.NewPart(0, good), vitrine.NewPart(vitrine.MaxParts+1, good)} {
		if err := b.PutPart(t.Context(), key, p, bytes.NewReader(good)); err == nil {
			t.Errorf("part %+v was stored", p)
		}
	}
	if err := b.PutPart(t.Context(), "elsewhere", vitrine.NewPart(1, good), bytes.NewReader(good)); err == nil {
		t.Error("a part of a foreign key was stored")
	}
}

func missingParts(t *testing.T, b storage.Bucket) {
	one, two := bigPart("1"), []byte("two")
	opts := joined(one, two)
	stored, absent := putPart(t, b, key, 1, one), vitrine.NewPart(2, two)
	other := vitrine.NewPart(1, bigPart("x"))
	for what, parts := range map[string][]vitrine.Part{
		"none": nil, "one is missing": {stored, absent}, "one is left out": {stored}, "a gap": {absent},
		"other bytes": {other, absent}, "in the wrong order": {absent, stored},
	} {
		if err := b.Complete(t.Context(), key, parts, opts); !errors.Is(err, storage.ErrIntegrity) {
			t.Errorf("%s: error %v, want ErrIntegrity", what, err)
		}
	}
	wantNothing(t, b)
	putPart(t, b, key, 2, two) // and nothing was lost by trying
	if err := b.Complete(t.Context(), key, []vitrine.Part{stored, absent}, opts); err != nil {
		t.Error(err)
	}
}

func completeOverAnExistingKey(t *testing.T, b storage.Bucket) {
	other := []byte("other bytes, put in parts")
	part := putPart(t, b, key, 1, other)
	create(t, b, key, "what is there")
	for range 2 {
		if err := b.Complete(t.Context(), key, []vitrine.Part{part}, joined(other)); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Complete over an object: %v, want fs.ErrExist", err)
		}
	}
	unknown := storage.CreateOptions{Size: int64(len(other))}
	if err := b.Complete(t.Context(), key, []vitrine.Part{part}, unknown); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Complete of a hash that nobody knows, over an object: %v, want fs.ErrExist", err)
	}
	want(t, b, key, "what is there")
}

func partsAreNoObjects(t *testing.T, b storage.Bucket) {
	neighbour := vitrine.ArtifactKey(uuid, "deep/er/b.log")
	putPart(t, b, key, 1, []byte("x"))
	putPart(t, b, neighbour, 1, bigPart("y"))
	putPart(t, b, neighbour, 2, []byte("y"))
	wantNothing(t, b)
	if _, err := b.Stat(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat of what is not complete: %v", err)
	}
	if got := uploads(t, b, ""); !slices.Equal(got, []string{neighbour, key}) {
		t.Errorf("uploads: %q", got)
	}
	if got := uploads(t, b, vitrine.ArtifactKey(uuid, "deep/")); !slices.Equal(got, []string{neighbour}) {
		t.Errorf("uploads with a prefix: %q", got)
	}
	if got := uploads(t, b, "records/"); len(got) != 0 {
		t.Errorf("uploads with another prefix: %q", got)
	}
	create(t, b, key, "whole") // in spite of the parts
	want(t, b, key, "whole")
}

func completesWhatIsThere(t *testing.T, b storage.Bucket) {
	one, two := bigPart("1"), []byte("two")
	putPart(t, b, key, 2, two)
	putPart(t, b, key, 1, one)
	parts, err := b.Parts(t.Context(), key)
	if err != nil || len(parts) != 2 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	for i, size := range []int64{vitrine.MinPartSize, 3} {
		if parts[i].Number != i+1 || parts[i].Size != size {
			t.Errorf("parts[%d] is number %d with %d bytes", i, parts[i].Number, parts[i].Size)
		}
	}
	opts := storage.CreateOptions{Size: parts[0].Size + parts[1].Size}
	if err := b.Complete(t.Context(), key, parts, opts); err != nil {
		t.Fatal(err)
	}
	want(t, b, key, string(one)+string(two))
}

func aborts(t *testing.T, b storage.Bucket) {
	neighbour := vitrine.ArtifactKey(uuid, "neighbour")
	putPart(t, b, neighbour, 1, []byte("stays"))
	part := putPart(t, b, key, 1, []byte("goes"))
	for range 2 { // the second time it is no error either
		if err := b.Abort(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if parts, err := b.Parts(t.Context(), key); err != nil || len(parts) != 0 {
		t.Errorf("after Abort: %v, %v", parts, err)
	}
	if got := uploads(t, b, ""); !slices.Equal(got, []string{neighbour}) {
		t.Errorf("uploads after Abort: %q", got)
	}
	opts := joined([]byte("goes"))
	if err := b.Complete(t.Context(), key, []vitrine.Part{part}, opts); !errors.Is(err, storage.ErrIntegrity) {
		t.Errorf("Complete after Abort: %v, want ErrIntegrity", err)
	}
	wantNothing(t, b)
}

// A client repeats a completion whose answer is late.
func completesAtOnce(t *testing.T, b storage.Bucket) {
	one, two := bigPart("1"), []byte("two")
	for round := range 4 {
		parts := []vitrine.Part{putPart(t, b, key, 1, one), putPart(t, b, key, 2, two)}
		for i, err := range race(8, func(i int) error {
			time.Sleep(time.Duration(i*round) * 2 * time.Millisecond)
			return b.Complete(t.Context(), key, parts, joined(one, two))
		}) {
			if err != nil {
				t.Errorf("round %d, call %d: %v", round, i, err)
			}
		}
		want(t, b, key, string(one)+string(two))
		if err := b.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
}

// A key may be the first part of another.
func abortsNoNeighbour(t *testing.T, b storage.Bucket) {
	above, below := vitrine.ArtifactKey(uuid, "a"), vitrine.ArtifactKey(uuid, "a/b.age")
	body := []byte("stays")
	part := putPart(t, b, below, 1, body)
	putPart(t, b, above, 1, []byte("goes"))
	if err := b.Abort(t.Context(), above); err != nil {
		t.Fatal(err)
	}
	if err := b.Complete(t.Context(), below, []vitrine.Part{part}, joined(body)); err != nil {
		t.Error(err)
	}
	if got := uploads(t, b, ""); len(got) != 0 {
		t.Errorf("uploads: %q", got)
	}
}
