package remote_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"vitrine/remote"
)

// A source is an object in memory that notes what was asked of it.
type source struct {
	object []byte

	mu     sync.Mutex
	asked  []string
	before func(off, n int64) (io.ReadCloser, error) // answers instead, if not nil; nil, nil: as ever
}

func (s *source) OpenRange(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	s.mu.Lock()
	s.asked = append(s.asked, fmt.Sprintf("%d+%d", off>>10, n>>10))
	before := s.before
	s.mu.Unlock()
	if before != nil {
		if r, err := before(off, n); r != nil || err != nil {
			return r, err
		}
	}
	return io.NopCloser(bytes.NewReader(s.object[off : off+n])), nil
}

// requests are those since the last call, in order, as OFFSET+LENGTH in KiB.
func (s *source) requests() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.asked = nil }()
	return strings.Join(s.asked, " ")
}

func newSource(size int) *source {
	object := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(object)
	return &source{object: object}
}

const kib, mib = 1 << 10, 1 << 20

func (s *source) open(t testing.TB, o remote.Options) *remote.File {
	t.Helper()
	f := remote.Open(t.Context(), s, int64(len(s.object)), o)
	t.Cleanup(func() { f.Close() })
	return f
}

// read reads a part and holds it against the object.
func (s *source) read(t testing.TB, f *remote.File, off, n int) {
	t.Helper()
	p := make([]byte, n)
	got, err := f.ReadAt(p, int64(off))
	want := s.object[min(off, len(s.object)):min(off+n, len(s.object))]
	if !bytes.Equal(p[:got], want) || (got < n) != (err == io.EOF) || err != nil && err != io.EOF {
		t.Fatalf("read %d at %d: %d bytes, error %v", n, off, got, err)
	}
}

func TestRequests(t *testing.T) {
	type read struct {
		off, n int
		want   string // requests that it makes
	}
	for name, test := range map[string]struct {
		size  int
		o     remote.Options
		reads []read
	}{
		"a block": {mib, remote.Options{}, []read{
			{100 * kib, 10, "96+16"}, {100 * kib, 10, ""}, {96 * kib, 16 * kib, ""}, {112*kib - 1, 2, "112+16"}}},
		"head": {mib, remote.Options{Head: 50 * kib}, []read{
			{0, 10, "0+64"}, {63 * kib, kib, ""}, {64 * kib, 1, "64+16"}}},
		"tail": {10 * mib, remote.Options{Head: 16 * kib, Tail: 100 * kib}, []read{
			{0, 10, "0+16"}, {10*mib - 5, 5, "10128+112"}, {10*mib - 100*kib, 100 * kib, ""}, {10*mib - 1, 10, ""}, {10 * mib, 1, ""}}},
		"tail with what is before it": {10 * mib, remote.Options{Tail: 100 * kib}, []read{
			{10*mib - 200*kib, 150 * kib, "10032+208"}}},
		"head and tail are nearly all": {300 * kib, remote.Options{Head: 150 * kib, Tail: 100 * kib}, []read{
			{0, 10, "0+300"}, {200 * kib, 100 * kib, ""}}},
		"head and tail beyond the size": {10 * kib, remote.Options{Head: mib, Tail: mib}, []read{
			{9 * kib, kib, "0+10"}, {0, 10 * kib, ""}}},
		"one byte": {1, remote.Options{}, []read{{0, 1, "0+0"}, {0, 100, ""}}},
		"what is between is fetched with it": {mib, remote.Options{}, []read{
			{200 * kib, 1, "192+16"}, {160 * kib, 128 * kib, "160+128"}, {160 * kib, 128 * kib, ""}}},
		"much between is not": {4 * mib, remote.Options{}, []read{
			{1024 * kib, 100 * kib, "1024+112"}, {1000 * kib, 200 * kib, "992+32 1136+64"}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSource(test.size)
			f := s.open(t, test.o)
			if f.Size() != int64(test.size) {
				t.Errorf("Size = %d", f.Size())
			}
			for _, r := range test.reads {
				s.read(t, f, r.off, r.n)
				got := strings.Fields(s.requests())
				slices.SortFunc(got, func(a, b string) int { return len(a) - len(b) })
				if strings.Join(got, " ") != r.want {
					t.Errorf("read %d at %d KiB: requests %s, want %s", r.n, r.off>>10, got, r.want)
				}
			}
		})
	}
}

