package crypto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// Bounds of the zstd stream inside a sealed file. They hold for reading and,
// all the more, for writing.
const (
	frameSize    = 1 << 20  // plaintext bytes of each frame that Seal writes, but the last
	maxFrameSize = 16 << 20 // bytes of a frame, compressed or not
	maxFrames    = 1 << 20  // frames of a stream, skippable ones included
	minPadded    = 4096     // bytes of the shortest stream
)

// Skippable frames and the seek table, from zstd_compression_format.md and
// zstd_seekable_compression_format.md of the zstd project.
const (
	skippableMagic  = 0x184D2A50
	seekTableMagic  = 0x184D2A5E
	seekFooterMagic = 0x8F92EAB1
	skippableHeader = 8  // magic number, size of what follows
	seekEntrySize   = 8  // compressed size, decompressed size
	seekEntryMax    = 12 // with a checksum, which Seal does not write
	seekFooterSize  = 9  // number of frames, descriptor, magic number
	maxSeekTable    = maxFrames*seekEntryMax + seekFooterSize
)

// A seekEntry is one frame in the seek table. A skippable frame has no
// decompressed bytes.
type seekEntry struct {
	compressed, decompressed uint32
}

// seekTableSize is the size of the seek table's frame for n entries.
func seekTableSize(n int) int64 {
	return skippableHeader + int64(n)*seekEntrySize + seekFooterSize
}

// appendSeekTable appends the frame that holds the seek table.
func appendSeekTable(b []byte, entries []seekEntry) []byte {
	b = appendSkippableHeader(b, seekTableMagic, uint32(len(entries)*seekEntrySize+seekFooterSize))
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint32(b, e.compressed)
		b = binary.LittleEndian.AppendUint32(b, e.decompressed)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(entries)))
	b = append(b, 0) // descriptor: no checksums
	return binary.LittleEndian.AppendUint32(b, seekFooterMagic)
}

func appendSkippableHeader(b []byte, magic, size uint32) []byte {
	b = binary.LittleEndian.AppendUint32(b, magic)
	return binary.LittleEndian.AppendUint32(b, size)
}

// parseSeekTable parses the content of the seek table's frame, which is what
// follows its eight bytes of header. Checksums of frames, which other writers
// put there, are passed over: age has authenticated the frames.
func parseSeekTable(b []byte) ([]seekEntry, error) {
	if len(b) < seekFooterSize || len(b) > maxSeekTable {
		return nil, fmt.Errorf("seek table of %d bytes", len(b))
	}
	footer := b[len(b)-seekFooterSize:]
	if binary.LittleEndian.Uint32(footer[5:]) != seekFooterMagic {
		return nil, errors.New("seek table does not end in its magic number")
	}
	descriptor := footer[4]
	if descriptor&0x7c != 0 {
		return nil, fmt.Errorf("seek table has reserved bits set (%#02x)", descriptor)
	}
	size := seekEntrySize
	if descriptor&0x80 != 0 {
		size = seekEntryMax
	}
	n := int64(binary.LittleEndian.Uint32(footer))
	if n > maxFrames {
		return nil, fmt.Errorf("seek table claims %d frames, more than %d", n, maxFrames)
	}
	if n*int64(size) != int64(len(b)-seekFooterSize) {
		return nil, fmt.Errorf("seek table claims %d frames, but has %d bytes", n, len(b))
	}
	entries := make([]seekEntry, n)
	for i := range entries {
		e := b[i*size:]
		entries[i] = seekEntry{binary.LittleEndian.Uint32(e), binary.LittleEndian.Uint32(e[4:])}
	}
	return entries, nil
}

// padme is the Padmé size of a stream of n bytes: the next number that has no
// more significant bits than the logarithm of its logarithm. It hides the size
// but for O(log log n) bits and adds at most 12 %. (Nikitin et al., "Reducing
// Metadata Leakage from Encrypted Files", 2019.)
func padme(n int64) int64 {
	if n <= minPadded {
		return minPadded
	}
	e := bits.Len64(uint64(n)) - 1
	s := bits.Len64(uint64(e))
	mask := int64(1)<<(e-s) - 1
	return (n + mask) &^ mask
}

func isPadme(n int64) bool { return padme(n) == n }

// paddingSize is how many bytes the padding frame must hold, beside its header,
// so that a stream has its Padmé size when body bytes of frames precede the
// padding and tail bytes follow it.
func paddingSize(body, tail int64) (uint32, error) {
	unpadded := body + skippableHeader + tail
	n := padme(unpadded) - unpadded
	if n > math.MaxUint32-skippableHeader { // the seek table counts the header too
		return 0, fmt.Errorf("%d bytes after compression are more than a sealed file can have", body)
	}
	return uint32(n), nil
}
