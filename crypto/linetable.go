package crypto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Skippable frames of our own begin, after their header, with a tag of four bytes
// and a byte for the version. The search index is another one, see searchindex.go.
const (
	ownMagic     = 0x184D2A5D
	lineTableTag = "vitl\x01"
	maxLineTable = skippableHeader + len(lineTableTag) + 4*(maxFrames+1) // no number in it has more than 28 bits
)

// A lineTable tells what the seek table can't: where the search index is, and how
// many lines there are in each frame.
type lineTable struct {
	search int      // the entry of the seek table that is the search index; 0: none
	feeds  []uint32 // for each frame with plaintext, how many line feeds are in it
}

// appendLineTable appends the frame that holds the table.
func appendLineTable(b []byte, t lineTable) []byte {
	start := len(b)
	b = appendSkippableHeader(b, ownMagic, 0)
	b = append(b, lineTableTag...)
	b = binary.AppendUvarint(b, uint64(t.search))
	for _, n := range t.feeds {
		b = binary.AppendUvarint(b, uint64(n))
	}
	binary.LittleEndian.PutUint32(b[start+4:], uint32(len(b)-start-skippableHeader))
	return b
}

// parseLineTable parses the frame before the seek table, the last one that the
// seek table has an entry of. If it is not a line table, as in files of earlier
// vitrines, or one of a version to come, it returns nil.
func parseLineTable(frame []byte, entries []seekEntry) (*lineTable, error) {
	b, ok := cutOwnFrame(frame, lineTableTag)
	if !ok || len(frame) > maxLineTable {
		return nil, nil
	}
	search, b, err := cutUvarint(b)
	if err != nil {
		return nil, fmt.Errorf("line table: %w", err)
	}
	// The table's own entry is the last one.
	if search != 0 && (search >= uint64(len(entries)-1) || entries[search].decompressed != 0) {
		return nil, fmt.Errorf("line table: the search index can't be frame %d of %d", search, len(entries))
	}
	t := &lineTable{search: int(search)}
	for _, e := range entries {
		if e.decompressed == 0 {
			continue
		}
		var n uint64
		if n, b, err = cutUvarint(b); err != nil {
			return nil, fmt.Errorf("line table: frame %d: %w", len(t.feeds), err)
		}
		if n > uint64(e.decompressed) {
			return nil, fmt.Errorf("line table: %d line feeds in %d bytes", n, e.decompressed)
		}
		t.feeds = append(t.feeds, uint32(n))
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("line table: %d bytes more than there are frames for", len(b))
	}
	return t, nil
}

// cutOwnFrame returns what follows the tag in a frame of our own with that tag.
func cutOwnFrame(frame []byte, tag string) ([]byte, bool) {
	head := appendSkippableHeader(nil, ownMagic, uint32(len(frame)-skippableHeader))
	return bytes.CutPrefix(frame, append(head, tag...))
}

var errUvarint = errors.New("a number is missing, too large, or longer than need be")

func cutUvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 || n > 1 && b[n-1] == 0 {
		return 0, nil, errUvarint
	}
	return v, b[n:], nil
}
