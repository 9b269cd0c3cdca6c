package crypto

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// openPipe opens bytes as a pipe gives them and returns what came out before the end or an error.
func openPipe(sealed []byte, ids ...age.Identity) ([]byte, error) {
	r, err := Open(struct{ io.Reader }{bytes.NewReader(sealed)}, ids...)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(struct{ io.Reader }{r})
}

// noise does not compress, so that sealed bytes and plaintext lie side by side.
func noise(n int) []byte {
	rng := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdefghijklmnopqrstuvwxyz-_ABCDEFGHIJKLMNOPQRSTUVWXYZ"[rng.IntN(64)]
	}
	return b
}

// check opens damaged bytes and wants the one sentinel, and only true plaintext
// before it.
func check(t *testing.T, what string, damaged, plain []byte, key age.Identity, want error) {
	t.Helper()
	got, err := openPipe(damaged, key)
	if !errors.Is(err, want) || !errors.Is(err, ErrCorrupt) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
	if want != ErrCorrupt {
		for _, other := range []error{ErrTruncated, ErrExtended, ErrAltered} {
			if other != want && errors.Is(err, other) {
				t.Errorf("%s: error %v is %v too", what, err, other)
			}
		}
	}
	if !bytes.HasPrefix(plain, got) {
		t.Errorf("%s: bytes came out that were never sealed", what)
	}
}

func headerSize(t *testing.T, sealed []byte) int {
	t.Helper()
	h, err := age.ExtractHeader(bytes.NewReader(sealed))
	if err != nil {
		t.Fatal(err)
	}
	return len(h)
}

func TestTruncated(t *testing.T) {
	key := newKey(t)
	for _, size := range []int{0, 5000, 300_000, 3_000_000} {
		plain := noise(size)
		sealed := seal(t, plain, key.Recipient())
		header := headerSize(t, sealed)
		cuts := []int{0, 1, 10, 22, 40, header - 1, header, header + 1, header + 16, header + 17, header + 40, header + 5000,
			header + 16 + sealedSize - 1, header + 16 + sealedSize, header + 16 + sealedSize + 1, header + 16 + sealedSize + 16,
			header + 16 + sealedSize + 17, header + 16 + 2*sealedSize, header + 16 + 2*sealedSize + 30_000,
			len(sealed) - 70_000, len(sealed) - 100, len(sealed) - 1}
		for _, n := range cuts {
			if n >= 0 && n < len(sealed) {
				check(t, fmt.Sprintf("%d bytes, cut to %d of %d", size, n, len(sealed)), sealed[:n], plain, key, ErrTruncated)
			}
		}
	}
}

func TestExtended(t *testing.T) {
	key := newKey(t)
	// The largest is padded to a multiple of 64 KiB: its last chunk is full.
	for _, size := range []int{0, 5000, 300_000, 3_000_000} {
		plain := noise(size)
		sealed := seal(t, plain, key.Recipient())
		for _, tail := range [][]byte{{0}, noise(16), noise(100), noise(64 << 10), make([]byte, 1<<20), sealed} {
			check(t, fmt.Sprintf("%d bytes and %d more", size, len(tail)), append(slices.Clone(sealed), tail...), plain, key, ErrExtended)
		}
	}
	for _, size := range []int{0, 100, chunkSize, 2 * chunkSize, 2*chunkSize + 100} {
		plain := noise(size)
		sealed := sealRaw(t, plain, key.Recipient())
		for _, tail := range [][]byte{{0}, noise(16), noise(17), noise(64 << 10)} {
			check(t, fmt.Sprintf("raw %d bytes and %d more", size, len(tail)), append(slices.Clone(sealed), tail...), plain, key, ErrExtended)
		}
	}
}

// T-4.1: a flipped bit anywhere.
func TestFlipped(t *testing.T) {
	key := newKey(t)
	plain := noise(100_000)
	sealed := seal(t, plain, key.Recipient())
	for i := 0; i < len(sealed); i += 1000 {
		damaged := slices.Clone(sealed)
		damaged[i] ^= 1 << (i % 8)
		check(t, fmt.Sprintf("byte %d flipped", i), damaged, plain, key, ErrAltered)
	}
	// In the header, a flip may also make it one for somebody else.
	for i := range headerSize(t, sealed) {
		damaged := slices.Clone(sealed)
		damaged[i] ^= 1
		_, err := openPipe(damaged, key)
		var noMatch *age.NoIdentityMatchError
		if !errors.Is(err, ErrCorrupt) && !errors.As(err, &noMatch) {
			t.Errorf("byte %d of the header flipped: %v", i, err)
		}
	}
}

