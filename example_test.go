package vitrine_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"vitrine"
	"vitrine/crypto"
	"vitrine/keyring"
	"vitrine/signature"
)

// The example of docs/format.md stays readable for ever: signed by its
// publisher, sealed to the readers of its keyring, its objects as recorded.
func TestExample(t *testing.T) {
	dir := filepath.Join("testdata", "vectors", "example")
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	k, err := keyring.OpenDir(filepath.Join(dir, "keyring"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(k.AllowedSigners(), read("allowed_signers")) {
		t.Error("allowed_signers is not what the keyring gives")
	}
	for _, name := range []string{"started.json", "build.json"} {
		r, err := vitrine.ParseRecord(read(name))
		if err != nil {
			t.Fatal(err)
		}
		signer, err := signature.Verify(read(name), read(name+".sig"), vitrine.RecordNamespace, k.PublisherKeys(r.Service))
		if err != nil || signer != r.Publisher {
			t.Errorf("%s: signed by %q, error %v", name, signer, err)
		}
		want, err := k.Recipients(r.Service, r.StartTime)
		if err != nil || !reflect.DeepEqual(r.Readers, want.Readers) {
			t.Errorf("%s: readers %v, want %v, error %v", name, r.Readers, want.Readers, err)
		}
	}
	r, err := vitrine.ParseRecord(read("build.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Artifacts) != 2 {
		t.Fatalf("%d artifacts", len(r.Artifacts))
	}
	for _, a := range r.Artifacts {
		stored := read(a.Path)
		if sum := sha256.Sum256(stored); hex.EncodeToString(sum[:]) != a.SHA256 || int64(len(stored)) != a.Size {
			t.Errorf("%s is not as recorded", a.Path)
		}
		if !a.Sealed {
			continue
		}
		for _, identity := range []string{"alice.txt", "bob_ed25519"} {
			ids, err := crypto.ParseIdentities(bytes.NewReader(read(identity)), identity, crypto.UI{})
			if err != nil {
				t.Fatal(err)
			}
			opened, err := crypto.Open(bytes.NewReader(stored), ids...)
			if err != nil {
				t.Fatal(err)
			}
			var plain bytes.Buffer
			_, err = opened.WriteTo(&plain)
			if err != nil || !bytes.Equal(plain.Bytes(), read(a.PlainPath())) || int64(plain.Len()) != a.PlainSize {
				t.Errorf("%s opens %s to %d bytes, error %v", identity, a.Path, plain.Len(), err)
			}
		}
	}
}
