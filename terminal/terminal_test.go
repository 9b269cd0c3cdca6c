package terminal_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"vitrine/terminal"
)

func show(t testing.TB, pieces ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := terminal.NewWriter(&out)
	for _, p := range pieces {
		if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
			t.Fatalf("wrote %d of %d bytes, error %v", n, len(p), err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// What a terminal would obey is shown (T-8.1).
func TestShown(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"plain":                 {"ok: [web1]\tdone\n", "ok: [web1]\tdone\n"},
		"not ASCII":             {"größe → 日本 👩‍💻\n", "größe → 日本 👩‍💻\n"},
		"colour":                {"\x1b[0;31mfatal\x1b[0m: x\n", "\x1b[0;31mfatal\x1b[0m: x\n"},
		"colour over lines":     {"\x1b[31ma\nb\n", "\x1b[31ma\x1b[m\nb\n"},
		"colour after its end":  {"\x1b[31ma\x1b[00m\x1b[32mb\x1b[m\nc\n", "\x1b[31ma\x1b[00m\x1b[32mb\x1b[m\nc\n"},
		"colour at the end":     {"\x1b[mx\x1b[1m", "\x1b[mx\x1b[1m\x1b[m"},
		"palette":               {"\x1b[38;5;8;1mx", "\x1b[38;5;8;1mx\x1b[m"},
		"24 bits":               {"\x1b[48;2;8;8;8;38;2;1;2;3mx", "\x1b[48;2;8;8;8;38;2;1;2;3mx\x1b[m"},
		"with colons":           {"\x1b[4:3;58:2::1:2:3;38:5:8mx", "\x1b[4:3;58:2::1:2:3;38:5:8mx\x1b[m"},
		"concealed":             {"\x1b[8mx", "^[[8mx"},
		"concealed among":       {"\x1b[1;08;3mx", "^[[1;08;3mx"},
		"concealed in a colour": {"\x1b[38;5;8;8mx", "^[[38;5;8;8mx"},
		"half a colour":         {"\x1b[38;5mx\x1b[38mx\x1b[38;2;1;2mx", "^[[38;5mx^[[38mx^[[38;2;1;2mx"},
		"colour of no kind":     {"\x1b[38;8;1mx\x1b[38:8mx\x1b[38:5:1:8mx", "^[[38;8;1mx^[[38:8mx^[[38:5:1:8mx"},
		"too big a colour":      {"\x1b[38;5;256mx", "^[[38;5;256mx"},
		"concealed by colon":    {"\x1b[4:8mx\x1b[0:8mx", "^[[4:8mx^[[0:8mx"},
		"other font":            {"\x1b[11mx", "^[[11mx"},
		"unknown style":         {"\x1b[4294967304mx", "^[[4294967304mx"},
		"private style":         {"\x1b[?4mx\x1b[>4;2mx\x1b[1 mx", "^[[?4mx^[[>4;2mx^[[1 mx"},
		"clear the screen":      {"\x1b[2J\x1b[H", "^[[2J^[[H"},
		"cursor up, erase":      {"a\n\x1b[1A\x1b[2Kb", "a\n^[[1A^[[2Kb"},
		"mode":                  {"\x1b[?1049h\x1b[?25l\x1b=\x1bc", "^[[?1049h^[[?25l^[=^[c"},
		"title":                 {"\x1b]0;owned\a", "^[]0;owned^G"},
		"clipboard (OSC 52)":    {"\x1b]52;c;cm0gLXJm\x1b\\", `^[]52;c;cm0gLXJm^[\`},
		"link (OSC 8)":          {"\x1b]8;;http://x\x1b\\y\x1b]8;;\x1b\\", `^[]8;;http://x^[\y^[]8;;^[\`},
		"report (DECRQSS)":      {"\x1bP$qm\x1b\\\x1b[6n\x1b[c", `^[P$qm^[\^[[6n^[[c`},
		"C1 as bytes":           {"\x9b2J\x9d0;x\x9c\x90", `\x9b2J\x9d0;x\x9c\x90`},
		"C1 as UTF-8":           {"\u009b2J\u009d0;x\u009c\u0085", `\u009b2J\u009d0;x\u009c\u0085`},
		"controls":              {"\x00\a\b\v\f\x0e\x0f\x11\x1f\x7f", "^@^G^H^K^L^N^O^Q^_^?"},
		"direction":             {"a\u202eb\u2066c\u2069\u200f\u200e\u061c", `a\u202eb\u2066c\u2069\u200f\u200e\u061c`},
		"not to be seen":        {"pass\u200bword\ufeff \u00ad\u2060\U000e0041", `pass\u200bword\ufeff \u00ad\u2060\U000e0041`},
		"joiners":               {"می\u200cخواهم 👩\u200d💻", "می\u200cخواهم 👩\u200d💻"},
		"line separators":       {"a\u2028b\u2029", `a\u2028b\u2029`},
		"not UTF-8":             {"a\xffb\xc3(\xe2\x82", `a\xffb\xc3(\xe2\x82`},
		"surrogate, overlong":   {"\xed\xa0\x80\xc0\x9b", `\xed\xa0\x80\xc0\x9b`},
		"replacement":           {"\ufffd", "\ufffd"},
		"CRLF":                  {"a\r\nb\r\r\n", "a\nb\n"},
		"CR hides":              {"rm -rf /\rls      \n", "rm -rf /^M\nls      \n"},
		"CR in colour":          {"\x1b[31m10%\r20%\n", "\x1b[31m10%^M\x1b[m\n20%\n"},
		"CR at the end":         {"100%\r", "100%^M\n"},
		"escape in an escape":   {"\x1b[\x1b[31mx", "^[[\x1b[31mx\x1b[m"},
		"escape at the end":     {"x\x1b", "x^["},
		"half at the end":       {"x\x1b[31", "x^[[31"},
		"line feed within":      {"\x1b[31\nm", "^[[31\nm"},
		"parameters without end": {"\x1b[" + strings.Repeat("1;", 50) + "mx",
			"^[[" + strings.Repeat("1;", 50) + "mx"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := show(t, test.text); got != test.want {
				t.Errorf("%q is shown as\n%q, want\n%q", test.text, got, test.want)
			}
			if got := show(t, strings.Split(test.text, "")...); got != test.want {
				t.Errorf("%q, a character at a time, is shown as\n%q, want\n%q", test.text, got, test.want)
			}
		})
	}
}

// What follows a carriage return can't pass for a line that the caller numbered.
func TestContinue(t *testing.T) {
	for text, want := range map[string]string{
		"10%\r2: fake\r\x1b[31m3: fake\nnext\r\n": "10%^M\n   | 2: fake^M\n   | \x1b[31m3: fake\x1b[m\nnext\n",
		"end\r": "end^M\n",
	} {
		for _, pieces := range [][]string{{text}, strings.Split(text, "")} {
			var out bytes.Buffer
			w := terminal.NewWriter(&out)
			w.Continue("   | ")
			for _, p := range pieces {
				io.WriteString(w, p)
			}
			if err := w.Flush(); err != nil || out.String() != want {
				t.Errorf("%q in %d pieces is shown as\n%q, want\n%q, error %v", text, len(pieces), out.String(), want, err)
			}
		}
	}
}

// Behind what is highlighted the text's own style goes on, as it is by then.
func TestHighlight(t *testing.T) {
	const mark = "\x1b[1;31m"
	for _, test := range []struct{ before, text, after, want string }{
		{"a ", "b", " c\n", "a " + mark + "b\x1b[m c\n"},
		{"\x1b[4;7ma", "b", "c\n", "\x1b[4;7ma" + mark + "b\x1b[m\x1b[4;7mc\x1b[m\n"},
		{"\x1b[31m\x1b[0m\x1b[8ma", "b", "c\n", "\x1b[31m\x1b[0m^[[8ma" + mark + "b\x1b[mc\n"},
		{"\x1b[4ma", "b\x1b[0m\x1b[33m", "c\n", "\x1b[4ma" + mark + "b\x1b[0m\x1b[33m\x1b[m\x1b[33mc\x1b[m\n"},
		{"\x1b[4ma", "b\rc", "d\n", "\x1b[4ma" + mark + "b^M\x1b[m\n  | c\x1b[md\n"},
		{"\x1b[", "31m", "c\n", "^[[" + mark + "31m\x1b[mc\n"},
	} {
		var out bytes.Buffer
		w := terminal.NewWriter(&out)
		w.Continue("  | ")
		io.WriteString(w, test.before)
		err := w.Highlight(mark, []byte(test.text))
		io.WriteString(w, test.after)
		if w.Flush(); err != nil || out.String() != test.want {
			t.Errorf("%q, %q, %q is shown as\n%q, want\n%q, error %v", test.before, test.text, test.after, out.String(), test.want, err)
		}
	}
}

// A sequence is not held however long it is.
func TestEndless(t *testing.T) {
	for _, start := range []string{"\x1b]52;c;", "\x1bP", "\x1b[", "\x9d", "\r"} {
		var out bytes.Buffer
		w := terminal.NewWriter(&out)
		io.WriteString(w, start)
		w.Write(bytes.Repeat([]byte("1"), 1<<20))
		if got := out.Len(); got < 1<<20 {
			t.Errorf("after %q and a megabyte %d bytes came out", start, got)
		}
	}
}

func TestFails(t *testing.T) {
	full := errors.New("full")
	w := terminal.NewWriter(failing{full})
	if n, err := w.Write([]byte("x")); n != 0 || err != full {
		t.Errorf("write: %d, %v", n, err)
	}
	w = terminal.NewWriter(failing{full})
	if _, err := w.Write([]byte("\x1b")); err != nil {
		t.Errorf("what is held was written: %v", err)
	}
	if err := w.Flush(); err != full {
		t.Errorf("flush: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// allowed is all that may reach a terminal.
var allowed = regexp.MustCompile(`^(?:[\t\n -~]|\x1b\[[0-9;:]{0,64}m|[^\x00-\x{9f}\x{ad}\x{200b}\x{200e}\x{200f}\x{2028}-\x{202e}\x{2060}-\x{2069}\x{feff}\x{e0000}-\x{e007f}])*$`)

func FuzzWriter(f *testing.F) {
	for _, s := range []string{"a\r\nb\rc", "\x1b[31mx\x1b[8my\x1b[0m", "\x1b]52;c;x\a", "\x9b2J\u009b\u202e", "\xe2\x82\xac\xe2\x82", "\x1b[38;5;1;38:2::1:2:3m"} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		whole := show(t, string(text))
		if !utf8.ValidString(whole) || !allowed.MatchString(whole) {
			t.Fatalf("%q is shown as %q", text, whole)
		}
		random := rand.New(rand.NewPCG(seed, 0))
		var pieces []string
		for rest := string(text); rest != ""; {
			n := 1 + random.IntN(min(len(rest), 8))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		if split := show(t, pieces...); split != whole {
			t.Fatalf("%q cut as %q is shown as\n%q, whole as\n%q", text, pieces, split, whole)
		}
	})
}