// What was altered before the last chunk is in the slow tests, under the tag stock.
func TestFlippedRaw(t *testing.T) {
	key := newKey(t)
	plain := noise(2*chunkSize + 3000)
	sealed := sealRaw(t, plain, key.Recipient())
	start := headerSize(t, sealed) + nonceSize
	flip := func(i int) []byte {
		damaged := slices.Clone(sealed)
		damaged[i] ^= 1
		return damaged
	}
	// Nothing tells a short last chunk that was cut from one that was altered.
	check(t, "in the last chunk", flip(len(sealed)-9), plain, key, ErrCorrupt)
	check(t, "last chunk cut", sealed[:len(sealed)-9], plain, key, ErrCorrupt)
	check(t, "cut between chunks", sealed[:start+sealedSize], plain, key, ErrTruncated)
}

func TestSourceErrorIsNotCorruption(t *testing.T) {
	key := newKey(t)
	sealed := seal(t, noise(200_000), key.Recipient())
	for _, n := range []int{0, 50, headerSize(t, sealed) + 3, 1000, 100_000, len(sealed)} {
		for _, fail := range []error{errDisk, io.ErrUnexpectedEOF} {
			r, err := Open(io.MultiReader(bytes.NewReader(sealed[:n]), iotest.ErrReader(fail)), key)
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			if !errors.Is(err, fail) || errors.Is(err, ErrCorrupt) {
				t.Errorf("source fails with %v after %d bytes: %v", fail, n, err)
			}
		}
	}
}

func TestNoIdentityMatches(t *testing.T) {
	sealed := seal(t, []byte("x"), newKey(t).Recipient())
	_, err := Open(bytes.NewReader(sealed), newKey(t), newKey(t))
	var noMatch *age.NoIdentityMatchError
	if !errors.As(err, &noMatch) || errors.Is(err, ErrCorrupt) {
		t.Errorf("error %v", err)
	}
	if _, err := Open(bytes.NewReader(sealed)); err == nil {
		t.Error("opened without an identity")
	}
}

// T-8.4: a header that asks for hours of scrypt is refused before any.
func TestScryptHeaderIsRefusedAtOnce(t *testing.T) {
	header := "age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 30\n" +
		strings.Repeat("A", 43) + "\n--- " + strings.Repeat("A", 43) + "\n"
	key := newKey(t)
	best := time.Hour // a busy machine may take its time, but not each time
	for range 20 {
		start := time.Now()
		_, err := Open(strings.NewReader(header+strings.Repeat("x", 100)), key)
		var noMatch *age.NoIdentityMatchError
		if !errors.As(err, &noMatch) {
			t.Fatalf("error %v", err)
		}
		best = min(best, time.Since(start))
	}
	if best > 10*time.Millisecond {
		t.Errorf("took %v", best)
	}
}

func TestEndlessHeader(t *testing.T) {
	stanza := "-> X25519 " + strings.Repeat("A", 43) + "\n" + strings.Repeat("A", 43) + "\n"
	for _, c := range []struct {
		header string
		want   error
	}{
		{strings.Repeat(stanza, 2<<20/len(stanza)), ErrForeign},
		{strings.Repeat("A", 2<<20), ErrAltered},
		{strings.Repeat("-> a\n\n", 100_000), ErrAltered},
	} {
		_, err := Open(strings.NewReader("age-encryption.org/v1\n"+c.header+"--- "+strings.Repeat("A", 43)+"\n"), newKey(t))
		if !errors.Is(err, c.want) {
			t.Errorf("%.20q…: %v, want %v", c.header, err, c.want)
		}
	}
}

