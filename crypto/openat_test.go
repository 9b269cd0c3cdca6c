package crypto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/iotest"

	"filippo.io/age"

	"vitrine/ngram"
)

// openAtAll reads all of a sealed file by OpenAt, in order.
func openAtAll(sealed []byte, ids ...age.Identity) ([]byte, error) {
	r, err := OpenAt(bytes.NewReader(sealed), int64(len(sealed)), ids...)
	if err != nil {
		return nil, err
	}
	in := r.NewReader(0, r.Size())
	defer in.Close()
	return io.ReadAll(struct{ io.Reader }{in})
}

func TestOpenAtReadsAnywhere(t *testing.T) {
	key := newKey(t)
	text := logText(2*frameSize + 1234)
	for _, size := range []int{0, 1, chunkSize, frameSize + 1, len(text)} {
		plain := text[:size]
		for name, sealed := range map[string][]byte{
			"sealed":  seal(t, plain, key.Recipient()),
			"raw":     sealRaw(t, plain, key.Recipient()),
			"flushed": sealFlushing(t, plain, 300_000, key.Recipient()),
		} {
			t.Run(fmt.Sprint(name, size), func(t *testing.T) {
				r, err := OpenAt(bytes.NewReader(sealed), int64(len(sealed)), key)
				if err != nil {
					t.Fatal(err)
				}
				if r.Size() != int64(size) {
					t.Fatalf("Size is %d", r.Size())
				}
				rng := rand.New(rand.NewPCG(1, 2))
				for range 4 {
					off := rng.IntN(size + 1)
					n := rng.IntN(size - off + 1)
					got := make([]byte, n)
					if _, err := r.ReadAt(got, int64(off)); err != nil || !bytes.Equal(got, plain[off:off+n]) {
						t.Fatalf("ReadAt %d bytes at %d: %v", n, off, err)
					}
					in := r.NewReader(int64(off), int64(n))
					var b bytes.Buffer
					if _, err := io.Copy(&b, in); err != nil || !bytes.Equal(b.Bytes(), plain[off:off+n]) {
						t.Fatalf("NewReader of %d bytes at %d: %v", n, off, err)
					}
					if err := in.Close(); err != nil {
						t.Fatal(err)
					}
				}
				in := r.NewReader(int64(size/2), int64(size))
				defer in.Close()
				if err := iotest.TestReader(struct{ io.Reader }{in}, plain[size/2:min(size/2+5000, size)]); size <= 5000 && err != nil {
					t.Error(err)
				}
				if n, err := r.ReadAt(make([]byte, 10), int64(size)-min(5, int64(size))); err != io.EOF || n != min(5, size) {
					t.Errorf("at the end: %d, %v", n, err)
				}
				if n, err := r.ReadAt(make([]byte, 10), int64(size)+5); err != io.EOF || n != 0 {
					t.Errorf("after the end: %d, %v", n, err)
				}
				if _, err := r.ReadAt(make([]byte, 10), -1); err == nil {
					t.Error("before the beginning: no error")
				}
			})
		}
	}
}

// Files sealed by any earlier version, and those that must be refused.
func TestVectorsOpenAt(t *testing.T) {
	for _, v := range readVectors(t) {
		t.Run(v.File, func(t *testing.T) {
			ids := vectorIdentities(t, v.Identity)
			sealed, err := os.ReadFile(filepath.Join(vectorsDir, v.File))
			if err != nil {
				t.Fatal(err)
			}
			if v.Tables == "altered" {
				r, err := OpenAt(bytes.NewReader(sealed), int64(len(sealed)), ids...)
				if err == nil {
					_, _, err = r.MayHold(ngram.NewQuery("whatever"))
				}
				if err == nil {
					_, err = r.ReadAt(make([]byte, 1), 0)
				}
				if !errors.Is(err, ErrAltered) {
					t.Errorf("error %v, its tables are altered", err)
				}
				return
			}
			want, wantErr := openAll(sealed, ids...)
			got, err := openAtAll(sealed, ids...)
			var noMatch *age.NoIdentityMatchError
			switch {
			case errors.As(wantErr, &noMatch):
				if !errors.As(err, &noMatch) {
					t.Errorf("error %v, want %v", err, wantErr)
				}
			case wantErr == nil:
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes, %v; Open gives %d", len(got), err, len(want))
				}
			// Without reading all of it not every lie has the same name.
			case !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrForeign):
				t.Errorf("error %v, that of Open is %v", err, wantErr)
			}
		})
	}
}

