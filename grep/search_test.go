package grep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"vitrine/lines"
)

// A marked source knows where some of its lines are, as a sealed log does.
type marked struct {
	*bytes.Reader
	text []byte
	step int64
}

func (m marked) Size() int64 { return int64(len(m.text)) }

func (m marked) Lines() (int64, bool) { return int64(bytes.Count(m.text, []byte("\n"))), true }

func (m marked) BeforeLine(n int64) (off, lines int64) {
	for {
		next := off + m.step
		if next > m.Size() {
			return off, lines
		}
		more := int64(bytes.Count(m.text[off:next], []byte("\n")))
		if lines+more > n {
			return off, lines
		}
		off, lines = next, lines+more
	}
}

func (m marked) Before(off int64) (at, lines int64) {
	at = off / m.step * m.step
	return at, int64(bytes.Count(m.text[:at], []byte("\n")))
}

func logOf(text []byte) *lines.Log { return lines.New(bytes.NewReader(text)) }

func markedLog(text []byte) *lines.Log {
	return lines.New(marked{bytes.NewReader(text), text, 100})
}

// small make every border a near one.
var small = sizes{piece: 48, line: 64, overlap: 16, step: 24}

// A naive line is one as the most simple search gives it.
type naiveLine struct {
	number  int64
	offset  int64
	text    string
	matches int // -1 for a line around a match
}

// naive holds each line against the pattern, and gives what Search should.
func naive(re *regexp.Regexp, text []byte, o Options, size sizes) (found int64, given []naiveLine) {
	type one struct {
		naiveLine
		start int64
		first string // its beginning, if it is long
	}
	var all []one
	for number, off := int64(1), 0; off < len(text); number++ {
		feed := bytes.IndexByte(text[off:], '\n')
		l := text[off:]
		if feed >= 0 {
			l = l[:feed]
		}
		o := one{naiveLine{number, int64(off), string(l), -1}, int64(off), string(l)}
		if len(l) > size.line {
			o.first = string(l[:size.line])
			o.text = o.first
		}
		for at := 0; ; at += size.line - size.overlap {
			piece, last := l[at:], true
			if len(piece) > size.line {
				piece, last = piece[:size.line], false
			}
			held := piece
			if last && feed >= 0 {
				held = bytes.TrimSuffix(held, []byte("\r"))
			}
			if m := re.FindAllIndex(held, -1); m != nil {
				o.offset, o.text, o.matches = int64(off+at), string(piece), len(m)
				break
			}
			if last {
				break
			}
		}
		all = append(all, o)
		off += len(l) + 1
	}
	wanted := make([]bool, len(all))
	for i, l := range all {
		if l.matches < 0 || o.Max > 0 && found == o.Max {
			continue
		}
		found++
		for k := max(0, i-o.Before); k <= min(len(all)-1, i+o.After); k++ {
			wanted[k] = wanted[k] || k >= i || all[k].start >= l.start-int64(size.line)
		}
	}
	var n int64
	for i, l := range all {
		if l.matches >= 0 {
			if n++; o.Max > 0 && n > o.Max { // it may still be around another
				l.text, l.offset, l.matches = l.first, l.start, -1
			}
		}
		if wanted[i] && !o.CountOnly {
			given = append(given, l.naiveLine)
		}
	}
	return found, given
}

// collect runs a search, and checks what every line must be.
func collect(t *testing.T, p *Pattern, log *lines.Log, text []byte, o Options, size sizes) (found int64, given []naiveLine) {
	t.Helper()
	found, err := p.search(context.Background(), log, o, func(l Line) error {
		if string(text[l.Offset:l.Offset+int64(len(l.Text))]) != string(l.Text) {
			t.Errorf("line %d: %.80q is not what is at %d", l.Number, l.Text, l.Offset)
		}
		n := len(l.Matches)
		if n == 0 {
			n = -1
		}
		given = append(given, naiveLine{l.Number, l.Offset, string(l.Text), n})
		return nil
	}, size)
	if err != nil {
		t.Fatal(err)
	}
	return found, given
}

