package crypto

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"filippo.io/age"

	"vitrine/ngram"
)

// A stranger is a stream taken apart by its tables, as docs/format.md says.
type stranger struct {
	stream  []byte
	entries []seekEntry
	frames  [][]byte       // of the entries
	table   *lineTable     // nil if there is none
	blocks  []*searchBlock // of the search index
}

func takeApart(sealed []byte, ids ...age.Identity) (s stranger, err error) {
	r, err := age.Decrypt(bytes.NewReader(sealed), ids...)
	if err != nil {
		return s, err
	}
	if s.stream, err = io.ReadAll(r); err != nil {
		return s, err
	}
	n := int(binary.LittleEndian.Uint32(s.stream[len(s.stream)-seekFooterSize:]))
	start := len(s.stream) - int(seekTableSize(n))
	if s.entries, err = parseSeekTable(s.stream[start+skippableHeader:]); err != nil {
		return s, err
	}
	rest := s.stream[:start]
	for _, e := range s.entries {
		s.frames = append(s.frames, rest[:e.compressed])
		rest = rest[e.compressed:]
	}
	if len(rest) > 0 {
		return s, fmt.Errorf("%d bytes are in no entry", len(rest))
	}
	if s.table, err = parseLineTable(s.frames[n-1], s.entries); err != nil || s.table == nil {
		return s, err
	}
	if err := s.checkFeeds(); err != nil || s.table.search == 0 {
		return s, err
	}
	s.blocks, err = parseSearchIndex(s.frames[s.table.search], len(s.table.feeds))
	return s, err
}

// checkFeeds holds the line table against the frames.
func (s stranger) checkFeeds() error {
	feeds := s.table.feeds
	for i, e := range s.entries {
		if e.decompressed == 0 {
			continue
		}
		plain, err := decoder().DecodeAll(s.frames[i], make([]byte, 0, e.decompressed))
		if err != nil {
			return err
		}
		if got := bytes.Count(plain, []byte{'\n'}); got != int(feeds[0]) {
			return fmt.Errorf("frame %d has %d lines, the table says %d", i, got, feeds[0])
		}
		feeds = feeds[1:]
	}
	return nil
}

// countFeeds returns the line feeds of each frame with plaintext.
func (s stranger) countFeeds() (counts []int) {
	if s.table == nil {
		return nil
	}
	for _, n := range s.table.feeds {
		counts = append(counts, int(n))
	}
	return counts
}

// countBlocks returns the number of frames and of 4-grams of each block.
func (s stranger) countBlocks() (counts [][2]int) {
	for _, b := range s.blocks {
		n := 0
		for _, c := range b.set.Append(nil) {
			n += bits.OnesCount8(c)
		}
		counts = append(counts, [2]int{b.frames, n})
	}
	return counts
}

func (s stranger) isPadding(i int) bool {
	return binary.LittleEndian.Uint32(s.frames[i]) == skippableMagic
}

func sealSearchable(t testing.TB, plain []byte, recipients ...age.Recipient) []byte {
	t.Helper()
	return sealWith(t, SealSearchable, plain, recipients...)
}

func TestLayout(t *testing.T) {
	key := newKey(t)
	flushing := func(t testing.TB, plain []byte, to ...age.Recipient) []byte {
		return sealFlushing(t, plain, 700_000, to...)
	}
	for name, seal := range map[string]func(testing.TB, []byte, ...age.Recipient) []byte{
		"Seal": seal, "SealSearchable": sealSearchable, "flushed": flushing,
	} {
		for _, n := range []int{0, 1, minSearched - 1, minSearched, longLog - 1, longLog, longLog + frameSize/2} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				plain := logText(n)
				sealed := seal(t, plain, key.Recipient())
				if got, err := openAll(sealed, key); err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("%d bytes, error %v", len(got), err)
				}
				s, err := takeApart(sealed, key)
				if err != nil || s.table == nil {
					t.Fatalf("line table %v, error %v", s.table, err)
				}
				if !isPadme(int64(len(s.stream))) {
					t.Errorf("%d bytes are no Padmé size", len(s.stream))
				}
				last := 0
				for i := range s.entries {
					if s.isPadding(i) {
						last = i
					}
				}
				// Behind the last padding: some pieces, and the line table.
				behind := s.entries[last+1 : len(s.entries)-1]
				switch {
				case n < longLog && len(behind) > 0:
					t.Errorf("%d frames lie behind the padding", len(behind))
				case n >= longLog && name != "flushed" && len(behind) != endPieces:
					t.Errorf("%d frames lie behind the padding, want %d", len(behind), endPieces)
				}
				for _, e := range behind {
					if e.decompressed == 0 || e.decompressed > pieceSize {
						t.Errorf("a piece of %d bytes", e.decompressed)
					}
				}
				if searched := name == "SealSearchable" && n >= minSearched; (len(s.blocks) > 0) != searched {
					t.Errorf("%d blocks in the search index", len(s.blocks))
				}
			})
		}
	}
}