// What is wrong with a file is told as Open tells it, though only its ends are read.
func TestOpenAtDamage(t *testing.T) {
	key := newKey(t)
	for _, size := range []int{0, 5000, 300_000, 3_000_000} {
		plain := noise(size)
		sealed := seal(t, plain, key.Recipient())
		header := headerSize(t, sealed)
		for _, n := range []int{0, 10, header - 1, header, header + 17, len(sealed) - 70_000, len(sealed) - 1,
			header + 16 + sealedSize, header + 16 + sealedSize + 16, header + 16 + 2*sealedSize} {
			if n >= 0 && n < len(sealed) {
				if _, err := openAtAll(sealed[:n], key); !errors.Is(err, ErrTruncated) {
					t.Errorf("%d bytes, cut to %d of %d: %v", size, n, len(sealed), err)
				}
			}
		}
		for _, tail := range [][]byte{{0}, noise(16), noise(100), noise(64 << 10), make([]byte, 1<<20), sealed} {
			if _, err := openAtAll(append(slices.Clone(sealed), tail...), key); !errors.Is(err, ErrExtended) {
				t.Errorf("%d bytes and %d more: %v", size, len(tail), err)
			}
		}
		for i := header + nonceSize; i < len(sealed); i += 300_001 {
			damaged := slices.Clone(sealed)
			damaged[i] ^= 4
			got, err := openAtAll(damaged, key)
			// What a flip in the padding says nobody asks for.
			if err == nil && bytes.Equal(got, plain) {
				continue
			}
			want := error(ErrAltered)
			if i == header+nonceSize {
				want = ErrCorrupt // the first byte told that it is padded
			}
			if !errors.Is(err, want) || !bytes.HasPrefix(plain, got) {
				t.Errorf("byte %d of %d flipped: %d bytes, %v", i, len(sealed), len(got), err)
			}
		}
	}
}

// A src of which reading fails at an offset.
type failingAt struct {
	io.ReaderAt
	from, to int64
	err      error
}

func (s *failingAt) ReadAt(p []byte, off int64) (int, error) {
	if off < s.to && off+int64(len(p)) > s.from {
		return 0, s.err
	}
	return s.ReaderAt.ReadAt(p, off)
}

func TestOpenAtSourceErrorIsNotCorruption(t *testing.T) {
	key := newKey(t)
	plain := noise(3 * frameSize)
	sealed := seal(t, plain, key.Recipient())
	for _, at := range []int64{0, 250, 1_500_000, int64(len(sealed)) - 1} {
		for _, fail := range []error{errDisk, io.ErrUnexpectedEOF} {
			src := &failingAt{bytes.NewReader(sealed), at, at + 1, fail}
			r, err := OpenAt(src, int64(len(sealed)), key)
			if err == nil {
				in := r.NewReader(0, r.Size())
				_, err = io.Copy(io.Discard, in)
				in.Close()
				if _, e := r.ReadAt(make([]byte, len(plain)), 0); !errors.Is(e, fail) {
					t.Errorf("source fails with %v at %d: ReadAt says %v", fail, at, e)
				}
				// The source recovers, and so does what reads it.
				src.from, src.to = -1, -1
				got := make([]byte, len(plain))
				if _, e := r.ReadAt(got, 0); e != nil || !bytes.Equal(got, plain) {
					t.Errorf("source recovered: %v", e)
				}
			}
			if !errors.Is(err, fail) || errors.Is(err, ErrCorrupt) {
				t.Errorf("source fails with %v at %d: %v", fail, at, err)
			}
		}
	}
	// A source that has less than it said.
	if _, err := OpenAt(bytes.NewReader(sealed[:1000]), int64(len(sealed)), key); !errors.Is(err, ErrTruncated) {
		t.Errorf("a source that is shorter than its size: %v", err)
	}
}