// within are the pieces of a text that hold one of a pattern's literals, or a
// part of it, as an index of pieces of that size would say.
func within(p *Pattern, text []byte, frame int) []Span {
	if p.literals.any == nil {
		return nil
	}
	spans := []Span{}
	for off := 0; off < len(text); off += frame {
		end := min(off+frame, len(text))
		for _, f := range p.finders {
			reach := len(f.text) - 1
			from, to := max(0, off-reach), min(len(text), end+reach)
			if f.index(text[from:to]) >= 0 {
				spans = append(spans, Span{int64(off), int64(end - off)})
				break
			}
		}
	}
	return spans
}

func compare(t *testing.T, expr string, fixed, fold bool, text []byte, o Options, size sizes) {
	t.Helper()
	p, err := Compile(expr, fixed, fold)
	if err != nil {
		return
	}
	plain := expr
	if fixed {
		plain = regexp.QuoteMeta(plain)
	}
	if fold {
		plain = "(?i)" + plain
	}
	found, given := naive(regexp.MustCompile(plain), text, o, size)
	for name, how := range map[string]struct {
		log    *lines.Log
		within []Span
	}{
		"all":           {logOf(text), nil},
		"marked":        {markedLog(text), nil},
		"index":         {logOf(text), within(p, text, 40)},
		"marked, index": {markedLog(text), within(p, text, 100)},
	} {
		o := o
		o.Within = how.within
		gotFound, got := collect(t, p, how.log, text, o, size)
		if gotFound != found || !slices.Equal(got, given) {
			t.Fatalf("%q (fixed %v, fold %v) %+v in %q, %s, literals %q:\ngot  %d %v\nwant %d %v",
				expr, fixed, fold, o, text[:min(len(text), 500)], name, p.literals.any, gotFound, got, found, given)
		}
	}
}

var patterns = []string{
	"error", "err|fatal", "e", "^a", "b$", "^$", "x*", "", `\berror\b`, "(?i)Task", "task", "k", "s", "(?i)K.s", "größe", "ÖSE",
	"[ab]c", "colou?r", "a.c", `\d+ failed`, "(foo|)bar", "f[aeiou]t(al|e)", "(?-i)Error", "(?i:err)or", "[Kk]elvin", "a\r", "\r$", `\x00`,
	"\ufffd", `[^a]\x{FFFD}`, "(?m)^error$", `\Aerror\z`, "aaaaaaaaaaaaaaaaaaaaaaaaaa", "(a|b|c|d)(e|f|g|h)(i|j)", "ok=.*failed=[1-9]", `\n`, "a\\nb",
	"sk", "task kiss", `\pL`, `[[:upper:]]{2}`, "é", "(?s).", "(?U)a+", "a{2,3}", "(error)+", "(?:ab)*c", `\Berr`, `[\x{D800}-\x{DFFF}]`, "^", "$",
}

var words = []string{
	"error", "ERROR", "err", "fatal", "a", "b", "c", "ab", " ", " ", "task", "TAſK", "tas\u212a", "K", "\u212aelvin", "ſ", "größe", "GRÖSSE", "öse", "ÖſE",
	"\x00", "\xff", "\xc3", "\u00e9", "\r", "\r\n", "\n", "\n", "\n", "3 failed", "foobar", "color", "colour", "fate", "aaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	"ok=1 failed=2", "\x1b[31m", "\ufffd", "kiss", "xyz xyz xyz xyz", "\xe2\x84", "\xc5",
}

// What is found with all that helps to skip is what is found by holding each line
// against the pattern, at every border of pieces, frames and long lines.
func TestSearchFindsWhatIsThere(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, expr := range patterns {
		for range 20 {
			var text []byte
			for range rng.IntN(60) {
				text = append(text, words[rng.IntN(len(words))]...)
			}
			o := Options{Before: rng.IntN(3), After: rng.IntN(3), Max: int64(max(0, rng.IntN(6)-2)), CountOnly: rng.IntN(8) == 0}
			compare(t, expr, rng.IntN(4) == 0, rng.IntN(2) == 0, text, o, small)
			if t.Failed() {
				return
			}
		}
	}
}

func FuzzSearch(f *testing.F) {
	f.Add("err|fatal", false, true, []byte("an Error\r\nnone\nfatal"), uint8(1), uint8(1), uint8(0))
	f.Add("K", true, true, []byte("\u212a\xff\nſ"), uint8(0), uint8(2), uint8(1))
	f.Add("x*", false, false, bytes.Repeat([]byte("y"), 200), uint8(0), uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, expr string, fixed, fold bool, text []byte, before, after, most uint8) {
		if len(expr) > 100 || len(text) > 2000 {
			return
		}
		compare(t, expr, fixed, fold, text, Options{Before: int(before % 5), After: int(after % 5), Max: int64(most % 5)}, small)
	})
}

