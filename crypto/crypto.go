// Package crypto seals files to the public keys of their readers and opens them
// again: zstd in independent frames, padded, inside an age file. Stock tools do
// the same with "age -d -i KEY FILE | zstd -d". docs/format.md specifies it.
//
// What it opens is hostile: whoever can read a file, or stores it, may have
// changed it. So every size is bounded before memory is taken for it, memory is
// constant however long the file is, and no byte is handed out that age has not
// authenticated. A Reader reports [io.EOF] only when the file was authenticated
// as a whole and is complete.
//
// The package must never write plaintext anywhere but to its caller, and must
// never be used by package server, which has no business opening anything.
package crypto

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
)

// MaxRecipients is how many recipients a file can be sealed to. age itself
// writes files of more than 1,024 which nothing can open.
const MaxRecipients = 256

// What is wrong with a file that can't be opened. ErrTruncated, ErrExtended and
// ErrAltered match ErrCorrupt too; an error that matches ErrCorrupt alone means
// that the bytes don't tell which of them it was.
var (
	ErrCorrupt   = errors.New("not the bytes that were sealed")
	ErrTruncated = damage("truncated")
	ErrExtended  = damage("extended")
	ErrAltered   = damage("altered")
)

// ErrSearchIndex says that a search index is not as it must be, though age says that it
// is what was sealed. It matches ErrAltered and ErrCorrupt too.
var ErrSearchIndex = fmt.Errorf("%w: search index", ErrAltered)

// ErrForeign says that a file is intact, but not made as [Seal] makes it, and
// goes beyond what [Open] opens. Stock tools may do it.
var ErrForeign = errors.New("not sealed by vitrine")

// damage is a way in which a file can be corrupt.
type damage string

func (d damage) Error() string        { return string(d) }
func (d damage) Is(target error) bool { return target == ErrCorrupt }

// parallel is how many frames are compressed or decompressed at a time. Beyond
// 16 the single-threaded parts set the pace and memory only grows.
func parallel() int { return min(runtime.GOMAXPROCS(0), 16) }

// compressed are the magic numbers of files that zstd would not make smaller.
var compressed = []struct {
	off   int
	magic string
}{
	{0, "\x89PNG\r\n\x1a\n"},
	{0, "\xff\xd8\xff"},         // jpeg
	{0, "GIF8"},                 //
	{8, "WEBP"},                 // in RIFF
	{4, "ftyp"},                 // mp4, heic, avif
	{0, "\x1a\x45\xdf\xa3"},     // webm, matroska
	{0, "OggS"},                 //
	{0, "wOF2"},                 //
	{0, "\x1f\x8b"},             // gzip
	{0, "\xfd7zXZ\x00"},         // xz
	{0, "BZh"},                  // bzip2
	{0, "PK\x03\x04"},           // zip, jar, docx
	{0, "7z\xbc\xaf\x27\x1c"},   // 7z
	{0, "\x04\x22\x4d\x18"},     // lz4
	{0, "age-encryption.org/v"}, //
}

// Compressible reports from the first bytes of a file (16 suffice to tell all
// but age files, 20 those) whether it is sealed with zstd, by [Seal], or as it
// is, by [SealRaw], because it is compressed already. A zstd file counts as
// compressible, so that what SealRaw seals never looks like what Seal seals.
func Compressible(head []byte) bool {
	for _, c := range compressed {
		if len(head) >= c.off && bytes.HasPrefix(head[c.off:], []byte(c.magic)) {
			return false
		}
	}
	return true
}

// looksZstd reports whether a stream that starts with head is a zstd stream:
// its first frame may be a skippable one.
func looksZstd(head []byte) bool {
	return len(head) >= 4 && (bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")) ||
		head[0]&0xf0 == 0x50 && bytes.HasPrefix(head[1:], []byte("\x2a\x4d\x18")))
}