func TestOpenAtNoIdentityMatches(t *testing.T) {
	sealed := seal(t, []byte("x"), newKey(t).Recipient())
	var noMatch *age.NoIdentityMatchError
	if _, err := OpenAt(bytes.NewReader(sealed), int64(len(sealed)), newKey(t)); !errors.As(err, &noMatch) {
		t.Errorf("error %v", err)
	}
}

// sealStream encrypts a zstd stream as it is, as one who may read could.
func sealStream(t testing.TB, stream []byte, key *age.X25519Identity) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := age.Encrypt(&b, key.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(stream); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// T-8.3, at random: files that claim more than they hold.
func TestOpenAtHostileTables(t *testing.T) {
	key := newKey(t)
	frame := encoder().EncodeAll([]byte("a log\n"), nil)
	size := uint32(len(frame))
	table := func(entries ...seekEntry) []byte { return appendSeekTable(nil, entries) }
	big := make([]seekEntry, 8000)
	for i := range big {
		big[i] = seekEntry{8, maxFrameSize}
	}
	claims := func(n uint32) []byte {
		b := table(seekEntry{size, 6})
		binary.LittleEndian.PutUint32(b[len(b)-9:], n)
		return b
	}
	for _, c := range []struct {
		name   string
		stream []byte
		want   error
	}{
		{"as it should be", slices.Concat(frame, table(seekEntry{size, 6})), nil},
		{"no table", frame, ErrForeign},
		{"only the magic number of one", append(slices.Clone(frame), table()[13:]...), ErrAltered},
		{"claims a frame of more than 16 MiB", slices.Concat(frame, table(seekEntry{size, maxFrameSize + 1})), ErrForeign},
		{"does not add up", slices.Concat(frame, table(seekEntry{size + 1, 6})), ErrAltered},
		{"claims 4 Gi frames", slices.Concat(frame, claims(1<<32-1)), ErrAltered},
		{"claims a million frames", slices.Concat(frame, claims(1<<20)), ErrAltered},
		{"claims too few frames", slices.Concat(frame, claims(0)), ErrAltered},
		{"lies about a size", slices.Concat(frame, table(seekEntry{size, 7})), ErrAltered},
		{"two frames as one", slices.Concat(frame, frame, table(seekEntry{2 * size, 12})), ErrAltered},
		{"a frame with another, empty, behind it", slices.Concat(frame, encoder().EncodeAll(nil, nil), table(seekEntry{size + uint32(len(encoder().EncodeAll(nil, nil))), 6})), ErrAltered},
		{"half a frame", slices.Concat(frame, table(seekEntry{size - 3, 6}, seekEntry{3, 0})), ErrAltered},
		{"skippable as plaintext", slices.Concat(frame, appendSkippableHeader(nil, skippableMagic, 0), table(seekEntry{size, 6}, seekEntry{8, 6})), ErrAltered},
		{"65 kB that claim 128 GB", slices.Concat(make([]byte, 0), bytes.Repeat(appendSkippableHeader(nil, skippableMagic, 0), len(big)), table(big...)), ErrAltered},
		{"a bomb", withTable(bomb(1<<20, 1000), 1<<20), ErrAltered},
		{"a frame of no bytes", slices.Concat(frame, table(seekEntry{size, 6}, seekEntry{0, 6})), ErrAltered},
	} {
		t.Run(c.name, func(t *testing.T) {
			sealed := sealStream(t, c.stream, key)
			before := runtime.NumGoroutine()
			got := allocated(func() {
				if _, err := openAtAll(sealed, key); !errors.Is(err, c.want) {
					t.Errorf("error %v, want %v", err, c.want)
				}
			})
			if got > 64<<20 {
				t.Errorf("allocated %d bytes", got)
			}
			noNewGoroutines(t, before)
		})
	}
}

// A raw file may end like a seek table.
func TestOpenAtRawThatEndsLikeATable(t *testing.T) {
	key := newKey(t)
	frame := encoder().EncodeAll([]byte("a log\n"), nil)
	for _, plain := range [][]byte{
		append(noise(100), appendSeekTable(nil, []seekEntry{{100, 7}})...),
		append(noise(200_000), appendSeekTable(nil, []seekEntry{{200_000, 7}})...),
		slices.Concat(noise(100), frame, appendSeekTable(nil, []seekEntry{{100, 0}, {uint32(len(frame)), 6}})),
	} {
		got, err := openAtAll(sealRaw(t, plain, key.Recipient()), key)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes, %v; %d were sealed", len(got), err, len(plain))
		}
	}
}

