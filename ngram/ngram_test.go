package ngram

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"
)

func setOf(texts ...string) *Set {
	s := new(Set)
	for _, t := range texts {
		s.Add([]byte(t))
	}
	return s
}

func TestIn(t *testing.T) {
	for _, c := range []struct {
		text, literal string
		want          bool
	}{
		{"TASK [install nginx] ok", "nginx", true},
		{"TASK [install nginx] ok", "NGINX", true},
		{"TASK [install nginx] ok", "install", true},
		{"TASK [install nginx] ok", "apache", false},
		{"TASK [install nginx] ok", "installs", false},
		{"took 1234 ms", "took 9876", true}, // a digit is a digit
		{"took 1234 ms", "took12", false},
		{"naïve Grüße", "Grüße", true},
		{"naïve", "Grüße", false},
		{"one\ntwo", "one\ntwo", true}, // tells nothing: no gram is on one line
		{"first\nsecond", "first\nsecond", true},
		{"first\nsecond", "firstsecond", false},
		{"second\nfirst", "first\nsecond", true}, // what stands on which line is not told
		{"abc", "abc", true},                     // too short to tell
		{"", "abc", true},
		{"", "abcd", false},
		{"abcdefg", "defg", true},
		{"abcdefgh", "efgh", true},
		{"abcdefghi", "fghi", true},
		{"abcd", "abcd", true},
		{"a\x00\xff\r\t\x1b[0m", "\x00\xff\r\t\x1b[0m", true},
	} {
		if got := NewQuery(c.literal).In(setOf(c.text)); got != c.want {
			t.Errorf("%q in %q: %v", c.literal, c.text, got)
		}
	}
}

func TestInAnyAndTogether(t *testing.T) {
	a, b := setOf("an error was met: no sp"), setOf(" sp"+"ace left") // with the last three bytes of a
	q := NewQuery("no space")
	if q.In(a) || q.In(b) || !q.In(a, b) || q.In(b, a) || q.In() {
		t.Errorf("in a %v, in b %v, in both %v, the other way round %v, in none %v", q.In(a), q.In(b), q.In(a, b), q.In(b, a), q.In())
	}
	if q := NewQuery("failure", "error"); !q.In(a) || q.In(b) || q.Longest() != 7 {
		t.Errorf("one of two literals: in a %v, in b %v, the longest has %d", q.In(a), q.In(b), q.Longest())
	}
	joined := new(Set)
	joined.Merge(a)
	joined.Merge(b)
	if !q.In(joined) {
		t.Error("merged sets have less than each of them")
	}
}

func TestTells(t *testing.T) {
	for _, c := range []struct {
		literals []string
		want     bool
	}{
		{nil, false}, {[]string{""}, false}, {[]string{"err"}, false}, {[]string{"er\nror"}, false},
		{[]string{"erro"}, true}, {[]string{"error", "fatal"}, true}, {[]string{"error", "bad"}, false},
	} {
		q := NewQuery(c.literals...)
		if q.Tells() != c.want || !c.want && !q.In(new(Set)) {
			t.Errorf("%q: tells %v, in an empty set %v", c.literals, q.Tells(), q.In(new(Set)))
		}
	}
	var zero Query
	if zero.Tells() || !zero.In() {
		t.Error("the zero Query says no")
	}
}

// What was added in one go is what was added byte by byte, joined as Add says.
func TestAddAcross(t *testing.T) {
	text := randomText(rand.New(rand.NewPCG(1, 2)), 5000)
	for _, cut := range []int{3, 4, 7, 100, 4990} {
		var parts Set
		parts.Add(text[:cut])
		parts.Add(text[cut:])
		parts.Add(text[cut-3 : cut+3])
		if !bytes.Equal(parts.Append(nil), setOf(string(text)).Append(nil)) {
			t.Errorf("cut at %d, the sets differ", cut)
		}
	}
}

func TestWritten(t *testing.T) {
	s := setOf("one line\nand another\n", "\n\n\n\nx")
	b := s.Append([]byte("before"))[len("before"):]
	if len(b) != Size {
		t.Fatalf("%d bytes", len(b))
	}
	// A bit for each gram, and none for those over the end of a line.
	want := 0
	for _, line := range []string{"one line", "and another"} {
		want += len(line) - 3
		for i := range len(line) - 3 {
			var g int
			for _, c := range []byte(line[i : i+4]) {
				g = g<<5 | int(symbols[c])
			}
			if b[g/8]>>(g%8)&1 == 0 {
				t.Errorf("%q is not there", line[i:i+4])
			}
		}
	}
	got := 0
	for _, c := range b {
		for ; c > 0; c &= c - 1 {
			got++
		}
	}
	if got != want {
		t.Errorf("%d grams, want %d", got, want)
	}
	var again Set
	rest, err := again.Parse(append(b, "after"...))
	if err != nil || string(rest) != "after" || !bytes.Equal(again.Append(nil), b) {
		t.Errorf("came back otherwise, with %q behind it, error %v", rest, err)
	}
	if _, err := again.Parse(b[:Size-1]); err == nil {
		t.Error("a set that is cut was parsed")
	}
	if unsafe.Sizeof(again) != Size {
		t.Errorf("a set takes %d bytes of memory", unsafe.Sizeof(again))
	}
}

func randomText(rng *rand.Rand, n int) []byte {
	const alphabet = "abcdefABCDEF0123456789 \t\n-_.:/[]{}\"\x00\xff\x1b"
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[rng.IntN(len(alphabet))]
	}
	return b
}

func FuzzSet(f *testing.F) {
	f.Add([]byte("TASK [install] ok: [bridge]\nPLAY RECAP"), uint16(6), uint16(9))
	f.Add([]byte("\n\n\nabcd\nefghij\n"), uint16(0), uint16(14))
	f.Fuzz(func(t *testing.T, text []byte, from, n uint16) {
		if len(text) == 0 {
			return
		}
		off := int(from) % len(text)
		literal := text[off:min(len(text), off+int(n))]
		s := setOf(string(text))
		upper := strings.Map(func(r rune) rune {
			if 'a' <= r && r <= 'z' {
				return r - 'a' + 'A'
			}
			return r
		}, strings.ToValidUTF8(string(literal), "?"))
		if q := NewQuery(string(literal)); !q.In(s) {
			t.Fatalf("%q is in %q, and the set denies it", literal, text)
		} else if strings.EqualFold(upper, string(literal)) && NewQuery(upper).In(s) != true {
			t.Fatalf("%q is in %q but for case, and the set denies it", upper, text)
		}
		var first, second Set
		cut := off + len(literal)/2
		first.Add(text[:cut])
		second.Add(text[max(0, cut-3):])
		if q := NewQuery(string(literal)); !q.In(&first, &second) {
			t.Fatalf("%q is across %q and %q, and the sets deny it", literal, text[:cut], text[cut:])
		}
		var written Set
		if rest, err := written.Parse(s.Append(nil)); err != nil || len(rest) > 0 || !NewQuery(string(literal)).In(&written) {
			t.Fatalf("%q is in %q, and the written set denies it, error %v", literal, text, err)
		}
		if _, err := written.Parse(text); err == nil && len(text) < Size {
			t.Fatal("a short set was parsed")
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	text := bytes.Repeat(randomText(rng, 32<<10), 32)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	s := new(Set)
	for b.Loop() {
		s.Add(text)
	}
}
