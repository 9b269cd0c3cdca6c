package summary

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"vitrine"
	"vitrine/outline"
	"vitrine/test/allocs"
)

// scan returns what a log tells, whose bytes come in pieces of a size.
func scan(t *testing.T, text string, size int, patterns ...*regexp.Regexp) Log {
	t.Helper()
	s := NewScanner("a.log", patterns)
	for b := []byte(text); len(b) > 0; b = b[min(size, len(b)):] {
		if n, err := s.Write(b[:min(size, len(b))]); err != nil || n != min(size, len(b)) {
			t.Fatal(n, err)
		}
	}
	return s.Log()
}

// short is a note as one line.
func short(list []Note) (out []string) {
	for _, n := range list {
		m, _, _ := strings.Cut(n.Message, "\n")
		out = append(out, fmt.Sprintf("%d %s %s|%s: %s", n.Line, n.Kind, n.Task, n.Host, m))
	}
	return out
}

// TestRealLogs: what a person would tell of real runs, however they were written.
func TestRealLogs(t *testing.T) {
	const web = "codesearch01.example.org"
	for _, tt := range []struct {
		file               string
		failures, warnings []string
		recap              vitrine.Recap
	}{
		{"codesearch-failure.log",
			[]string{"109 failed Stop here|" + web + ": codesearch 1.4.2 does not start; 1.4.1 runs again"},
			[]string{"1 warning |: [WARNING]: Invalid characters were found in group names but not replaced, use",
				"74 failed Wait until codesearch answers|" + web + ": Status code was -1 and not [200]: Request failed: <urlopen error [Errno 111] Connection refused>"},
			vitrine.Recap{OK: 16, Changed: 8, Failed: 1}},
		{"codesearch-success.log", nil, // its failure was rescued
			[]string{"1 warning |: [WARNING]: Invalid characters were found in group names but not replaced, use",
				"26 failed Read the link to the current release|" + web + ": non-zero return code (rc 1)"},
			vitrine.Recap{OK: 14, Changed: 10, Skipped: 1}},
		{"base-success.log", nil, // its failures were ignored
			[]string{"1 warning |: [WARNING]: Invalid characters were found in group names but not replaced, use",
				"3 warning |: [WARNING]: Could not match supplied host pattern, ignoring: disabled",
				"127 failed Look for a certificate that lasts another 30 days|" + web + ": non-zero return code (rc 1)",
				"129 failed Look for a certificate that lasts another 30 days|gitea01.example.org: non-zero return code (rc 1)",
				"131 failed Look for a certificate that lasts another 30 days|gitea02.example.org: non-zero return code (rc 1)"},
			vitrine.Recap{OK: 55, Changed: 38, Skipped: 4}},
		{"codesearch-colour.log", nil,
			[]string{"1 warning |: [WARNING]: Invalid characters were found in group names but not replaced, use"},
			vitrine.Recap{OK: 16, Changed: 6}},
		{"codesearch-verbose.log", nil,
			[]string{"1 warning |: [WARNING]: Invalid characters were found in group names but not replaced, use"},
			vitrine.Recap{OK: 14}},
	} {
		text, err := os.ReadFile("../testdata/logs/" + tt.file)
		if err != nil {
			t.Fatal(err)
		}
		for _, before := range []string{"", "2026-11-22 02:11:09.123456 | "} {
			timed := before + strings.ReplaceAll(strings.TrimSuffix(string(text), "\n"), "\n", "\n"+before)
			l := scan(t, timed, 1000)
			if got := short(l.Failures); !reflect.DeepEqual(got, tt.failures) {
				t.Errorf("%s failures:\n%s", tt.file, strings.Join(got, "\n"))
			}
			if got := short(l.Warnings); !reflect.DeepEqual(got, tt.warnings) {
				t.Errorf("%s warnings:\n%s", tt.file, strings.Join(got, "\n"))
			}
			if len(l.Errors) > 0 {
				t.Errorf("%s errors: %v", tt.file, short(l.Errors))
			}
			if got := (&Summary{Logs: []Log{l, l}}).Recap(); got == nil || *got != tt.recap {
				t.Errorf("%s recap %+v, want %+v", tt.file, got, tt.recap)
			}
			if want := int64(bytes.Count(text, []byte("\n"))); l.Lines != want {
				t.Errorf("%s: %d lines, want %d", tt.file, l.Lines, want)
			}
			if !reflect.DeepEqual(scan(t, timed, 1), l) {
				t.Errorf("%s: byte by byte it tells something else", tt.file)
			}
		}
	}
}

