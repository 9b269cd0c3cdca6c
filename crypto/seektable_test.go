package crypto

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"vitrine/test/allocs"
)

func TestSeekTableRoundTrip(t *testing.T) {
	for _, entries := range [][]seekEntry{{}, {{1, 2}}, {{1 << 31, 0}, {9, 1<<32 - 1}, {3, 3}}} {
		frame := appendSeekTable([]byte("before"), entries)[len("before"):]
		if int64(len(frame)) != seekTableSize(len(entries)) {
			t.Errorf("%d entries take %d bytes, seekTableSize says %d", len(entries), len(frame), seekTableSize(len(entries)))
		}
		got, err := parseSeekTable(frame[skippableHeader:])
		if err != nil || !slices.Equal(got, entries) {
			t.Errorf("%v came back as %v, error %v", entries, got, err)
		}
	}
}

func TestSeekTableRefusals(t *testing.T) {
	good := appendSeekTable(nil, []seekEntry{{10, 20}, {30, 40}})[skippableHeader:]
	change := func(at int, to byte) []byte {
		b := slices.Clone(good)
		b[at] = to
		return b
	}
	for name, b := range map[string][]byte{
		"empty":            {},
		"short":            good[len(good)-8:],
		"no magic":         change(len(good)-1, 0),
		"reserved bits":    change(len(good)-5, 0x04),
		"one frame fewer":  change(len(good)-9, 1),
		"one frame more":   change(len(good)-9, 3),
		"2^31 frames":      change(len(good)-6, 0x80),
		"checksums":        change(len(good)-5, 0x80), // would need 12 bytes an entry
		"a byte too many":  append([]byte{0}, good...),
		"too many entries": append(make([]byte, maxSeekTable), good...),
	} {
		if got, err := parseSeekTable(b); err == nil {
			t.Errorf("%s: parsed as %v", name, got)
		}
	}
}

func TestPadme(t *testing.T) {
	for _, c := range []struct{ n, want int64 }{
		{0, 4096}, {4096, 4096}, {4097, 4352}, {9, 4096}, {100_000, 100_352}, {1<<20 + 1, 1<<20 + 1<<15}, {1 << 40, 1 << 40},
	} {
		if got := padme(c.n); got != c.want {
			t.Errorf("padme(%d) = %d, want %d", c.n, got, c.want)
		}
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 10_000 {
		n := rng.Int64N(1 << rng.IntN(45))
		p := padme(n)
		if p < n || p != padme(p) || n > minPadded && float64(p) > 1.12*float64(n) {
			t.Fatalf("padme(%d) = %d", n, p)
		}
		body, tail := n, rng.Int64N(1<<20)
		if size, err := paddingSize(body, tail); err == nil && !isPadme(body+skippableHeader+int64(size)+tail) {
			t.Fatalf("paddingSize(%d, %d) = %d leads to no Padmé size", body, tail, size)
		}
	}
	// The second one has room for the padding, and none for its header.
	for _, body := range []int64{1<<39 + 1, 1<<38 + 1 - 100 - skippableHeader} {
		if size, err := paddingSize(body, 100); err == nil {
			t.Errorf("a padding frame of %d bytes can't be written", size)
		}
	}
}

func FuzzSeekTable(f *testing.F) {
	f.Add(appendSeekTable(nil, []seekEntry{{10, 20}, {30, 40}})[skippableHeader:])
	f.Add(appendSeekTable(nil, nil)[skippableHeader:])
	f.Fuzz(func(t *testing.T, b []byte) {
		var entries []seekEntry
		var err error
		allocs.Check(t, int64(len(b)), func() { entries, err = parseSeekTable(b) })
		if err != nil {
			return
		}
		again := appendSeekTable(nil, entries)[skippableHeader:]
		// Checksums and the descriptor's unused bits are passed over.
		if len(again) == len(b) && !bytes.Equal(again[:len(again)-5], b[:len(b)-5]) {
			t.Fatalf("%x came back as %x", b, again)
		}
	})
}
