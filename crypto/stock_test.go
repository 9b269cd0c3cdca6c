//go:build stock

// Tests that need age, zstd and ssh-keygen to be installed, and one that takes
// too long with the race detector.

package crypto

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/agessh"
)

func run(t *testing.T, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("tests with the tag stock need %s to be installed", name)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return stdout.Bytes()
}

func TestStockToolsOpen(t *testing.T) {
	dir := t.TempDir()
	ageKey := newKey(t)
	ageFile := filepath.Join(dir, "age.key")
	if err := os.WriteFile(ageFile, []byte(ageKey.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type reader struct {
		name, file string
		recipient  age.Recipient
	}
	readers := []reader{{"X25519", ageFile, ageKey.Recipient()}}
	for _, kind := range []string{"ed25519", "rsa"} {
		file := filepath.Join(dir, "id_"+kind)
		run(t, nil, "ssh-keygen", "-q", "-t", kind, "-N", "", "-f", file)
		public, err := os.ReadFile(file + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		recipient, err := agessh.ParseRecipient(string(public))
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, reader{"ssh-" + kind, file, recipient})
	}
	for _, r := range readers {
		for _, n := range []int{0, 1, 1000, 300_000, 2*frameSize + 5} {
			plain := logText(n)
			stream := run(t, seal(t, plain, r.recipient), "age", "-d", "-i", r.file)
			if got := run(t, stream, "zstd", "-d"); !bytes.Equal(got, plain) {
				t.Errorf("%s: age -d | zstd -d gives %d bytes, want the %d that were sealed", r.name, len(got), n)
			}
		}
		long := logText(longLog + 5)
		stream := run(t, sealSearchable(t, long, r.recipient), "age", "-d", "-i", r.file)
		if got := run(t, stream, "zstd", "-d"); !bytes.Equal(got, long) {
			t.Errorf("%s: age -d | zstd -d of a searchable file gives %d bytes, want %d", r.name, len(got), len(long))
		}
		plain := logText(200_000)
		stream = run(t, sealFlushing(t, plain, 30_000, r.recipient), "age", "-d", "-i", r.file)
		if got := run(t, stream, "zstd", "-d"); !bytes.Equal(got, plain) {
			t.Errorf("%s: age -d | zstd -d of a flushed file gives %d bytes, want %d", r.name, len(got), len(plain))
		}
		plain = noise(100_000)
		if got := run(t, sealRaw(t, plain, r.recipient), "age", "-d", "-i", r.file); !bytes.Equal(got, plain) {
			t.Errorf("%s: age -d of a file sealed as it is gives %d bytes", r.name, len(got))
		}
		// And an identity file as those tools write it opens here.
		f, err := os.Open(r.file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		ids, err := ParseIdentities(f, r.file, UI{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := openAll(seal(t, plain, r.recipient), ids...); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: %v", r.name, err)
		}
	}
}

func TestStockZstdLists(t *testing.T) {
	key := newKey(t)
	file := filepath.Join(t.TempDir(), "log.zst")
	r, err := age.Decrypt(bytes.NewReader(seal(t, logText(3*frameSize), key.Recipient())), key)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	list := string(run(t, nil, "zstd", "-l", "-v", file))
	for _, want := range []string{"# Zstandard Frames: 3", "# Skippable Frames: 3", "3.00 MiB", "XXH64"} {
		if !strings.Contains(list, want) {
			t.Errorf("zstd -l -v does not say %q:\n%s", want, list)
		}
	}
}

func TestFlippedRawInTheMiddle(t *testing.T) {
	key := newKey(t)
	plain := noise(2 * chunkSize)
	sealed := sealRaw(t, plain, key.Recipient())
	damaged := slices.Clone(sealed)
	damaged[headerSize(t, sealed)+nonceSize+9] ^= 1
	check(t, "in the middle", damaged, plain, key, ErrAltered)
}