func TestMessages(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       Note
	}{
		{"stderr", `fatal: [h]: FAILED! => {"msg": "non-zero return code", "rc": 2, "stderr": "a\nb", "stdout": "c"}`,
			Note{1, outline.Failed, "", "h", "non-zero return code (rc 2)\nstderr: a\nb"}},
		{"stdout alone", `fatal: [h]: FAILED! => {"msg": "no", "rc": 0, "stdout": "` + "\x1b[31m" + `c"}`,
			Note{1, outline.Failed, "", "h", "no\nstdout: c"}},
		{"only the end of a long output", `fatal: [h]: FAILED! => {"msg": "no", "stderr": "` + strings.Repeat(`x\n`, 3000) + `end"}`,
			Note{1, outline.Failed, "", "h", "no\nstderr: " + strings.Repeat("x\n", 9) + "end"}},
		{"module", `fatal: [h]: FAILED! => {"msg": "MODULE FAILURE", "module_stderr": "Traceback\nKeyError: 'x'"}`,
			Note{1, outline.Failed, "", "h", "MODULE FAILURE\nmodule_stderr: Traceback\nKeyError: 'x'"}},
		{"no_log", `fatal: [h]: FAILED! => {"censored": "the output has been hidden"}`,
			Note{1, outline.Failed, "", "h", "the output has been hidden"}},
		{"unreachable", `fatal: [h]: UNREACHABLE! => {"changed": false, "msg": "Failed to connect", "unreachable": true}`,
			Note{1, outline.Failed, "", "h", "unreachable: Failed to connect"}},
		{"item", `failed: [h] (item=a => b) => {"item": "a", "msg": "no"}`,
			Note{1, outline.Failed, "", "h", "item=a => b: no"}},
		{"message that is a list", `fatal: [h]: FAILED! => {"msg": ["a", "b"]}`,
			Note{1, outline.Failed, "", "h", `["a", "b"]`}},
		{"unknown fields", `fatal: [h]: FAILED! => {"failed": true}`,
			Note{1, outline.Failed, "", "h", `{"failed": true}`}},
		{"not JSON", "fatal: [h]: FAILED! => changed=false\n  msg: no\n  rc: 1\nok: [i]",
			Note{1, outline.Failed, "", "h", "fatal: [h]: FAILED! => changed=false\n  msg: no\n  rc: 1"}},
		{"over several lines", "fatal: [h]: FAILED! => {\n    \"msg\": \"no\",\n    \"rc\": 3\n}\nok: [i]",
			Note{1, outline.Failed, "", "h", "no (rc 3)"}},
		{"Zuul's", "2026-11-22 02:11:09.123456 | TASK [x]\n2026-11-22 02:11:09.123456 | h | ERROR\n2026-11-22 02:11:09.123456 | h | {\n2026-11-22 02:11:09.123456 | h |   \"msg\": \"no\"\n2026-11-22 02:11:09.123456 | h | }",
			Note{2, outline.Failed, "x", "h", "no"}},
		{"breaks off", `fatal: [h]: FAILED! => {"msg": "no", "rc": 1, "stdout": "` + strings.Repeat("x", 70<<10) + `"}`,
			Note{1, outline.Failed, "", "h", "no (rc 1)"}},
		{"hostile", "fatal: [h\x1b]0;t\x07]: FAILED! => {\"msg\": \"\\u001b]52;c;x\\u0007\\u202eno\\u0000\"}",
			Note{1, outline.Failed, "", "h", "no"}},
	} {
		l := scan(t, tt.text+"\n", 1000)
		if len(l.Failures) != 1 || l.Failures[0] != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, l.Failures, tt.want)
		}
	}
}

