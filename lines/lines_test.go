package lines_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"vitrine/lines"
)

// plain is a source that knows nothing of lines, and counts what is read of it.
type plain struct {
	*bytes.Reader
	read  atomic.Int64
	calls atomic.Int64
}

func newPlain(b []byte) *plain { return &plain{Reader: bytes.NewReader(b)} }

func (p *plain) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.Reader.ReadAt(b, off)
	p.read.Add(int64(n))
	p.calls.Add(1)
	return n, err
}

// marked knows a place every so many bytes.
type marked struct {
	*plain
	places []place
	feeds  int64
}

type place struct{ off, feeds int64 }

func newMarked(b []byte, every int) *marked {
	m := &marked{plain: newPlain(b)}
	for i, c := range b {
		if i%every == 0 {
			m.places = append(m.places, place{int64(i), m.feeds})
		}
		if c == '\n' {
			m.feeds++
		}
	}
	m.places = append(m.places, place{int64(len(b)), m.feeds})
	return m
}

func (m *marked) Lines() (int64, bool) { return m.feeds, true }

func (m *marked) BeforeLine(n int64) (off, feeds int64) {
	return m.last(func(p place) bool { return p.feeds <= n })
}

func (m *marked) Before(off int64) (at, feeds int64) {
	return m.last(func(p place) bool { return p.off <= off })
}

func (m *marked) last(is func(place) bool) (off, feeds int64) {
	i := sort.Search(len(m.places), func(i int) bool { return !is(m.places[i]) })
	if i == 0 {
		return 0, 0
	}
	return m.places[i-1].off, m.places[i-1].feeds
}

// starts are the offsets of the lines of b, found the simple way.
func starts(b []byte) []int64 {
	var all []int64
	for i := range b {
		if i == 0 || b[i-1] == '\n' {
			all = append(all, int64(i))
		}
	}
	return all
}

// check holds what a log says against what is simply so.
func check(t *testing.T, l *lines.Log, b []byte, n, off int64) {
	t.Helper()
	ctx := t.Context()
	want := starts(b)
	count := int64(len(want))
	if got, err := l.Count(ctx); got != count || err != nil {
		t.Errorf("Count: %d, %v; want %d", got, err, count)
	}
	if got, ok := l.Known(); got != count || !ok {
		t.Errorf("Known: %d, %v; want %d", got, ok, count)
	}
	offset := func(n int64) int64 {
		switch {
		case n <= 1:
			return 0
		case n > count:
			return int64(len(b))
		}
		return want[n-1]
	}
	if got, err := l.Offset(ctx, n); got != offset(n) || err != nil {
		t.Errorf("Offset of line %d: %d, %v; want %d", n, got, err, offset(n))
	}
	last := int64(len(b))
	if n > 0 && count > 0 {
		last = offset(count - min(n, count) + 1)
	}
	if got, err := l.Last(ctx, n); got != last || err != nil {
		t.Errorf("Last %d lines: %d, %v; want %d", n, got, err, last)
	}
	number := int64(1)
	for i, s := range want {
		if s <= off {
			number = int64(i) + 1
		}
	}
	if got, err := l.Number(ctx, off); got != number || err != nil {
		t.Errorf("Number at %d: %d, %v; want %d", off, got, err, number)
	}
}

var texts = map[string]string{
	"empty":              "",
	"one line feed":      "\n",
	"line feeds":         "\n\n\n",
	"one line":           "only one",
	"one whole line":     "only one\n",
	"no final line feed": "a\nbb\nccc",
	"whole lines":        "a\nbb\nccc\n",
	"NULs":               "\x00\x00\n\x00a\x00\n\x00",
	"CRLF":               "a\r\nb\rc\r\n",
	"invalid UTF-8":      "\xff\xfe\n\x80\n",
	"long lines":         strings.Repeat("x", 300_000) + "\n" + strings.Repeat("y", 400_000),
	"many lines":         strings.Repeat("some line\n", 60_000),
	"a long line, then many": strings.Repeat("z", 1<<20) + "\n" +
		strings.Repeat("\n", 300_000) + "end",
}

func TestLines(t *testing.T) {
	for name, text := range texts {
		b := []byte(text)
		size := int64(len(b))
		for _, at := range []struct{ n, off int64 }{
			{-1, -1}, {0, 0}, {1, 1}, {2, 2}, {3, 3}, {4, 4}, {59_999, 299_999}, {60_000, 300_000}, {60_001, 300_001},
			{300_001, size - 1}, {300_002, size}, {1 << 40, 1 << 40},
		} {
			t.Run(fmt.Sprintf("%s/%d", name, at.n), func(t *testing.T) {
				check(t, lines.New(newPlain(b)), b, at.n, at.off)
				check(t, lines.New(newMarked(b, 100_000)), b, at.n, at.off)
			})
		}
	}
}