// What is read in order is fetched ahead, in growing pieces; but not more than
// was read before.
func TestAhead(t *testing.T) {
	s := newSource(32 * mib)
	f := s.open(t, remote.Options{})
	for off := 0; off < len(s.object); off += 64 * kib {
		s.read(t, f, off, 64*kib)
		if _, fetched := f.Fetched(); fetched > int64(2*(off+64*kib)) {
			t.Fatalf("after %d bytes: %d fetched", off, fetched)
		}
	}
	f.Close()
	requests, fetched := f.Fetched()
	if requests > 24 || fetched != int64(len(s.object)) {
		t.Errorf("%d requests for %d bytes: %s", requests, fetched, s.requests())
	}
}

// Readers that jump about have nothing fetched ahead, and two that read in order
// do not disturb one another.
func TestAheadOfSeveral(t *testing.T) {
	s := newSource(40 * mib)
	f := s.open(t, remote.Options{})
	for off := 0; off < len(s.object); off += 5 * mib {
		s.read(t, f, off, 300*kib)
	}
	f.Close()
	if requests, fetched := f.Fetched(); requests != 8 || fetched > 8*(300+32)*kib {
		t.Errorf("jumps: %d requests, %d bytes", requests, fetched)
	}
	f = s.open(t, remote.Options{})
	for off := 0; off < 12*mib; off += 128 * kib {
		s.read(t, f, off, 128*kib)
		s.read(t, f, off+20*mib, 128*kib)
	}
	f.Close()
	if requests, fetched := f.Fetched(); requests > 40 || fetched > 40*mib {
		t.Errorf("two in order: %d requests, %d bytes", requests, fetched)
	}
}

func TestPrefetch(t *testing.T) {
	s := newSource(mib)
	f := s.open(t, remote.Options{})
	for _, none := range [][2]int64{{-1, 10}, {0, 0}, {0, -1}, {mib, 1}} {
		f.Prefetch(none[0], none[1])
	}
	f.Prefetch(500*kib, 1<<60)
	s.read(t, f, 500*kib, mib)
	if got := s.requests(); got != "496+528" {
		t.Errorf("requests %s", got)
	}
}

func TestBadReads(t *testing.T) {
	s := newSource(mib)
	f := s.open(t, remote.Options{})
	if n, err := f.ReadAt(make([]byte, 1), -1); n != 0 || err == nil || err == io.EOF {
		t.Errorf("before the beginning: %d, %v", n, err)
	}
	if n, err := f.ReadAt(nil, 5); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
	s.read(t, f, mib+1, 5)
	if got := s.requests(); got != "" {
		t.Errorf("requests %s", got)
	}
	empty := remote.Open(t.Context(), s, 0, remote.Options{Head: 10, Tail: 10})
	defer empty.Close()
	if n, err := empty.ReadAt(make([]byte, 1), 0); n != 0 || err != io.EOF {
		t.Errorf("of nothing: %d, %v", n, err)
	}
}

// Who waits for what another has asked for makes no request of its own.
func TestOneRequest(t *testing.T) {
	s := newSource(mib)
	asked, answer := make(chan bool, 10), make(chan bool)
	s.before = func(off, n int64) (io.ReadCloser, error) {
		asked <- true
		<-answer
		return nil, nil
	}
	f := s.open(t, remote.Options{})
	var readers sync.WaitGroup
	for range 20 {
		readers.Go(func() { s.read(t, f, 100*kib, 40*kib) })
	}
	<-asked
	close(answer)
	readers.Wait()
	if got := s.requests(); got != "96+48" {
		t.Errorf("requests %s", got)
	}
}

