package crypto

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"filippo.io/age"
	seekable "github.com/SaveTheRbtz/zstd-seekable-format-go/pkg"
	"github.com/klauspost/compress/zstd"
)

// The zstd seekable format has another implementation in Go. It must read ours
// at any offset, and we what it writes.

func TestLibraryReadsOurs(t *testing.T) {
	key := newKey(t)
	plain := logText(5*frameSize + 321)
	for name, sealed := range map[string][]byte{
		"sealed":     seal(t, plain, key.Recipient()),
		"searchable": sealSearchable(t, plain, key.Recipient()),
		"flushed":    sealFlushing(t, plain, 300_000, key.Recipient()),
	} {
		t.Run(name, func(t *testing.T) { libraryReads(t, sealed, plain, key) })
	}
}

func libraryReads(t *testing.T, sealed, plain []byte, key *age.X25519Identity) {
	r, err := age.Decrypt(bytes.NewReader(sealed), key)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	lib, err := seekable.NewReader(bytes.NewReader(stream), dec)
	if err != nil {
		t.Fatal(err)
	}
	defer lib.Close()
	rng := rand.New(rand.NewPCG(7, 8))
	for range 50 {
		off := rng.IntN(len(plain))
		n := rng.IntN(min(len(plain)-off, 3000)) + 1
		got := make([]byte, n)
		if _, err := lib.ReadAt(got, int64(off)); err != nil && err != io.EOF {
			t.Fatalf("%d bytes at %d: %v", n, off, err)
		}
		if !bytes.Equal(got, plain[off:off+n]) {
			t.Fatalf("%d bytes at %d are others than those sealed", n, off)
		}
	}
}

func TestOursReadsLibrary(t *testing.T) {
	enc, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	var b bytes.Buffer
	w, err := seekable.NewWriter(&b, enc)
	if err != nil {
		t.Fatal(err)
	}
	plain := logText(1_000_000)
	for part := range slices.Chunk(plain, 70_000) {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := readStream(b.Bytes()); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%d bytes, error %v; want the %d that were written", len(got), err, len(plain))
	}
}
