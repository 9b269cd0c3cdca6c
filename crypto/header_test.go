package crypto

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"
)

// Sealer and opener name the header and the nonce alike: those bytes, whatever
// follows them.
func TestHeaderSHA256(t *testing.T) {
	key := newKey(t)
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	many := []age.Recipient{key.Recipient()}
	for range 99 {
		many = append(many, newKey(t).Recipient())
	}
	for name, seal := range map[string]func(io.Writer, ...age.Recipient) (*Writer, error){
		"Seal": Seal, "SealSearchable": SealSearchable, "SealRaw": SealRaw,
	} {
		for _, to := range []struct {
			key        age.Identity
			recipients []age.Recipient
		}{
			{key, many[:1]}, {key, many}, {hybrid, []age.Recipient{hybrid.Recipient()}},
		} {
			seen := make(map[string]bool)
			for _, plain := range [][]byte{nil, []byte("a log\n"), []byte("a log\n"), noise(100_000)} {
				var b bytes.Buffer
				w, err := seal(&b, to.recipients...)
				if err != nil {
					t.Fatal(err)
				}
				first := w.HeaderSHA256()
				if _, err := w.Write(plain); err != nil {
					t.Fatal(err)
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				sealed := b.Bytes()
				sum := sha256.Sum256(sealed[:headerSize(t, sealed)+nonceSize])
				want := hex.EncodeToString(sum[:])
				if first != want || w.HeaderSHA256() != want {
					t.Errorf("%s to %d: it was sealed with %s, later %s, want %s", name, len(to.recipients), first, w.HeaderSHA256(), want)
				}
				r, err := OpenAt(bytes.NewReader(sealed), int64(len(sealed)), to.key)
				if err != nil {
					t.Fatal(err)
				}
				if got := r.HeaderSHA256(); got != want {
					t.Errorf("%s to %d: it is opened with %s, want %s", name, len(to.recipients), got, want)
				}
				seen[want] = true
			}
			if len(seen) != 4 {
				t.Errorf("%s to %d: %d headers of four files", name, len(to.recipients), len(seen))
			}
		}
	}
}

// A fixed file has a fixed hash, as stock tools tell it (docs/format.md).
func TestHeaderSHA256OfExample(t *testing.T) {
	const dir = "../testdata/vectors/example"
	f, err := os.Open(filepath.Join(dir, "ansible.log.zst.age"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.Open(filepath.Join(dir, "alice.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	ids, err := age.ParseIdentities(key)
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenAt(f, info.Size(), ids...)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.HeaderSHA256(), "73f3d5eb045f577971ba934d28558358c48faedb3ffb3b9c37d5b676e00ee0c2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