func TestCloseEndsReading(t *testing.T) {
	before := runtime.NumGoroutine()
	key := newKey(t)
	r, err := Open(bytes.NewReader(seal(t, logText(8*frameSize), key.Recipient())), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(make([]byte, 100)); n > 0 || err == nil || err == io.EOF {
		t.Errorf("Read after Close: %d, %v", n, err)
	}
	noNewGoroutines(t, before)
}

// The streams below are what someone who may read a file, and so can write one,
// could put into it.

// readStream reads a zstd stream as Open does once age has decrypted it.
func readStream(stream []byte) ([]byte, error) {
	r := &Reader{frames: &frameReader{src: bufio.NewReader(bytes.NewReader(stream))}}
	defer r.Close()
	return io.ReadAll(r)
}

// bomb is one zstd frame that declares a size and holds n blocks of 128 KiB,
// four bytes each.
func bomb(declared uint64, n int) []byte {
	b := []byte("\x28\xb5\x2f\xfd\xc0\x38") // size in 8 bytes, window of 128 KiB
	b = binary.LittleEndian.AppendUint64(b, declared)
	for i := range n {
		block := uint32(128<<10)<<3 | 1<<1
		if i == n-1 {
			block |= 1
		}
		b = append(b, byte(block), byte(block>>8), byte(block>>16), 'x')
	}
	return b
}

func withTable(frame []byte, decompressed uint32) []byte {
	return appendSeekTable(slices.Clone(frame), []seekEntry{{uint32(len(frame)), decompressed}})
}

// T-8.3: 65 kB that expand to 2 GB, and a frame that claims 4 GB.
func TestBombs(t *testing.T) {
	const blocks = 2 << 30 / (128 << 10)
	undeclared := append([]byte("\x28\xb5\x2f\xfd\x00\x38"), bomb(0, blocks)[14:]...)
	for _, c := range []struct {
		name   string
		stream []byte
		want   error
	}{
		{"declared", withTable(bomb(2<<30, blocks), 2<<30), ErrForeign},
		{"declared as 1 MiB", withTable(bomb(1<<20, blocks), 1<<20), ErrAltered},
		{"declared as 16 MiB", withTable(bomb(16<<20, blocks), 16<<20), ErrAltered},
		{"declared as nothing", withTable(bomb(0, blocks), 0), ErrAltered},
		{"declared as more than there is", withTable(bomb(1<<20, 7), 1<<20), ErrAltered},
		{"undeclared", withTable(undeclared, 1<<20), ErrForeign},
		{"4 GB claimed", withTable(bomb(4<<30, 1), 0), ErrForeign},
		{"2^64 claimed", withTable(bomb(1<<64-1, 1), 0), ErrForeign},
	} {
		t.Run(c.name, func(t *testing.T) {
			if len(c.stream) > 66_000 {
				t.Fatalf("the bomb has %d bytes", len(c.stream))
			}
			got := allocated(func() {
				out, err := readStream(c.stream)
				if !errors.Is(err, c.want) || len(out) > 0 {
					t.Errorf("%d bytes, error %v; want none, %v", len(out), err, c.want)
				}
			})
			if got > 100<<20 {
				t.Errorf("allocated %d bytes", got)
			}
		})
	}
}

// Many frames of the largest size are opened, in bounded memory.
func TestLargeFramesInBoundedMemory(t *testing.T) {
	frame := bomb(maxFrameSize, maxFrameSize/(128<<10))
	var stream []byte
	var table []seekEntry
	for range 8 {
		stream = append(stream, frame...)
		table = append(table, seekEntry{uint32(len(frame)), maxFrameSize})
	}
	stream = appendSeekTable(stream, table)
	got := allocated(func() {
		r := &Reader{frames: &frameReader{src: bufio.NewReader(bytes.NewReader(stream))}}
		defer r.Close()
		if n, err := io.Copy(io.Discard, r); err != nil || n != 8*maxFrameSize {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
	if got > 100<<20 {
		t.Errorf("allocated %d bytes in all", got)
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestHostileStreams(t *testing.T) {
	frame := encoder().EncodeAll([]byte("a log\n"), nil)
	size := uint32(len(frame))
	skippable := func(content int) []byte {
		return append(appendSkippableHeader(nil, skippableMagic+3, uint32(content)), make([]byte, content)...)
	}
	table := func(entries ...seekEntry) []byte { return appendSeekTable(nil, entries) }
	flippedSum := slices.Clone(frame)
	flippedSum[len(frame)-1] ^= 1
	dictionary := []byte("\x28\xb5\x2f\xfd\x21\x07\x05") // single segment, dictionary 7, 5 bytes
	for _, c := range []struct {
		name   string
		stream []byte
		want   error
	}{
		{"as it should be", slices.Concat(frame, table(seekEntry{size, 6})), nil},
		{"with a skippable frame", slices.Concat(frame, skippable(9), table(seekEntry{size, 6}, seekEntry{17, 0})), nil},
		{"only a table", table(), nil},
		{"no table", frame, ErrForeign},
		{"table lies about a size", slices.Concat(frame, table(seekEntry{size, 7})), ErrAltered},
		{"table lies about a compressed size", slices.Concat(frame, table(seekEntry{size + 1, 6})), ErrAltered},
		{"table lacks a frame", slices.Concat(frame, frame, table(seekEntry{size, 6})), ErrAltered},
		{"table has a frame more", slices.Concat(frame, table(seekEntry{size, 6}, seekEntry{size, 6})), ErrAltered},
		{"table lacks the skippable frame", slices.Concat(frame, skippable(9), table(seekEntry{size, 6})), ErrAltered},
		{"data after the table", slices.Concat(frame, table(seekEntry{size, 6}), []byte{0}), ErrExtended},
		{"frame after the table", slices.Concat(frame, table(seekEntry{size, 6}), frame), ErrExtended},
		{"table cut", slices.Concat(frame, table(seekEntry{size, 6})[:20]), ErrTruncated},
		{"table claims 4 GB", slices.Concat(frame, appendSkippableHeader(nil, seekTableMagic, 1<<32-1)), ErrForeign},
		{"table claims 12 MB", slices.Concat(frame, appendSkippableHeader(nil, seekTableMagic, maxSeekTable)), ErrTruncated},
		{"table without its footer", slices.Concat(frame, appendSkippableHeader(nil, seekTableMagic, 4), []byte("abcd")), ErrAltered},
		{"frame cut", frame[:len(frame)-1], ErrTruncated},
		{"frame cut in its header", frame[:5], ErrTruncated},
		{"skippable frame cut", slices.Concat(frame, skippable(9)[:12]), ErrTruncated},
		{"skippable frame claims 4 GB", appendSkippableHeader(nil, skippableMagic, 1<<32-1), ErrTruncated},
		{"checksum flipped", slices.Concat(flippedSum, table(seekEntry{size, 6})), ErrAltered},
		{"no frame at all", slices.Concat(frame, []byte("not a zstd frame, though long enough")), ErrAltered},
		{"dictionary", dictionary, ErrForeign},
		{"large compressed frame", slices.Concat([]byte("\x28\xb5\x2f\xfd\xa0\x00\x00\x00\x01"), bytes.Repeat(append([]byte{0, 0, 16}, make([]byte, 128<<10)...), 129)), ErrForeign},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			_, err := readStream(c.stream)
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			noNewGoroutines(t, before)
		})
	}
}

func TestMoreThanAMillionFrames(t *testing.T) {
	one := bufio.NewReader(bytes.NewReader(appendSkippableHeader(nil, skippableMagic, 0)))
	r := &frameReader{src: one, entries: make([]seekEntry, maxFrames)}
	if _, err := r.next(nil); !errors.Is(err, ErrForeign) {
		t.Errorf("reading: %v", err)
	}
	w := &frameWriter{dst: io.Discard, entries: make([]seekEntry, maxFrames-1)}
	var err error
	for range 2 { // the last full frame is held back
		clear(w.space())
		err = w.filled(frameSize, 0)
	}
	if err == nil {
		t.Error("a stream that can't be opened was written")
	}
}

func TestForeignErrorNamesStockTools(t *testing.T) {
	key := newKey(t)
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, key.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(e.EncodeAll(make([]byte, maxFrameSize+1), nil)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openAll(b.Bytes(), key); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "age -d | zstd -d") {
		t.Errorf("error %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	frame := encoder().EncodeAll([]byte("a log\n"), nil)
	f.Add(withTable(frame, 6))
	f.Add(frame)
	f.Add(withTable(bomb(1<<20, 8), 1<<20))
	f.Add(appendSeekTable(appendSkippableHeader(nil, skippableMagic, 0), []seekEntry{{8, 0}}))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := &Reader{frames: &frameReader{src: bufio.NewReader(bytes.NewReader(stream))}}
		defer r.Close()
		var b bytes.Buffer
		n, err := io.Copy(&b, io.LimitReader(r, 64<<20))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrForeign) {
				t.Fatalf("error %v is neither ErrCorrupt nor ErrForeign", err)
			}
			return
		}
		if n == 64<<20 {
			return
		}
		// What is accepted decompresses to the same by another way.
		d, err := zstd.NewReader(bytes.NewReader(stream), zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if want, err := io.ReadAll(d); err != nil || !bytes.Equal(want, b.Bytes()) {
			t.Fatalf("%d bytes; the stream decoder has %d, error %v", n, len(want), err)
		}
	})
}
