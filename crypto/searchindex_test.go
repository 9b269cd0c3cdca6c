package crypto

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"vitrine/ngram"
	"vitrine/test/allocs"
)

func TestSearchIndexRoundTrip(t *testing.T) {
	x := newSearchIndex()
	for _, text := range []string{"the first frame", "another one"} {
		var set ngram.Set
		set.Add([]byte(text))
		x.add(&set, blockSize-5)
	}
	frame := appendSearchIndex([]byte("before"), x.blocks)[len("before"):]
	blocks, err := parseSearchIndex(frame, 2)
	if err != nil || len(blocks) != 2 {
		t.Fatalf("%d blocks, error %v", len(blocks), err)
	}
	for i, word := range []string{"first", "another"} {
		q := ngram.NewQuery(word)
		if blocks[i].frames != 1 || !q.In(&blocks[i].set) || q.In(&blocks[1-i].set) {
			t.Errorf("%q: block %d of %d frames does not have it, or the other has", word, i, blocks[i].frames)
		}
	}
}

// However long a log is, the blocks are few, all but the last are full, and no
// gram is lost when they are joined.
func TestSearchIndexIsBounded(t *testing.T) {
	x := newSearchIndex()
	const frames = 2000
	words := func(i int) []byte { return []byte{'w', 'a' + byte(i/100), 'a' + byte(i/10%10), 'a' + byte(i%10)} }
	for i := range frames {
		var set ngram.Set
		set.Add(words(i))
		x.add(&set, frameSize)
		if len(x.blocks) > maxBlocks {
			t.Fatalf("%d blocks of %d frames", len(x.blocks), i+1)
		}
	}
	i := 0
	for n, b := range x.blocks {
		if n < len(x.blocks)-1 && b.size < blockSize {
			t.Errorf("block %d of %d has %d bytes", n, len(x.blocks), b.size)
		}
		if b.size != int64(b.frames)*frameSize {
			t.Errorf("block %d has %d bytes in %d frames", n, b.size, b.frames)
		}
		for range b.frames {
			if !ngram.NewQuery(string(words(i))).In(&b.set) {
				t.Errorf("frame %d is not in block %d", i, n)
			}
			i++
		}
	}
	if i != frames || len(x.blocks) < maxBlocks/2 {
		t.Errorf("%d frames in %d blocks, want %d", i, len(x.blocks), frames)
	}
}

// ownFrame is a search index as a stranger may have made it.
func ownFrame(plain []byte) []byte { return ownPacked(encoder().EncodeAll(plain, nil)) }

// ownPacked is one of what may be no zstd frame.
func ownPacked(packed []byte) []byte {
	packed = append([]byte(searchIndexTag), packed...)
	return append(appendSkippableHeader(nil, ownMagic, uint32(len(packed))), packed...)
}

func TestSearchIndexRefusals(t *testing.T) {
	plain := func(head ...byte) []byte { return append(head, make([]byte, 2*ngram.Size)...) }
	good := ownFrame(plain(2, 3, 4))
	if blocks, err := parseSearchIndex(good, 7); err != nil || len(blocks) != 2 || blocks[1].frames != 4 {
		t.Fatalf("a good index: %d blocks, error %v", len(blocks), err)
	}
	later := bytes.Replace(good, []byte(searchIndexTag), []byte("vitn\x02"), 1)
	if blocks, err := parseSearchIndex(later, 7); blocks != nil || err != nil {
		t.Errorf("a later version: %d blocks, error %v, want none", len(blocks), err)
	}
	for name, frame := range map[string][]byte{
		"nothing":             nil,
		"a line table":        appendLineTable(nil, lineTable{}),
		"padding":             appendSkippableHeader(nil, skippableMagic, 0),
		"no zstd":             ownPacked([]byte("no zstd at all")),
		"cut":                 good[:len(good)-9],
		"a bit flipped":       append(slices.Clone(good[:len(good)-9]), append([]byte{good[len(good)-9] ^ 1}, good[len(good)-8:]...)...),
		"a frame too few":     ownFrame(plain(2, 3, 3)),
		"a frame too many":    ownFrame(plain(2, 3, 5)),
		"an empty block":      ownFrame(plain(2, 0, 7)),
		"two zstd frames":     ownPacked(encoder().EncodeAll(nil, encoder().EncodeAll(plain(2, 3, 4), nil))),
		"65 blocks":           ownFrame(append([]byte{65}, bytes.Repeat([]byte{1}, 65)...)),
		"a set is missing":    ownFrame(plain(3, 1, 1, 5)),
		"a byte too many":     ownFrame(append(plain(2, 3, 4), 0)),
		"2^63 blocks":         ownFrame(binary.AppendUvarint(nil, 1<<63)),
		"2^63 frames":         ownFrame(binary.AppendUvarint([]byte{1}, 1<<63)),
		"10 MiB decompressed": ownFrame(make([]byte, 10<<20)),
		"a liar":              ownPacked(bomb(1<<20, 100)),
		"2 GiB claimed":       ownPacked(bomb(2<<30, 10)),
		"too large":           make([]byte, maxSearchIndex+1),
	} {
		if blocks, err := parseSearchIndex(frame, 7); err == nil {
			t.Errorf("%s: %d blocks", name, len(blocks))
		}
	}
}

// mostForIndex is what parsing an index may allocate: what it is decompressed into,
// which the decoder makes larger by a block before it refuses more, and the sets.
const mostForIndex = 3 * maxSearchIndex

// The sets are not drawn: they are large, and any bytes are one.
func FuzzSearchIndex(f *testing.F) {
	f.Add([]byte{2, 3, 4}, uint8(2), []byte{}, uint16(7))
	f.Add([]byte{0}, uint8(0), []byte{}, uint16(0))
	f.Add([]byte{1, 1}, uint8(1), ownFrame([]byte{0})[skippableHeader:], uint16(1))
	f.Add([]byte{}, uint8(0), append([]byte(searchIndexTag), bomb(maxSearchIndex, 67)...), uint16(1))
	sets := bytes.Repeat([]byte("any bytes are a set of grams...."), 3*ngram.Size/32)
	f.Fuzz(func(t *testing.T, head []byte, n uint8, packed []byte, frames uint16) {
		plain := slices.Concat(head, sets[:int(n%4)*ngram.Size])
		asItIs := append(appendSkippableHeader(nil, ownMagic, uint32(len(packed))), packed...)
		for _, frame := range [][]byte{ownFrame(plain), asItIs} {
			var blocks []*searchBlock
			var err error
			allocs.Check(t, mostForIndex, func() { blocks, err = parseSearchIndex(frame, int(frames)) })
			if err != nil || blocks == nil {
				continue
			}
			left := int(frames)
			for _, b := range blocks {
				left -= b.frames
			}
			if left != 0 || len(blocks) > maxBlocks {
				t.Fatalf("%d blocks for %d frames, %d are left", len(blocks), frames, left)
			}
		}
	})
}