// The sizes that are used beside the tests, with a line that is longer than each.
func TestLongLines(t *testing.T) {
	long := strings.Repeat("0123456789abcde ", 75_000) // 1.2 MB
	text := []byte("first\n" + long + "needle" + long[:300_000] + "\nnext needle\nlast")
	compare(t, "needle", false, false, text, Options{Before: 1, After: 1}, usual)
	compare(t, "^next", false, false, text, Options{Before: 1, After: 1}, usual)
	// At the border of two pieces.
	border := []byte(long[:usual.line-3] + "needle" + long[:100] + "\n")
	if n, _ := collect(t, must(t, "needle"), logOf(border), border, Options{}, usual); n != 1 {
		t.Errorf("a literal at the border of two pieces of a line was found %d times", n)
	}
}

func must(t *testing.T, expr string) *Pattern {
	t.Helper()
	p, err := Compile(expr, false, false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSearchEnds(t *testing.T) {
	text := []byte(strings.Repeat("needle\n", 1000))
	p := must(t, "needle")
	t.Run("by its caller", func(t *testing.T) {
		stop := errors.New("stop")
		n, err := p.Search(context.Background(), logOf(text), Options{}, func(l Line) error {
			if l.Number == 3 {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) || n != 3 {
			t.Errorf("%d matches, %v", n, err)
		}
	})
	t.Run("by its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := p.Search(ctx, logOf(text), Options{}, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("by what can't be read", func(t *testing.T) {
		_, err := p.Search(context.Background(), lines.New(cut{bytes.NewReader(text)}), Options{CountOnly: true}, nil)
		if err == nil || !strings.Contains(err.Error(), "read from 0 on: unexpected EOF") {
			t.Errorf("error %v", err)
		}
	})
}

// cut is a source that has less than it says.
type cut struct{ *bytes.Reader }

func (c cut) Size() int64 { return c.Reader.Size() + 1 }

func TestProgress(t *testing.T) {
	text := []byte(strings.Repeat("some line\n", 100_000))
	var seen int64
	_, err := must(t, "needle").Search(context.Background(), logOf(text), Options{
		Progress: func(n int64) { seen += n }, Within: []Span{{100, 50}, {400_000, 500_000}}}, nil)
	if err != nil || seen < 500_050 || seen > 510_000 {
		t.Errorf("%d bytes looked at of 500,050 that were asked for, error %v", seen, err)
	}
}

func TestMatchesOfALineAreBounded(t *testing.T) {
	for _, expr := range []string{"a", "[a-z]"} {
		text := bytes.Repeat([]byte("a"), 5000)
		_, err := must(t, expr).Search(context.Background(), logOf(text), Options{}, func(l Line) error {
			if len(l.Matches) != maxMatches || l.Matches[999] != [2]int{999, 1000} {
				return fmt.Errorf("%d matches, the last %v", len(l.Matches), l.Matches[len(l.Matches)-1])
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", expr, err)
		}
	}
}

// A pattern of many words is compiled in a time and memory that grow as they do.
func TestManyWords(t *testing.T) {
	var words []string
	for i := range 10_000 {
		words = append(words, fmt.Sprintf("%c%d", 'a'+i*7%26, i*7919))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p := must(t, strings.Join(words, "|"))
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 300<<20 {
		t.Errorf("allocated %d bytes", got)
	}
	text := []byte("x\n" + words[9_999] + "\n")
	if n, _ := collect(t, p, logOf(text), text, Options{}, usual); n != 1 {
		t.Errorf("found %d times", n)
	}
}
