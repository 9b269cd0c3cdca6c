package crypto

import (
	"fmt"
	"sort"
	"sync"

	"vitrine/ngram"
)

// Lines is the number of line feeds in the plaintext, if the file tells it; one
// sealed by an earlier vitrine, or without frames, does not.
func (r *ReaderAt) Lines() (n int64, ok bool) {
	if r.feeds == nil {
		return 0, false
	}
	return r.feeds[len(r.frames)], true
}

// BeforeLine returns the last known place that has at most n line feeds before
// it: its offset, and how many they are. Without a table of lines that is the
// beginning.
func (r *ReaderAt) BeforeLine(n int64) (off, lines int64) {
	if r.feeds == nil {
		return 0, 0
	}
	return r.place(sort.Search(len(r.feeds), func(i int) bool { return r.feeds[i] > n }) - 1)
}

// Before returns the last known place at or before an offset, as BeforeLine does.
func (r *ReaderAt) Before(off int64) (at, lines int64) {
	if r.feeds == nil {
		return 0, 0
	}
	if off >= r.size {
		return r.place(len(r.frames))
	}
	return r.place(r.frameAt(off))
}

// place is where a frame begins, and how many line feeds are before it. The last
// place is the end.
func (r *ReaderAt) place(i int) (off, lines int64) {
	switch {
	case i < 0:
		return 0, 0
	case i == len(r.frames):
		return r.size, r.feeds[i]
	}
	return r.frames[i].off, r.feeds[i]
}

// A Span is a piece of plaintext: n bytes from an offset.
type Span struct{ Off, N int64 }

// searchBlocks are read when they are first asked for.
type searchBlocks struct {
	mu   sync.Mutex
	read bool
	all  []*searchBlock
}

// MayHold returns the pieces of the plaintext that can hold a text which the
// query is of, in order, by the search index sealed with the file. Beside them
// none can. ok is false if there is no index, or if the query tells nothing. An index
// that is none is [ErrSearchIndex]: then all else of the file may be read.
//
// The index is read with the first call and kept: it takes up to 8 MiB of memory.
func (r *ReaderAt) MayHold(q ngram.Query) (spans []Span, ok bool, err error) {
	if r.search.N == 0 || !q.Tells() || q.Longest() > minBlock {
		return nil, false, nil
	}
	blocks, err := r.readSearchIndex()
	if err != nil {
		return nil, false, err
	}
	if blocks == nil { // of a version to come
		return nil, false, nil
	}
	add := func(from, to int64) {
		if last := len(spans) - 1; last >= 0 && spans[last].Off+spans[last].N >= from {
			from, to = spans[last].Off, max(to, spans[last].Off+spans[last].N)
			spans = spans[:last]
		}
		spans = append(spans, Span{from, to - from})
	}
	// A text lies in one block, or across the end of one.
	across := int64(q.Longest() - 1)
	frame := 0
	for i, b := range blocks {
		from, _ := r.frameSpan(frame)
		frame += b.frames
		_, to := r.frameSpan(frame - 1)
		if i > 0 && q.In(&blocks[i-1].set, &b.set) {
			add(max(0, from-across), min(r.size, from+across))
		}
		if q.In(&b.set) {
			add(from, to)
		}
	}
	return spans, true, nil
}

// frameSpan is where the plaintext of a frame begins and ends.
func (r *ReaderAt) frameSpan(i int) (from, to int64) {
	f := r.frames[i]
	return f.off, f.off + int64(f.plain)
}

func (r *ReaderAt) readSearchIndex() ([]*searchBlock, error) {
	r.blocks.mu.Lock()
	defer r.blocks.mu.Unlock()
	if r.blocks.read {
		return r.blocks.all, nil
	}
	if r.search.N > maxSearchIndex {
		return nil, fmt.Errorf("%w of %d bytes, more than %d", ErrSearchIndex, r.search.N, maxSearchIndex)
	}
	b := make([]byte, r.search.N)
	if err := r.stream.read(b, r.search.Off); err != nil {
		return nil, err
	}
	blocks, err := parseSearchIndex(b, len(r.frames))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSearchIndex, err)
	}
	frame := 0
	for i, b := range blocks {
		from, _ := r.frameSpan(frame)
		frame += b.frames
		if _, to := r.frameSpan(frame - 1); to-from < minBlock && i < len(blocks)-1 {
			return nil, fmt.Errorf("%w: block %d of %d has %d bytes", ErrSearchIndex, i, len(blocks), to-from)
		}
	}
	r.blocks.read, r.blocks.all = true, blocks
	return blocks, nil
}