// Many at once read the same and other frames.
func TestOpenAtConcurrently(t *testing.T) {
	key := newKey(t)
	plain := logText(4*frameSize + 77)
	sealed := seal(t, plain, key.Recipient())
	r, err := OpenAt(bytes.NewReader(sealed), int64(len(sealed)), key)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 2))
			for range 10 {
				off := rng.IntN(len(plain) - 100_000)
				got := make([]byte, 100_000)
				if i%2 == 0 {
					in := r.NewReader(int64(off), int64(len(got)))
					if _, err := io.ReadFull(in, got); err != nil {
						t.Error(err)
					}
					in.Close()
				} else if _, err := r.ReadAt(got, int64(off)); err != nil {
					t.Error(err)
				}
				if !bytes.Equal(got, plain[off:off+len(got)]) {
					t.Errorf("other bytes at %d", off)
				}
			}
		})
	}
	wg.Wait()
	if len(r.stream.src.held) != 1 {
		t.Errorf("%d spans are held still", len(r.stream.src.held)-1)
	}
}

// One frame is opened once, however many ask for it.
func TestFrameCacheOpensOnce(t *testing.T) {
	var c frameCache
	var opened int
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			b, err := c.get(7, 3, func() ([]byte, error) {
				opened++ // only one may come here, so it needs no lock
				<-begin
				return []byte("abc"), nil
			})
			if string(b) != "abc" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
	close(begin)
	wg.Wait()
	if opened != 1 {
		t.Errorf("opened %d times", opened)
	}
	// It is bounded, in bytes and in frames.
	for i := range 200 {
		c.get(100+i, 1<<20, func() ([]byte, error) { return nil, nil })
		if c.bytes > maxCached {
			t.Fatalf("%d bytes", c.bytes)
		}
	}
	for i := range 200 {
		c.get(1000+i, 1, func() ([]byte, error) { return nil, nil })
	}
	if len(c.frames) > maxCachedFrames {
		t.Errorf("%d frames", len(c.frames))
	}
	// An error is not kept.
	if _, err := c.get(5000, 1, func() ([]byte, error) { return nil, errDisk }); err != errDisk {
		t.Errorf("error %v", err)
	}
	if _, err := c.get(5000, 1, func() ([]byte, error) { return nil, nil }); err != nil {
		t.Errorf("error %v was kept", err)
	}
}

func TestReadAheadEndsWithClose(t *testing.T) {
	key := newKey(t)
	sealed := seal(t, logText(8*frameSize), key.Recipient())
	r, err := OpenAt(bytes.NewReader(sealed), int64(len(sealed)), key)
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	for _, n := range []int{0, 1, frameSize + 1} {
		in := r.NewReader(0, r.Size())
		if _, err := io.ReadFull(in, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
		if err := in.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if n, err := in.Read(make([]byte, 1)); n > 0 || err == nil || err == io.EOF {
			t.Errorf("Read after Close: %d, %v", n, err)
		}
	}
	noNewGoroutines(t, before)
}
