package crypto

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"vitrine/ngram"
)

const (
	searchIndexTag = "vitn\x01"
	minSearched    = 2 * frameSize // bytes of plaintext; a shorter log is read as fast as its index
	blockSize      = 8 << 20       // plaintext bytes of a block, as long as there are few blocks
	maxBlocks      = 64
	minBlock       = 128 << 10 // plaintext bytes of every block but the last at the least; a longer text might reach over three
	// maxSearchIndex bounds the index in bytes, compressed or not.
	maxSearchIndex = maxBlocks*(ngram.Size+4) + 1<<10
)

// A searchBlock tells of some consecutive frames what they can hold.
type searchBlock struct {
	frames int   // with plaintext
	size   int64 // bytes of plaintext; not written
	set    ngram.Set
}

func (b *searchBlock) join(frames int, size int64, set *ngram.Set) {
	b.frames += frames
	b.size += size
	b.set.Merge(set)
}

// A searchIndex is the blocks of all frames with plaintext, in order. A gram that
// lies across blocks belongs to the one in which it ends. All blocks but the last
// are far longer than what is searched for, which therefore lies in one block or
// in two neighbours.
type searchIndex struct {
	blocks []*searchBlock
	full   int64 // a block of this size is complete
}

func newSearchIndex() *searchIndex { return &searchIndex{full: blockSize} }

// add adds a frame of size bytes. So that memory is bounded for a log of any
// length, blocks are joined two and two when there would be too many.
func (x *searchIndex) add(set *ngram.Set, size int) {
	last := len(x.blocks) - 1
	if last >= 0 && x.blocks[last].size+int64(size) <= x.full {
		x.blocks[last].join(1, int64(size), set)
		return
	}
	if len(x.blocks) == maxBlocks {
		for i := range maxBlocks / 2 {
			b, next := x.blocks[2*i], x.blocks[2*i+1]
			b.join(next.frames, next.size, &next.set)
			x.blocks[i] = b
		}
		clear(x.blocks[maxBlocks/2:])
		x.blocks = x.blocks[:maxBlocks/2]
		x.full *= 2
	}
	b := new(searchBlock)
	b.join(1, int64(size), set)
	x.blocks = append(x.blocks, b)
}

// appendSearchIndex appends the frame that holds the index.
func appendSearchIndex(b []byte, blocks []*searchBlock) []byte {
	plain := make([]byte, 0, len(blocks)*(ngram.Size+4)+4)
	plain = binary.AppendUvarint(plain, uint64(len(blocks)))
	for _, block := range blocks {
		plain = binary.AppendUvarint(plain, uint64(block.frames))
	}
	for _, block := range blocks {
		plain = block.set.Append(plain)
	}
	start := len(b)
	b = appendSkippableHeader(b, ownMagic, 0)
	b = append(b, searchIndexTag...)
	b = encoder().EncodeAll(plain, b)
	binary.LittleEndian.PutUint32(b[start+4:], uint32(len(b)-start-skippableHeader))
	return b
}

// parseSearchIndex parses the frame that the line table says is the search index
// of so many frames with plaintext. An index of a version to come is nil.
func parseSearchIndex(frame []byte, frames int) ([]*searchBlock, error) {
	if len(frame) > maxSearchIndex {
		return nil, fmt.Errorf("%d bytes, more than %d", len(frame), maxSearchIndex)
	}
	packed, ok := cutOwnFrame(frame, searchIndexTag)
	if !ok {
		if _, ok := cutOwnFrame(frame, searchIndexTag[:4]); ok {
			return nil, nil
		}
		return nil, errors.New("a frame of another kind")
	}
	var h zstd.Header
	if err := h.Decode(packed); err != nil {
		return nil, err
	}
	if !h.HasFCS {
		return nil, errors.New("a zstd frame that does not declare its size")
	}
	if h.FrameContentSize > maxSearchIndex {
		return nil, fmt.Errorf("%d bytes decompressed, more than %d", h.FrameContentSize, maxSearchIndex)
	}
	if err := checkFrame(packed, h.FrameContentSize); err != nil {
		return nil, err
	}
	b, err := decoder().DecodeAll(packed, make([]byte, 0, h.FrameContentSize))
	if err != nil {
		return nil, err
	}
	n, b, err := cutUvarint(b)
	if err != nil {
		return nil, err
	}
	if n > maxBlocks {
		return nil, fmt.Errorf("%d blocks, more than %d", n, maxBlocks)
	}
	counts := make([]uint64, n)
	left := uint64(frames)
	for i := range counts {
		if counts[i], b, err = cutUvarint(b); err != nil {
			return nil, fmt.Errorf("block %d of %d: %w", i, n, err)
		}
		if counts[i] == 0 || counts[i] > left {
			return nil, fmt.Errorf("block %d of %d has %d frames, %d are left", i, n, counts[i], left)
		}
		left -= counts[i]
	}
	if left > 0 {
		return nil, fmt.Errorf("%d frames are in no block", left)
	}
	if uint64(len(b)) != n*ngram.Size {
		return nil, fmt.Errorf("%d bytes of sets for %d blocks", len(b), n)
	}
	blocks := make([]*searchBlock, n)
	for i := range blocks {
		blocks[i] = &searchBlock{frames: int(counts[i])}
		if b, err = blocks[i].set.Parse(b); err != nil {
			return nil, err
		}
	}
	return blocks, nil
}