// No text is ever missed, wherever frames and blocks end: not even where a frame
// has less bytes than a gram.
func TestSearchIndexMissesNothing(t *testing.T) {
	key := newKey(t)
	plain := logText(2 * minSearched)
	rng := rand.New(rand.NewPCG(3, 4))
	var b bytes.Buffer
	w, err := SealSearchable(&b, key.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	w.frames.(*frameWriter).search.full = frameSize // many blocks of a short log
	for rest := plain; len(rest) > 0; {
		n := min(len(rest), []int{1, 2, 3, 5, 40, 200_000}[rng.IntN(6)])
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := takeApart(b.Bytes(), key)
	if err != nil {
		t.Fatal(err)
	}
	sizes := slices.DeleteFunc(s.entries, func(e seekEntry) bool { return e.decompressed == 0 })
	var ends []int // of blocks
	end := 0
	for _, b := range s.blocks {
		for _, e := range sizes[:b.frames] {
			end += int(e.decompressed)
		}
		sizes = sizes[b.frames:]
		ends = append(ends, end)
	}
	if len(ends) < 3 || end != len(plain) {
		t.Fatalf("%d blocks of %d bytes, want some of %d", len(ends), end, len(plain))
	}
	r, err := OpenAt(bytes.NewReader(b.Bytes()), int64(b.Len()), key)
	if err != nil {
		t.Fatal(err)
	}
	for range 20_000 {
		off := rng.IntN(len(plain) - 40)
		if rng.IntN(2) == 0 { // across the end of a block
			off = ends[rng.IntN(len(ends)-1)] - rng.IntN(30)
		}
		text := plain[off : off+4+rng.IntN(30)]
		query := ngram.NewQuery(string(text), "another text")
		spans, ok, err := r.MayHold(query)
		if ok != query.Tells() || err != nil {
			t.Fatalf("%q: ok %v, error %v", text, ok, err)
		}
		if !slices.ContainsFunc(spans, func(s Span) bool {
			return s.Off <= int64(off) && int64(off+len(text)) <= s.Off+s.N
		}) && ok {
			t.Fatalf("%q at %d is missed by %v, blocks end at %d", text, off, spans, ends)
		}
	}
}

// What is not there is not read, and what is in one place hardly anything else.
func TestSearchIndexSaysNo(t *testing.T) {
	key := newKey(t)
	plain := logText(12 * frameSize)
	copy(plain[9*frameSize+500:], "Quartz")
	copy(plain[blockSize-7:], "waltzing nymph") // across the end of a block
	sealed := sealSearchable(t, plain, key.Recipient())
	r, err := OpenAt(bytes.NewReader(sealed), int64(len(sealed)), key)
	if err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string][]Span{
		"judge my vow":   nil,
		"black quartz":   nil,
		"QUARTZ":         {{blockSize, 4 * frameSize}},
		"waltzing nymph": {{blockSize - 13, 26}},
		"TASK [":         {{0, 12 * frameSize}},
	} {
		spans, ok, err := r.MayHold(ngram.NewQuery(word))
		if !ok || err != nil {
			t.Fatalf("%q: ok %v, error %v", word, ok, err)
		}
		if !slices.EqualFunc(spans, want, func(a, b Span) bool {
			return a.Off <= b.Off && a.Off > b.Off-20 && a.Off+a.N == b.Off+b.N
		}) {
			t.Errorf("%q: may be in %v, want %v", word, spans, want)
		}
	}
	if _, ok, err := r.MayHold(ngram.NewQuery("abc")); ok || err != nil {
		t.Errorf("three letters: ok %v, error %v", ok, err)
	}
}