// Of a log without a table, what was read once is not read again.
func TestScanIsRemembered(t *testing.T) {
	b := bytes.Repeat([]byte("a line of some bytes\n"), 1<<20)
	src := newPlain(b)
	l := lines.New(src)
	if _, ok := l.Known(); ok {
		t.Error("the count is known before anything was read")
	}
	if n, err := l.Count(t.Context()); n != 1<<20 || err != nil {
		t.Fatal(n, err)
	}
	if _, ok := l.Known(); !ok {
		t.Error("the count is not known after all was read")
	}
	for _, ask := range []func() (int64, error){
		func() (int64, error) { return l.Count(t.Context()) },
		func() (int64, error) { return l.Offset(t.Context(), 900_000) },
		func() (int64, error) { return l.Number(t.Context(), 15_000_000) },
	} {
		src.read.Store(0)
		if _, err := ask(); err != nil {
			t.Fatal(err)
		}
		if n := src.read.Load(); n > 5<<20 {
			t.Errorf("%d bytes were read", n)
		}
	}
}

// With a table little is read, and from the end even without.
func TestLittleIsRead(t *testing.T) {
	b := bytes.Repeat([]byte("a line of some bytes\n"), 1<<20)
	for name, src := range map[string]*plain{"plain": newPlain(b), "marked": nil} {
		l := lines.New(src)
		if src == nil {
			m := newMarked(b, 1<<18)
			src, l = m.plain, lines.New(m)
			for _, ask := range []func() (int64, error){
				func() (int64, error) { return l.Count(t.Context()) },
				func() (int64, error) { return l.Offset(t.Context(), 900_000) },
				func() (int64, error) { return l.Number(t.Context(), 15_000_000) },
			} {
				if _, err := ask(); err != nil {
					t.Fatal(err)
				}
			}
		}
		off, err := l.Last(t.Context(), 100)
		if err != nil || off != int64(len(b)-2100) {
			t.Errorf("%s: Last: %d, %v", name, off, err)
		}
		if n := src.read.Load(); n > 1<<20 {
			t.Errorf("%s: %d bytes were read", name, n)
		}
	}
}

// Each piece may be a request.
func TestManyLastLinesAreFewPieces(t *testing.T) {
	src := newPlain(bytes.Repeat([]byte("a line of some bytes\n"), 1<<20))
	off, err := lines.New(src).Last(t.Context(), 1_000_000)
	if want := src.Size() - 21_000_000; off != want || err != nil {
		t.Errorf("%d, %v; want %d", off, err, want)
	}
	if n, read := src.calls.Load(), src.read.Load(); n > 12 || read > 22<<20 {
		t.Errorf("%d bytes in %d pieces", read, n)
	}
}

var errSource = errors.New("the source fails")

// failing fails from an offset on.
type failing struct {
	*plain
	from int64
	err  error
}

func (f *failing) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > f.from {
		return 0, f.err
	}
	return f.plain.ReadAt(b, off)
}

func TestErrors(t *testing.T) {
	b := bytes.Repeat([]byte("line\n"), 100_000)
	calls := func(ctx context.Context, l *lines.Log) map[string]error {
		all := make(map[string]error)
		_, all["Count"] = l.Count(ctx)
		_, all["Offset"] = l.Offset(ctx, 90_000)
		_, all["Number"] = l.Number(ctx, 450_000)
		_, all["Last"] = l.Last(ctx, 90_000)
		return all
	}
	for _, c := range []struct{ give, want error }{{errSource, errSource}, {io.EOF, io.ErrUnexpectedEOF}} {
		for name, err := range calls(t.Context(), lines.New(&failing{newPlain(b), 300_000, c.give})) {
			if !errors.Is(err, c.want) {
				t.Errorf("%s, the source says %v: %v", name, c.give, err)
			}
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range calls(ended, lines.New(newPlain(b))) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", name, err)
		}
	}
}

func TestConcurrently(t *testing.T) {
	b := bytes.Repeat([]byte("line\n"), 200_000)
	l := lines.New(newPlain(b))
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() { check(t, l, b, int64(i*30_000), int64(i*160_000)) })
	}
	wg.Wait()
}

func FuzzLines(f *testing.F) {
	for _, text := range texts {
		if len(text) < 1000 {
			f.Add([]byte(text), int64(2), int64(1), 3)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, n, off int64, every int) {
		if len(b) > 10_000 {
			return
		}
		every = min(max(every, 1), 1000)
		for _, src := range []lines.Source{newPlain(b), newMarked(b, every)} {
			l := lines.New(src)
			check(t, l, b, n, off)
		}
	})
}
