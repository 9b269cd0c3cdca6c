package main

import (
	"bytes"
	"crypto/sha256"
	"sync"

	"vitrine"
	"vitrine/lines"
	"vitrine/remote"
)

// maxWhole is how large a public file may be that is read whole before anything of
// it is shown: it takes one request, as a part of it would.
const maxWhole = 1 << 20

// A publicFile is a file that is not sealed, so that its hash alone tells whether
// what came is what the record names. What is read of it in order, from its
// beginning to its end, is held against that.
type publicFile struct {
	*remote.File
	artifact vitrine.Artifact

	mu   sync.Mutex
	sum  countingHash // of what was read in order so far
	none error        // the file is another: nothing more of it is read
}

// openPublic opens a public file. A short one is right, or an error.
func openPublic(stored *remote.File, a vitrine.Artifact) (lines.Source, error) {
	f := &publicFile{File: stored, artifact: a, sum: countingHash{Hash: sha256.New()}}
	if a.Size > maxWhole {
		return f, nil
	}
	text := make([]byte, a.Size)
	if _, err := f.ReadAt(text, 0); err != nil {
		return nil, err
	}
	return bytes.NewReader(text), nil
}

// ReadAt is that of [io.ReaderAt].
func (f *publicFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	f.mu.Lock()
	defer f.mu.Unlock()
	if end := off + int64(n); off <= f.sum.n && f.sum.n < end {
		f.sum.Write(p[f.sum.n-off : n])
		if f.sum.n == f.artifact.Size {
			f.none = f.sum.check(f.artifact, bytes.NewReader(nil))
		}
	}
	if f.none != nil {
		f.Forget()
		return 0, f.none
	}
	return n, err
}