func TestErrors(t *testing.T) {
	l := scan(t, `::group::Test
ok  	a	0.1s
Traceback (most recent call last):
  File "x.py", line 1, in <module>
    f()
ValueError: bad
::endgroup::
Warning: old
boom happened
Error: last`, 7, regexp.MustCompile(`^boom`))
	if got, want := short(l.Errors), []string{"3 error Test|: Traceback (most recent call last):", "10 error |: Error: last"}; !reflect.DeepEqual(got, want) {
		t.Errorf("errors %q, want %q", got, want)
	}
	if m := l.Errors[0].Message; !strings.HasSuffix(m, "\nValueError: bad") {
		t.Errorf("the traceback ends in %q", m)
	}
	if got, want := short(l.Failures), []string{"9 failed |: boom happened"}; !reflect.DeepEqual(got, want) {
		t.Errorf("failures %q, want %q", got, want)
	}
	if l.Lines != 10 {
		t.Errorf("%d lines", l.Lines)
	}
}

// What follows a traceback that breaks off is told all the same.
func TestTracebackBreaksOff(t *testing.T) {
	l := scan(t, `TASK [a] ***
Traceback (most recent call last):
  File "x"
fatal: [h]: FAILED! => {"msg": "no"}
Traceback (most recent call last):
TASK [b] ***
fatal: [h]: FAILED! => {"msg": "never"}
`, 1000)
	if got, want := short(l.Failures), []string{"4 failed a|h: no", "7 failed b|h: never"}; !reflect.DeepEqual(got, want) {
		t.Errorf("failures %q, want %q", got, want)
	}
	if got := short(l.Errors); len(got) != 2 || strings.Contains(l.Errors[0].Message, "fatal") {
		t.Errorf("errors %q", got)
	}
}

// However much a log has to tell, the first and the last notes are kept.
func TestBounds(t *testing.T) {
	var b strings.Builder
	const n = 1000
	for i := range n {
		fmt.Fprintf(&b, "fatal: [h%d]: FAILED! => {\"msg\": \"%d %s\"}\nERROR: %d\nh%d : ok=1 changed=0 unreachable=0 failed=1\n", i, i, strings.Repeat(`\"<`, 2000), i, i)
	}
	var s Summary
	l := scan(t, b.String(), 1<<20)
	if len(l.Failures) != MaxNotes || len(l.Recap) != MaxHosts || l.Failures[0].Line != 1 || l.Failures[MaxNotes-1].Line != 3*(n-1)+1 {
		t.Errorf("%d failures, %d hosts", len(l.Failures), len(l.Recap))
	}
	if want := 2*(n-MaxNotes) + n - MaxHosts; l.Omitted != want {
		t.Errorf("%d omitted, want %d", l.Omitted, want)
	}
	for i := range 3000 {
		l.Path = fmt.Sprintf("logs/%d.log", i)
		s.Add(l)
		if i == 100 { // so many are as large as can be
			l.Failures, l.Errors, l.Recap = l.Failures[MaxNotes-1:], nil, nil
		}
	}
	s.Add(Log{Path: "empty.log", Lines: 3})
	text, err := s.Marshal()
	if err != nil || len(text) > MaxSize {
		t.Fatal(len(text), err)
	}
	got, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Logs) == 0 || got.Omitted+len(got.Logs) != 3000 {
		t.Errorf("%d logs and %d omitted", len(got.Logs), got.Omitted)
	}
	last := got.Logs[0].Failures
	if len(last) == 0 || last[len(last)-1].Line != 3*(n-1)+1 {
		t.Errorf("the last failure is not there: %v", last)
	}
}

// A line without an end costs no more memory than any other.
func TestLongLine(t *testing.T) {
	s := NewScanner("a.log", nil)
	piece := bytes.Repeat([]byte("x"), 1<<20)
	for range 50 {
		s.Write(piece)
	}
	if cap(s.line) > 2*maxLine {
		t.Errorf("%d bytes are held", cap(s.line))
	}
	s.Write([]byte("\nERROR: x"))
	if l := s.Log(); l.Lines != 2 || len(l.Errors) != 1 {
		t.Errorf("%+v", l)
	}
}

