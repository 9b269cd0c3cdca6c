package crypto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"filippo.io/age"

	"vitrine/ngram"
	"vitrine/test/allocs"
)

func openAtBytes(t *testing.T, sealed []byte, id age.Identity) *ReaderAt {
	t.Helper()
	r, err := OpenAt(bytes.NewReader(sealed), int64(len(sealed)), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPlacesOfLines(t *testing.T) {
	key := newKey(t)
	text := logText(5*frameSize + 77)
	oneLine := bytes.Repeat([]byte("x"), 3*frameSize)
	for name, plain := range map[string][]byte{"empty": nil, "short": text[:50_000], "log": text, "one line": oneLine} {
		t.Run(name, func(t *testing.T) {
			r := openAtBytes(t, seal(t, plain, key.Recipient()), key)
			feeds := func(off int64) int64 { return int64(bytes.Count(plain[:off], []byte{'\n'})) }
			all, ok := r.Lines()
			if !ok || all != feeds(r.Size()) {
				t.Fatalf("Lines: %d, %v; want %d", all, ok, feeds(r.Size()))
			}
			for _, n := range []int64{0, 1, all / 3, all / 2, all - 1, all, all + 1} {
				if n < 0 {
					continue
				}
				off, before := r.BeforeLine(n)
				if before > n || before != feeds(off) {
					t.Errorf("BeforeLine(%d): %d line feeds before %d, there are %d", n, before, off, feeds(off))
				}
				if n > before && feeds(min(off+frameSize, r.Size())) < min(n, all) {
					t.Errorf("BeforeLine(%d): %d is more than a frame before it", n, off)
				}
			}
			for _, off := range []int64{0, 1, r.Size() / 3, r.Size() - 1, r.Size(), r.Size() + 10} {
				if off < 0 {
					continue
				}
				at, before := r.Before(off)
				if at > off || off < r.Size() && off-at >= frameSize || before != feeds(at) {
					t.Errorf("Before(%d): %d, %d; there are %d", off, at, before, feeds(at))
				}
			}
		})
	}
}

// What was sealed without a line table says so.
func TestNoPlacesOfLines(t *testing.T) {
	key := newKey(t)
	plain := []byte("a log\n")
	frame := encoder().EncodeAll(plain, nil)
	for name, sealed := range map[string][]byte{
		"raw":     sealRaw(t, plain, key.Recipient()),
		"earlier": sealStream(t, withTable(frame, uint32(len(plain))), key),
	} {
		r := openAtBytes(t, sealed, key)
		if n, ok := r.Lines(); ok {
			t.Errorf("%s: Lines: %d", name, n)
		}
		if off, n := r.BeforeLine(1); off != 0 || n != 0 {
			t.Errorf("%s: BeforeLine: %d, %d", name, off, n)
		}
		if off, n := r.Before(6); off != 0 || n != 0 {
			t.Errorf("%s: Before: %d, %d", name, off, n)
		}
		if _, ok, err := r.MayHold(ngram.NewQuery("some text")); ok || err != nil {
			t.Errorf("%s: MayHold: %v, %v", name, ok, err)
		}
	}
}

func TestMayHold(t *testing.T) {
	key := newKey(t)
	var plain []byte
	for i := 0; len(plain) < 2*blockSize+frameSize; i++ {
		plain = fmt.Appendf(plain, "ok: [host%d] => task number %d is done\n", i%7, i)
	}
	// One lies within a block, one across two.
	words := map[string]int{"quixotic zebra": blockSize + 3<<20, "jumping vixens": blockSize - 7, "last word of it": len(plain) - 20}
	for word, at := range words {
		copy(plain[at:], word)
	}
	r := openAtBytes(t, sealWith(t, SealSearchable, plain, key.Recipient()), key)
	for word, at := range words {
		spans, ok, err := r.MayHold(ngram.NewQuery(word))
		if !ok || err != nil {
			t.Fatalf("%s: %v, %v", word, ok, err)
		}
		within := func(s Span) bool { return s.Off <= int64(at) && int64(at+len(word)) <= s.Off+s.N }
		if !slices.ContainsFunc(spans, within) {
			t.Errorf("%s is at %d, not in %v", word, at, spans)
		}
		var n int64
		for i, s := range spans {
			if i > 0 && s.Off <= spans[i-1].Off+spans[i-1].N {
				t.Errorf("%s: %v touch one another, or are in no order", word, spans)
			}
			n += s.N
		}
		if n > blockSize+100 {
			t.Errorf("%s: %v are %d bytes", word, spans, n)
		}
	}
	if spans, ok, err := r.MayHold(ngram.NewQuery("nowhere to be found")); !ok || err != nil || len(spans) > 0 {
		t.Errorf("what is nowhere: %v, %v, %v", spans, ok, err)
	}
	if spans, ok, err := r.MayHold(ngram.NewQuery("is done")); !ok || err != nil || len(spans) != 1 || spans[0].Off != 0 || spans[0].N < 2*blockSize {
		t.Errorf("what is everywhere: %v, %v, %v", spans, ok, err)
	}
	if _, ok, err := r.MayHold(ngram.Query{}); ok || err != nil {
		t.Errorf("a query that tells nothing: %v, %v", ok, err)
	}
}

// mostToOpen is what OpenAt may allocate: whatever the tables claim, what they take
// of the file, a few times over, and some chunks that age and who explains a damage take.
func mostToOpen(sealed []byte) int64 { return 24*int64(len(sealed)) + 16*sealedSize }

// T-8.3: tables that claim far more than there is take no memory for it.
func TestHostileTablesAllocate(t *testing.T) {
	key := newKey(t)
	frame := encoder().EncodeAll([]byte("a log\n"), nil)
	entry := func(b []byte, plain int) seekEntry { return seekEntry{uint32(len(b)), uint32(plain)} }
	claim := func(frames uint32) []byte {
		b := withTable(frame, 6)
		binary.LittleEndian.PutUint32(b[len(b)-seekFooterSize:], frames)
		return b
	}
	indexed := func(index []byte) []byte {
		lines := appendLineTable(nil, lineTable{1, []uint32{1}})
		return appendSeekTable(slices.Concat(frame, index, lines), []seekEntry{entry(frame, 6), entry(index, 0), entry(lines, 0)})
	}
	lines := appendLineTable(nil, lineTable{})
	many := make([]seekEntry, 200_000)
	for i := range many {
		many[i] = seekEntry{0, maxFrameSize}
	}
	for name, stream := range map[string][]byte{
		"2^20 frames":              claim(maxFrames),
		"2^32-1 frames":            claim(math.MaxUint32),
		"frames of no bytes":       appendSeekTable(slices.Clone(frame), append(many, entry(frame, 6))),
		"a line table too long":    appendSeekTable(slices.Concat(frame, lines), []seekEntry{entry(frame, 6), {uint32(len(lines)) + 4<<20, 0}}),
		"an index of 2 GiB":        indexed(ownFrame(nil)[:skippableHeader]),
		"an index that is a bomb":  indexed(ownPacked(bomb(2<<30, 10000))),
		"an index that is a liar":  indexed(ownPacked(bomb(maxSearchIndex, 10000))),
		"an index of many a frame": indexed(ownFrame(binary.AppendUvarint([]byte{1}, 1<<63))),
		"an index of many blocks":  indexed(ownFrame(binary.AppendUvarint(nil, 1<<40))),
	} {
		sealed := sealStream(t, stream, key)
		var r *ReaderAt
		var err error
		allocs.Check(t, mostToOpen(sealed), func() { r, err = OpenAt(bytes.NewReader(sealed), int64(len(sealed)), key) })
		if err == nil {
			allocs.Check(t, mostForIndex, func() { _, _, err = r.MayHold(ngram.NewQuery("a log")) })
		}
		if !errors.Is(err, ErrAltered) && name != "frames of no bytes" {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// OpenAt gives out what Open gives out, whatever the stream is.
func FuzzOpenAt(f *testing.F) {
	key := newKey(f)
	frame := encoder().EncodeAll([]byte("a log\n"), nil)
	f.Add(withTable(frame, 6), uint32(0), byte(0))
	f.Add(frame, uint32(0), byte(0))
	f.Add([]byte("not zstd"), uint32(200), byte(3))
	f.Add(withTable(bomb(1<<20, 8), 1<<20), uint32(0), byte(0))
	f.Add(appendSeekTable(slices.Concat(frame, frame), []seekEntry{{uint32(len(frame)), 6}, {uint32(len(frame)), 6}}), uint32(1), byte(1))
	lines := appendLineTable(nil, lineTable{0, []uint32{1}})
	f.Add(appendSeekTable(slices.Concat(frame, lines), []seekEntry{{uint32(len(frame)), 6}, {uint32(len(lines)), 0}}), uint32(0), byte(0))
	index := appendSearchIndex(nil, []*searchBlock{{frames: 1}})
	lines = appendLineTable(nil, lineTable{1, []uint32{1}})
	f.Add(appendSeekTable(slices.Concat(frame, index, lines), []seekEntry{{uint32(len(frame)), 6}, {uint32(len(index)), 0}, {uint32(len(lines)), 0}}), uint32(0), byte(0))
	f.Fuzz(func(t *testing.T, stream []byte, at uint32, flip byte) {
		sealed := sealStream(t, stream, key)
		sealed[int(at)%len(sealed)] ^= flip
		var r *ReaderAt
		var err error
		allocs.Check(t, mostToOpen(sealed), func() { r, err = OpenAt(bytes.NewReader(sealed), int64(len(sealed)), key) })
		if err == nil && r.Size() > 64<<20 {
			return
		}
		var got []byte
		if err == nil {
			got, err = openAtAll(sealed, key)
			var e error
			allocs.Check(t, mostForIndex, func() { _, _, e = r.MayHold(ngram.NewQuery("a log")) })
			if e != nil && !errors.Is(e, ErrCorrupt) {
				t.Fatalf("MayHold: %v", e)
			}
			if n, ok := r.Lines(); ok && (n < 0 || n > r.Size()) {
				t.Fatalf("%d line feeds in %d bytes", n, r.Size())
			}
			// At random as in order.
			b := make([]byte, len(got))
			if n, e := r.ReadAt(b, 0); err == nil && (e != nil || !bytes.Equal(b, got)) {
				t.Fatalf("ReadAt: %d of %d bytes, %v", n, len(got), e)
			}
			if len(got) > 1 && err == nil {
				off := int(at) % len(got)
				if _, e := r.ReadAt(b[:1], int64(off)); e != nil || b[0] != got[off] {
					t.Fatalf("ReadAt %d: %v", off, e)
				}
			}
		}
		var noMatch *age.NoIdentityMatchError
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrForeign) && !errors.As(err, &noMatch) {
			t.Fatalf("error %v is neither ErrCorrupt nor ErrForeign", err)
		}
		want, wantErr := openAll(sealed, key)
		switch {
		case wantErr == nil && err == nil && !bytes.Equal(got, want):
			t.Fatalf("%d bytes; Open gives others", len(got))
		case wantErr == nil && err != nil && !errors.Is(err, ErrAltered): // Open reads no line table
			t.Fatalf("error %v; Open gives %d bytes", err, len(want))
		}
	})
}

// A table of lines that is well formed, and lies: lines that it leads to are not there.
func TestLyingLineTable(t *testing.T) {
	key := newKey(t)
	plain := []byte("one line\nand another\n")
	frame := encoder().EncodeAll(plain, nil)
	for _, c := range []struct {
		feeds []uint32
		want  error
	}{
		{[]uint32{2, 2}, nil},
		{[]uint32{2, 0}, ErrAltered},
		{[]uint32{2, uint32(len(plain))}, ErrAltered},
	} {
		own := appendLineTable(nil, lineTable{feeds: c.feeds})
		entry := seekEntry{uint32(len(frame)), uint32(len(plain))}
		sealed := sealStream(t, appendSeekTable(slices.Concat(frame, frame, own), []seekEntry{entry, entry, {compressed: uint32(len(own))}}), key)
		r := openAtBytes(t, sealed, key)
		if n, err := r.ReadAt(make([]byte, len(plain)), 0); n != len(plain) || err != nil {
			t.Errorf("%v: the first frame: %d bytes, %v", c.feeds, n, err)
		}
		if n, err := r.ReadAt(make([]byte, len(plain)), int64(len(plain))); !errors.Is(err, c.want) || err != nil && n > 0 {
			t.Errorf("%v: the second frame: %d bytes, %v", c.feeds, n, err)
		}
		if got, err := openAtAll(sealed, key); !errors.Is(err, c.want) || !bytes.HasPrefix(slices.Concat(plain, plain), got) {
			t.Errorf("%v: in order: %q, %v", c.feeds, got, err)
		}
	}
}

// An index that is well formed, and of blocks over three of which a text may reach, or
// of other frames than there are, is told apart from a file that is altered.
func TestBrokenSearchIndex(t *testing.T) {
	key := newKey(t)
	plain := bytes.Repeat([]byte("x"), minBlock/2)
	frame := encoder().EncodeAll(plain, nil)
	entry := seekEntry{uint32(len(frame)), uint32(len(plain))}
	q := ngram.NewQuery("some text")
	for _, c := range []struct {
		name   string
		blocks []*searchBlock
		want   error
	}{
		{"as it should be", []*searchBlock{{frames: 2}, {frames: 1}}, nil},
		{"a short block", []*searchBlock{{frames: 1}, {frames: 2}}, ErrSearchIndex},
		{"of other frames", []*searchBlock{{frames: 2}}, ErrSearchIndex},
	} {
		index, lines := appendSearchIndex(nil, c.blocks), appendLineTable(nil, lineTable{3, make([]uint32, 3)})
		entries := []seekEntry{entry, entry, entry, {compressed: uint32(len(index))}, {compressed: uint32(len(lines))}}
		r := openAtBytes(t, sealStream(t, appendSeekTable(slices.Concat(frame, frame, frame, index, lines), entries), key), key)
		spans, ok, err := r.MayHold(q)
		if !errors.Is(err, c.want) || ok != (c.want == nil) || len(spans) > 0 || err != nil && !errors.Is(err, ErrAltered) {
			t.Errorf("%s: %v, %v, %v", c.name, spans, ok, err)
		}
		if n, err := r.ReadAt(make([]byte, 10), r.Size()-10); n != 10 || err != nil {
			t.Errorf("%s: the text: %d bytes, %v", c.name, n, err)
		}
	}
}
