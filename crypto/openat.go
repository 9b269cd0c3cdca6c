package crypto

import (
	"errors"
	"io"

	"filippo.io/age"

	"vitrine/ngram"
)

// OpenAt opens what [Seal] or [SealRaw] made for reading anywhere. src has size
// bytes; of it are read the header, the end, and then what is asked for. It is
// safe for concurrent use if src is. Errors are those of [Open].
//
// age authenticates each 64 KiB of what is read, and that the file ends where
// src does. That the rest of it is what was sealed shows only when it is read.
func OpenAt(src io.ReaderAt, size int64, identities ...age.Identity) (*ReaderAt, error) {
	return nil, errors.ErrUnsupported
}

// A ReaderAt reads the plaintext of a sealed file anywhere.
type ReaderAt struct{}

// Size is the length of the plaintext, in bytes.
func (r *ReaderAt) Size() int64 { return 0 }

// ReadAt is that of [io.ReaderAt]. It keeps a few frames that were read last.
func (r *ReaderAt) ReadAt(p []byte, off int64) (int, error) { return 0, errors.ErrUnsupported }

// NewReader reads n bytes from off on, with frames ahead of what was read being
// fetched and opened side by side. Close ends that.
func (r *ReaderAt) NewReader(off, n int64) io.ReadCloser { return nil }

// Lines is the number of line feeds in the plaintext, if the file tells it; one
// sealed by an earlier vitrine, or without frames, does not.
func (r *ReaderAt) Lines() (n int64, ok bool) { return 0, false }

// BeforeLine returns the last known place that has at most n line feeds before
// it: its offset, and how many they are. Without a table of lines that is the
// beginning.
func (r *ReaderAt) BeforeLine(n int64) (off, lines int64) { return 0, 0 }

// Before returns the last known place at or before an offset, as BeforeLine does.
func (r *ReaderAt) Before(off int64) (at, lines int64) { return 0, 0 }

// A Span is a piece of plaintext: n bytes from an offset.
type Span struct{ Off, N int64 }

// MayHold returns the pieces of the plaintext that can hold a text which the
// query is of, in order, by the search index sealed with the file. Beside them
// none can. ok is false if there is no index, or if the query tells nothing.
func (r *ReaderAt) MayHold(q ngram.Query) (spans []Span, ok bool, err error) {
	return nil, false, errors.ErrUnsupported
}

// HeaderSize is about how long the header of a file is that was sealed to keys
// with these fingerprints (those of a record), rather too long than too short.
func HeaderSize(fingerprints []string) int64 { return 16 << 10 }

// TailSize is how much of the end of a sealed file holds all its tables and the
// last of its plaintext, of which there are plainSize bytes.
func TailSize(plainSize int64) int64 { return 64 << 10 }
