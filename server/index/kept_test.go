package index

import (
	"fmt"
	"testing"

	"vitrine"
)

// The big records that are kept are those asked for last, and never more of them
// than there is room for.
func TestBigIsBounded(t *testing.T) {
	var b big
	of := func(i int) version { return version{uuid: fmt.Sprint(i)} }
	put := func(i, size int) { b.put(of(i), parsed{new(vitrine.Record), Entry{Record: make([]byte, size)}}) }
	want := func(list ...int) {
		t.Helper()
		bytes := 0
		for at, k := range b.kept {
			bytes += len(k.parsed.entry.Record)
			if at >= len(list) || k.version != of(list[at]) {
				t.Errorf("kept at %d: %v, want %v", at, k.version, list)
			}
		}
		if len(b.kept) != len(list) || bytes != b.bytes || bytes > keptBytes {
			t.Errorf("kept %d, of %d bytes, counted %d, want %v", len(b.kept), bytes, b.bytes, list)
		}
	}
	for i := range 4 {
		put(i, keptBytes/4)
	}
	want(0, 1, 2, 3)
	if _, ok := b.get(of(1)); !ok {
		t.Error("what is kept is not found")
	}
	put(4, keptBytes/4)
	want(2, 3, 1, 4)
	put(5, keptBytes/2)
	want(1, 4, 5)
	if _, ok := b.get(of(0)); ok {
		t.Error("what had to go is found")
	}
	put(6, keptBytes)
	want(6)
}