// What fails is an error of each that waits for it, and is tried again by whoever
// comes later. What came before it stays.
func TestFailures(t *testing.T) {
	broken := errors.New("broken")
	s := newSource(mib)
	for name, test := range map[string]struct {
		answer func(off, n int64) (io.ReadCloser, error)
		want   error
	}{
		"refused": {func(off, n int64) (io.ReadCloser, error) { return nil, broken }, broken},
		"changed": {func(off, n int64) (io.ReadCloser, error) { return nil, fmt.Errorf("x: %w", remote.ErrChanged) }, remote.ErrChanged},
		"too short": {func(off, n int64) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(s.object[off : off+20*kib])), nil
		}, io.ErrUnexpectedEOF},
		"nothing": {func(off, n int64) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil }, io.ErrUnexpectedEOF},
		"broken off": {func(off, n int64) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(s.object[off:off+20*kib]), &failingReader{broken})), nil
		}, broken},
	} {
		t.Run(name, func(t *testing.T) {
			f := s.open(t, remote.Options{})
			s.before = test.answer
			p := make([]byte, 64*kib)
			n, err := f.ReadAt(p, 256*kib)
			if !errors.Is(err, test.want) || errors.Is(err, io.EOF) || !bytes.Equal(p[:n], s.object[256*kib:256*kib+n]) {
				t.Errorf("%d bytes, error %v, want %v", n, err, test.want)
			}
			s.before = nil
			if test.want == remote.ErrChanged { // that does not pass
				if _, err := f.ReadAt(p, 0); !errors.Is(err, remote.ErrChanged) {
					t.Errorf("later: error %v", err)
				}
				return
			}
			s.read(t, f, 256*kib, 64*kib)
			s.requests()
		})
	}
}

type failingReader struct{ err error }

func (r *failingReader) Read([]byte) (int, error) { return 0, r.err }

// A source that gives more than was asked for is not believed.
func TestTooMuch(t *testing.T) {
	s := newSource(mib)
	s.before = func(off, n int64) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(s.object[off:])), nil }
	f := s.open(t, remote.Options{})
	s.read(t, f, 10*kib, 100*kib)
	if requests, fetched := f.Fetched(); requests != 1 || fetched != 112*kib {
		t.Errorf("%d requests, %d bytes", requests, fetched)
	}
}

// Close and the context end reads that wait, and all later ones.
func TestEnds(t *testing.T) {
	stopped := errors.New("stopped")
	for name, test := range map[string]struct {
		end  func(f *remote.File, cancel context.CancelCauseFunc)
		want error
	}{
		"close":   {func(f *remote.File, _ context.CancelCauseFunc) { f.Close() }, fs.ErrClosed},
		"context": {func(_ *remote.File, cancel context.CancelCauseFunc) { cancel(stopped) }, stopped},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			asked := make(chan bool)
			f := remote.Open(ctx, stuck(asked), mib, remote.Options{})
			defer f.Close()
			failed := make(chan error)
			go func() {
				_, err := f.ReadAt(make([]byte, 10), 0)
				failed <- err
			}()
			<-asked
			test.end(f, cancel)
			if err := <-failed; !errors.Is(err, test.want) {
				t.Errorf("a read that waits: %v", err)
			}
			f.Prefetch(0, 10)
			if _, err := f.ReadAt(make([]byte, 10), 0); !errors.Is(err, test.want) {
				t.Errorf("a later one: %v", err)
			}
		})
	}
}

// A stuck source never answers.
type stuck chan bool

func (s stuck) OpenRange(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	s <- true
	<-ctx.Done()
	return nil, ctx.Err()
}

// A File reads as the bytes do, whoever reads, wherever and in whatever order.
func FuzzReadAt(f *testing.F) {
	f.Add(uint64(1), uint32(3*mib), uint32(10*kib), uint32(100*kib))
	f.Add(uint64(2), uint32(100), uint32(0), uint32(200))
	f.Add(uint64(3), uint32(48*kib+1), uint32(mib), uint32(0))
	f.Fuzz(func(t *testing.T, seed uint64, size, head, tail uint32) {
		s := newSource(int(size % (4 * mib)))
		file := s.open(t, remote.Options{Head: int64(head), Tail: int64(tail)})
		var readers sync.WaitGroup
		for reader := range uint64(4) {
			readers.Go(func() {
				random := rand.New(rand.NewPCG(seed, reader))
				off := 0
				for range 30 {
					n := 1 + random.IntN(1<<random.IntN(20))
					if random.IntN(4) == 0 {
						off = random.IntN(len(s.object) + 10)
					}
					if random.IntN(8) == 0 {
						file.Prefetch(int64(off), int64(n))
					}
					s.read(t, file, off, n)
					off += n
				}
			})
		}
		readers.Wait()
	})
}
