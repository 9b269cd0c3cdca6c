package crypto

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"slices"
	"testing"

	"vitrine/test/allocs"
)

func TestLineTableRoundTrip(t *testing.T) {
	for _, c := range []struct {
		table   lineTable
		entries []seekEntry
	}{
		{lineTable{}, []seekEntry{{13, 0}, {4000, 0}, {14, 0}}},
		{lineTable{0, []uint32{7}}, []seekEntry{{100, 59}, {4000, 0}, {14, 0}}},
		{lineTable{2, []uint32{0, 300, 1 << 24}}, []seekEntry{{100, 1}, {100, 300}, {9, 0}, {9, 0}, {100, 1 << 24}, {14, 0}}},
	} {
		frame := appendLineTable([]byte("before"), c.table)[len("before"):]
		got, err := parseLineTable(frame, c.entries)
		if err != nil || got == nil || got.search != c.table.search || !slices.Equal(got.feeds, c.table.feeds) {
			t.Errorf("%v came back as %v, error %v", c.table, got, err)
		}
	}
}

func TestLineTableRefusals(t *testing.T) {
	entries := []seekEntry{{100, 300}, {50, 0}, {100, 200}, {14, 0}}
	frame := func(content ...byte) []byte {
		b := appendSkippableHeader(nil, ownMagic, uint32(len(lineTableTag)+len(content)))
		return append(append(b, lineTableTag...), content...)
	}
	if got, err := parseLineTable(frame(1, 200, 1, 3), entries); err != nil || !reflect.DeepEqual(got, &lineTable{1, []uint32{200, 3}}) {
		t.Fatalf("a good table: %v, error %v", got, err)
	}
	for name, b := range map[string][]byte{
		"no number":                frame(),
		"a frame too few":          frame(1, 200, 1),
		"a frame too many":         frame(1, 200, 1, 3, 0),
		"more feeds than bytes":    frame(1, 200, 1, 201, 1),
		"search is a data frame":   frame(2, 1, 1),
		"search is the line table": frame(3, 1, 1),
		"search beyond the file":   frame(200, 1, 1, 1),
		"padded number":            frame(1, 0x81, 0, 3),
		"number cut":               frame(1, 1, 0x80),
		"number of 2^64":           frame(append([]byte{1}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 1)...),
	} {
		if got, err := parseLineTable(b, entries); err == nil {
			t.Errorf("%s: parsed as %v", name, got)
		}
	}
	good := frame(1, 200, 1, 3)
	change := func(at int, to byte) []byte {
		b := slices.Clone(good)
		b[at] = to
		return b
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "short": good[:7], "padding": change(0, 0x50), "another tag": change(11, 'n'),
		"a later version": change(12, 2), "too large": frame(make([]byte, maxLineTable)...), "another size": change(4, 3),
	} {
		if got, err := parseLineTable(b, entries); got != nil || err != nil {
			t.Errorf("%s: %v, error %v, want none", name, got, err)
		}
	}
}

func FuzzLineTable(f *testing.F) {
	f.Add(appendLineTable(nil, lineTable{1, []uint32{200, 3}}), []byte{255, 0, 200, 0})
	f.Add(appendLineTable(nil, lineTable{}), []byte{0})
	f.Fuzz(func(t *testing.T, frame, sizes []byte) {
		var entries []seekEntry
		for _, n := range sizes {
			entries = append(entries, seekEntry{9, uint32(n) * uint32(n)})
		}
		entries = append(entries, seekEntry{uint32(len(frame)), 0})
		var table *lineTable
		var err error
		// Four bytes for each frame, and what they grew from; a frame takes one that is there.
		allocs.Check(t, 16*int64(len(frame)), func() { table, err = parseLineTable(frame, entries) })
		if err == nil && table != nil && !bytes.Equal(appendLineTable(nil, *table), frame) {
			t.Fatalf("%x came back as %x", frame, appendLineTable(nil, *table))
		}
	})
}

// The bound holds whatever a writer may write.
func TestLineTableBound(t *testing.T) {
	if most := len(binary.AppendUvarint(nil, maxFrameSize)); most > 4 || maxLineTable > math.MaxUint32 {
		t.Errorf("a count takes %d bytes", most)
	}
}
