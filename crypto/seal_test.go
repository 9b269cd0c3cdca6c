package crypto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"filippo.io/age"
)

func newKey(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func seal(t testing.TB, plain []byte, recipients ...age.Recipient) []byte {
	t.Helper()
	return sealWith(t, Seal, plain, recipients...)
}

func sealRaw(t testing.TB, plain []byte, recipients ...age.Recipient) []byte {
	t.Helper()
	return sealWith(t, SealRaw, plain, recipients...)
}

func sealWith(t testing.TB, seal func(io.Writer, ...age.Recipient) (*Writer, error), plain []byte, recipients ...age.Recipient) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := seal(&b, recipients...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openAll(sealed []byte, ids ...age.Identity) ([]byte, error) {
	r, err := Open(bytes.NewReader(sealed), ids...)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var b bytes.Buffer
	_, err = io.Copy(&b, r)
	return b.Bytes(), err
}

// logText is n bytes that compress about as a log does.
func logText(n int) []byte {
	text := logStart()
	return bytes.Repeat(text, n/len(text)+1)[:n:n]
}

var logStart = sync.OnceValue(func() []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < 1<<20 {
		fmt.Fprintf(&b, "2026-11-22 02:11:09.%06d | TASK [service : copy file %x] ok: [bridge] => {\"changed\": false}\n", rng.IntN(1e6), rng.Uint64())
	}
	return b.Bytes()
})

func TestRoundTrip(t *testing.T) {
	key := newKey(t)
	plain := logText(2*frameSize + 17)
	for _, n := range []int{0, 1, 3, 4, 5, 255, 256, 1024, 4096, 65535, 65536, frameSize - 1, frameSize, frameSize + 1, len(plain)} {
		for name, seal := range map[string]func(io.Writer, ...age.Recipient) (*Writer, error){"zstd": Seal, "raw": SealRaw} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				sealed := sealWith(t, seal, plain[:n], key.Recipient())
				got, err := openAll(sealed, key)
				if err != nil || !bytes.Equal(got, plain[:n]) {
					t.Fatalf("WriteTo: %d bytes, error %v; want the %d that were sealed", len(got), err, n)
				}
				// By Read, in pieces, from a source that gives single bytes.
				if n > 70000 {
					return
				}
				r, err := Open(iotest.OneByteReader(bytes.NewReader(sealed)), key)
				if err != nil {
					t.Fatal(err)
				}
				if err := iotest.TestReader(r, plain[:n]); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

func TestManyFramesStayInOrder(t *testing.T) {
	key := newKey(t)
	plain := logText(6*frameSize + 1)
	var b bytes.Buffer
	w, err := Seal(&b, key.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := w.ReadFrom(iotest.HalfReader(bytes.NewReader(plain))); err != nil || n != int64(len(plain)) {
		t.Fatalf("ReadFrom: %d, %v", n, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := openAll(b.Bytes(), key); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("%d bytes, error %v", len(got), err)
	}
}

func TestSizeAndLines(t *testing.T) {
	key := newKey(t)
	for _, c := range []struct {
		plain string
		lines int64
	}{{"", 0}, {"a", 1}, {"a\n", 1}, {"a\nb", 2}, {"\n\n", 2}, {"\n\nx", 3}} {
		for _, seal := range []func(io.Writer, ...age.Recipient) (*Writer, error){Seal, SealRaw} {
			w, err := seal(io.Discard, key.Recipient())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(w, iotest.OneByteReader(strings.NewReader(c.plain))); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if w.Size() != int64(len(c.plain)) || w.Lines() != c.lines {
				t.Errorf("%q: size %d, lines %d; want %d, %d", c.plain, w.Size(), w.Lines(), len(c.plain), c.lines)
			}
		}
	}
}

// T-1.2: a log whose text someone can influence must not tell by its size
// whether that text equals the secret beside it.
func TestSizeIsNoOracle(t *testing.T) {
	key := newKey(t)
	const secret = "password=correct-horse-battery\n"
	guesses := []string{"hammer", "pallet", "saddle", "bridle", "staple", "battle", "better", "battery"}
	for _, c := range []struct {
		seal func(io.Writer, ...age.Recipient) (*Writer, error)
		size int // of what is before the secret
	}{{Seal, 200_000}, {SealSearchable, minSearched}} {
		sizes := map[int]bool{}
		for _, guess := range guesses {
			text := append(logText(c.size), secret...)
			text = fmt.Appendf(text, "password=correct-horse-%s\n", guess)
			text = append(text, logText(100_000)...)
			sizes[len(sealWith(t, c.seal, text, key.Recipient()))] = true
		}
		if len(sizes) != 1 {
			t.Errorf("%d bytes, and %d guesses have objects of %d sizes: %v", c.size, len(guesses), len(sizes), sizes)
		}
	}
}

func TestPlaintextHasPadmeSize(t *testing.T) {
	key := newKey(t)
	for _, n := range []int{0, 10, 5000, 100_000, 2_500_000} {
		r, err := age.Decrypt(bytes.NewReader(seal(t, logText(n), key.Recipient())), key)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := int64(len(stream)); padme(got) != got || got < 4096 {
			t.Errorf("%d bytes of log make a stream of %d, no Padmé size", n, got)
		}
	}
}

func TestRecipientBounds(t *testing.T) {
	key := newKey(t)
	for _, n := range []int{0, MaxRecipients + 1} {
		var b bytes.Buffer
		r := make([]age.Recipient, n)
		for i := range r {
			r[i] = key.Recipient()
		}
		if _, err := Seal(&b, r...); err == nil || b.Len() > 0 {
			t.Errorf("%d recipients: error %v and %d bytes; want an error and none", n, err, b.Len())
		}
	}
	many := make([]age.Recipient, MaxRecipients)
	for i := range many {
		k, err := age.GenerateHybridIdentity()
		if err != nil {
			t.Fatal(err)
		}
		many[i] = k.Recipient()
		if i == len(many)-1 {
			if got, err := openAll(seal(t, []byte("x"), many...), k); err != nil || string(got) != "x" {
				t.Errorf("%d post-quantum recipients: %q, %v", len(many), got, err)
			}
		}
	}
}

func TestSealRawRefusesZstd(t *testing.T) {
	key := newKey(t)
	for _, head := range []string{"\x28\xb5\x2f\xfd rest", "\x50\x2a\x4d\x18 rest", "\x5e\x2a\x4d\x18 rest"} {
		w, err := SealRaw(io.Discard, key.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(w, iotest.OneByteReader(strings.NewReader(head)))
		if err == nil || w.Close() == nil {
			t.Errorf("%q was sealed as it is", head)
		}
	}
}

func TestCompressible(t *testing.T) {
	for _, c := range []struct {
		head string
		want bool
	}{
		{"", true}, {"TASK [x]\n", true}, {"\x28\xb5\x2f\xfd", true}, {"%PDF-1.7", true}, {"RIFF", true}, {"RIFFxxxxWAVEfmt ", true},
		{"\x89PNG\r\n\x1a\n", false}, {"\xff\xd8\xff\xe0", false}, {"GIF89a", false}, {"RIFFxxxxWEBPVP8 ", false},
		{"\x1f\x8b\x08", false}, {"\xfd7zXZ\x00", false}, {"BZh9", false}, {"PK\x03\x04", false}, {"7z\xbc\xaf\x27\x1c", false},
		{"\x04\x22\x4d\x18", false}, {"\x00\x00\x00\x18ftypisom", false}, {"wOF2", false}, {"age-encryption.org/v1\n", false},
	} {
		if got := Compressible([]byte(c.head)); got != c.want {
			t.Errorf("Compressible(%q) = %v", c.head, got)
		}
	}
}

var errDisk = errors.New("no space left")

// failAfter takes n bytes and then fails.
type failAfter struct {
	bytes.Buffer
	n int
}

func (w *failAfter) Write(p []byte) (int, error) {
	if w.Len()+len(p) > w.n {
		return 0, errDisk
	}
	return w.Buffer.Write(p)
}

func TestFailedWriteStaysFailed(t *testing.T) {
	key := newKey(t)
	before := runtime.NumGoroutine()
	plain := logText(4 * frameSize)
	whole := len(seal(t, plain, key.Recipient()))
	for _, n := range []int{300, 70_000, whole / 2, whole - 1} {
		dst := &failAfter{n: n}
		w, err := Seal(dst, key.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Write(plain)
		if err == nil {
			err = w.Close()
		}
		if !errors.Is(err, errDisk) {
			t.Errorf("fails after %d bytes: error %v", n, err)
		}
		dst.n = 1 << 40 // space again: too late
		if _, err := w.Write([]byte("x")); !errors.Is(err, errDisk) {
			t.Errorf("Write after an error: %v", err)
		}
		if err := w.Close(); !errors.Is(err, errDisk) {
			t.Errorf("Close after an error: %v", err)
		}
		if _, err := openAll(dst.Bytes(), key); !errors.Is(err, ErrTruncated) {
			t.Errorf("fails after %d bytes: what was written opens with %v, want ErrTruncated", n, err)
		}
	}
	noNewGoroutines(t, before)
}

func TestFailedSourceIsNotSealed(t *testing.T) {
	key := newKey(t)
	before := runtime.NumGoroutine()
	for _, seal := range []func(io.Writer, ...age.Recipient) (*Writer, error){Seal, SealRaw} {
		var b bytes.Buffer
		w, err := seal(&b, key.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		src := io.MultiReader(bytes.NewReader(logText(2*frameSize+5)), iotest.ErrReader(errDisk))
		if _, err := io.Copy(w, src); !errors.Is(err, errDisk) {
			t.Errorf("Copy: %v", err)
		}
		if err := w.Close(); !errors.Is(err, errDisk) {
			t.Errorf("Close: %v", err)
		}
		if _, err := openAll(b.Bytes(), key); !errors.Is(err, ErrTruncated) {
			t.Errorf("what was written opens with %v, want ErrTruncated", err)
		}
	}
	noNewGoroutines(t, before)
}

func TestCloseTwice(t *testing.T) {
	w, err := Seal(io.Discard, newKey(t).Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err == nil {
		t.Error("second Close succeeds")
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("Write after Close succeeds")
	}
}

// noNewGoroutines waits for the goroutines that were started to end, which a busy
// machine may let wait.
func noNewGoroutines(t *testing.T, before int) {
	t.Helper()
	for range 3000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, there were %d", runtime.NumGoroutine(), before)
}

func benchmarkText(b *testing.B) []byte {
	b.ReportAllocs()
	text := logText(64 << 20)
	b.SetBytes(int64(len(text)))
	return text
}

func BenchmarkSeal(b *testing.B) {
	key, text := newKey(b), benchmarkText(b)
	for b.Loop() {
		w, err := Seal(io.Discard, key.Recipient())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.ReadFrom(bytes.NewReader(text)); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	key, text := newKey(b), benchmarkText(b)
	sealed := seal(b, text, key.Recipient())
	for b.Loop() {
		r, err := Open(bytes.NewReader(sealed), key)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
}