func TestParseRefuses(t *testing.T) {
	note := func(n string) string {
		return `{"version":1,"logs":[{"path":"a.log","lines":1,"failures":[` + n + `]}]}`
	}
	for _, text := range []string{
		"", "null", "[]", `{"version":2,"logs":[]}`,
		`{"version":1,"logs":[],"omitted":-1}`,
		`{"version":1,"logs":[{"path":"../a"}]}`,
		`{"version":1,"logs":[{"path":"a","lines":-1}]}`,
		`{"version":1,"logs":[{"path":"a","recap":[{"name":"h","ok":-1}]}]}`,
		`{"version":1,"logs":[{"path":"a","recap":[{"name":"h","ok":4000000000}]}]}`,
		`{"version":1,"logs":[{"path":"a","recap":[{"name":"\u001b"}]}]}`,
		`{"version":1,"logs":[{"path":"a","recap":[` + strings.Repeat(`{"name":"h"},`, MaxHosts) + `{"name":"h"}]}]}`,
		`{"version":1,"logs":[` + strings.Repeat(`{"path":"a"},`, MaxLogs) + `{"path":"a"}]}`,
		note(`{"line":0,"kind":"failed"}`),
		note(`{"line":1,"kind":"task"}`),
		note(`{"line":1,"kind":"failed","message":"\u001b[2J"}`),
		note(`{"line":1,"kind":"failed","message":"\u202e"}`),
		note(`{"line":1,"kind":"failed","task":"` + strings.Repeat("x", 256) + `"}`),
		note(`{"line":1,"kind":"failed","message":"` + strings.Repeat("x", MaxMessage+1) + `"}`),
		note(strings.Repeat(`{"line":1,"kind":"failed"},`, MaxNotes) + `{"line":1,"kind":"failed"}`),
		note(`{"line":1,"kind":"failed","message":"x"}`) + strings.Repeat(" ", MaxSize),
	} {
		if s, err := Parse([]byte(text)); err == nil {
			t.Errorf("%.80q was taken: %+v", text, s)
		}
	}
	if _, err := Parse([]byte(note(`{"line":1,"kind":"failed","message":"x\n\ty","new":1}`))); err != nil {
		t.Error(err)
	}
}

func TestEmpty(t *testing.T) {
	text, err := new(Summary).Marshal()
	if err != nil || string(text) != `{"version":1,"logs":[]}`+"\n" {
		t.Errorf("%s %v", text, err)
	}
	if r := new(Summary).Recap(); r != nil {
		t.Errorf("a recap of nothing: %+v", r)
	}
}

func FuzzScanner(f *testing.F) {
	for _, name := range []string{"codesearch-failure.log", "base-success.log", "codesearch-colour.log"} {
		text, err := os.ReadFile("../testdata/logs/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("TASK [x]\nfatal: [h]: FAILED! => {\n    \"msg\": \"x\"\n}\n...ignoring\nTraceback (most recent call last):\n x\nE: y"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := NewScanner("a.log", nil)
		s.Write(text)
		var sum Summary
		sum.Add(s.Log())
		b, err := sum.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse(b)
		if err != nil {
			t.Fatalf("what was made is refused: %v", err)
		}
		slow := NewScanner("a.log", nil)
		for _, c := range text {
			slow.Write([]byte{c})
		}
		var one Summary
		one.Add(slow.Log())
		if b2, err := one.Marshal(); err != nil || !bytes.Equal(b, b2) {
			t.Fatalf("byte by byte: %s, %v, not %s", b2, err, b)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version":1,"logs":[{"path":"a.log","lines":3,"failures":[{"line":1,"kind":"failed","task":"t","host":"h","message":"m"}],"recap":[{"name":"h","ok":1}]}],"omitted":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s *Summary
		var err error
		allocs.Check(t, 200*int64(len(text)), func() { s, err = Parse(text) })
		if err != nil {
			return
		}
		if _, err := s.Marshal(); err != nil {
			t.Fatal(err)
		}
		s.Recap()
	})
}

func BenchmarkScanner(b *testing.B) {
	text, err := os.ReadFile("../testdata/logs/codesearch-verbose.log")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s := NewScanner("a.log", nil)
		s.Write(text)
		s.Log()
	}
}
