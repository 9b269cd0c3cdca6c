package view_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf16"

	"vitrine/grep"
	"vitrine/lines"
	"vitrine/ngram"
	"vitrine/view"
)

func TestScan(t *testing.T) {
	v := startLogs(t, "PLAY [web] ****\n\nTASK [install <b>] ****\nok: [a]\nfatal: [b]: FAILED! => {}\n\nPLAY RECAP ****\n")
	got := fmt.Sprint(v.events("api/log/0/scan"))
	const want = "[map[kind:play line:1 name:web] map[kind:task line:3 name:install <b>] map[kind:failed line:5 name:b] map[kind:recap line:7 name:] map[done:true lines:7]]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := fmt.Sprint(startLogs(t, "").events("api/log/0/scan")); got != "[map[done:true lines:0]]" {
		t.Errorf("nothing: %s", got)
	}
}

// However many lines of one sort there are: what is told of the others is whole.
func TestScanBounds(t *testing.T) {
	const most = 100_000
	for _, test := range []struct {
		line, kind, sort string
		most             int
	}{
		{"fatal: [a]: FAILED!", "failed", "errors", most},
		{"WARNING: x", "warning", "warnings", most},
		{"TASK [x] ***", "task", "sections", 2 * most},
	} {
		n := test.most + 10
		text := startLogs(t, "fatal: [a]: FAILED!\nTASK [first]\nWARNING: first\n"+strings.Repeat(test.line+"\n", n)+"ERROR: x\nTASK [y]\nWARNING: z\n").text(200, "api/log/0/scan")
		if marks := strings.Count(text, `"kind":"`+test.kind+`"`); marks != test.most {
			t.Errorf("%s: %d", test.kind, marks)
		}
		if more := fmt.Sprintf(`{"more":"%s","line":%d}`, test.sort, test.most+3); strings.Count(text, `"more"`) != 1 || !strings.Contains(text, more) {
			t.Errorf("%s: not %s", test.kind, more)
		}
		for i, kind := range []string{"error", "task", "warning"} {
			if last := fmt.Sprintf(`{"line":%d,"kind":"%s"`, n+4+i, kind); strings.Contains(text, last) == (kind == test.kind || kind == "error" && test.kind == "failed") {
				t.Errorf("%s: %s at the end: %v", test.kind, kind, strings.Contains(text, last))
			}
		}
		if !strings.HasSuffix(text, fmt.Sprintf("{\"done\":true,\"lines\":%d}\n", n+6)) {
			t.Errorf("%s: ends with %s", test.kind, text[len(text)-100:])
		}
	}
}

// What failed and was ignored is a warning, however long its message is.
func TestScanIgnored(t *testing.T) {
	const long = "fatal: [a]: FAILED! => {\n    \"msg\": \"x\",\n    error: y\n}\n"
	for text, want := range map[string]string{
		"fatal: [a]: FAILED! => {}\n...ignoring\n":                                      "1 warning",
		"\x1b[0;31mfatal: [a]: FAILED! => {}\x1b[0m\n\x1b[0;36m...ignoring\x1b[0m\n":    "1 warning",
		"fatal: [a]: FAILED! => {}\nok: [b]\n...ignoring\n":                             "1 failed",
		"fatal: [a]: FAILED! => {}\nfatal: [b]: FAILED! => {}\n...ignoring\n":           "1 failed 2 warning",
		"fatal: [a]: FAILED! => {}":                                                     "1 failed",
		long + "...ignoring\nERROR: z\n":                                                "1 warning 6 error",
		long + "ok: [b]\n...ignoring\n":                                                 "1 failed",
		long + " \n...ignoring\n":                                                       "1 failed",
		"...ignoring\n":                                                                 "",
		"fatal: [a]: FAILED! => {\n" + strings.Repeat(" x\n", 300) + "}\n...ignoring\n": "1 failed",
	} {
		var got []string
		for _, e := range startLogs(t, text).events("api/log/0/scan") {
			if e["kind"] != nil {
				got = append(got, fmt.Sprint(e["line"], " ", e["kind"]))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%.100q: %q, want %q", text, got, want)
		}
	}
}

func TestSearch(t *testing.T) {
	const log = "Alpha\nbeta ALPHA alpha\n\n𝄞 a\xffb alpha.\nalphabet\ngamma a.b axb\n"
	tests := []struct {
		query []string
		want  string
	}{
		{[]string{"q", "alpha"}, "[1 [[0 5]]] [2 [[5 10] [11 16]]] [4 [[7 12]]] [5 [[0 5]]] 4"},
		{[]string{"q", "alpha", "case", "1"}, "[2 [[11 16]]] [4 [[7 12]]] [5 [[0 5]]] 3"},
		{[]string{"q", "alpha", "from", "3"}, "[4 [[7 12]]] [5 [[0 5]]] 2"},
		{[]string{"q", "alpha", "from", "99"}, "0"},
		{[]string{"q", "alpha", "max", "1"}, "[1 [[0 5]]] 4"},
		{[]string{"q", "alpha", "max", "0"}, "4"},
		{[]string{"q", "a.b"}, "[6 [[6 9]]] 1"},
		{[]string{"q", "a.b", "regexp", "1"}, "[4 [[3 6]]] [6 [[6 9] [10 13]]] 2"},
		{[]string{"q", "^alpha$", "regexp", "1"}, "[1 [[0 5]]] 1"},
		{[]string{"q", "a(b"}, "0"},
		{[]string{"q", "nowhere"}, "0"},
	}
	v := startLogs(t, log)
	for _, test := range tests {
		var got []string
		for _, e := range v.events("api/log/0/search" + query(test.query...)) {
			if e["done"] == true {
				got = append(got, fmt.Sprint(e["count"]))
			} else {
				got = append(got, fmt.Sprint([]any{e["line"], e["spans"]}))
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%q:\ngot  %s\nwant %s", test.query, strings.Join(got, " "), test.want)
		}
	}
}

// A match is where the page has it, whatever is before it in the line.
func TestSearchSpans(t *testing.T) {
	re := regexp.MustCompile("needle")
	for _, before := range []string{"", "plain ", "é€𝄞", "\xff\xfe\x80", "\xe2\x82", "\xf0\x9d\x84needle ", "\x00\t\x1b[31m", strings.Repeat("𝄞", 1000)} {
		line := before + "needle\x1b[0m and needle"
		v := startLogs(t, "x\n"+line+"\n")
		var shown shownLines
		v.json("api/log/0/lines?from=2&count=1", &shown)
		units := utf16.Encode([]rune(shown.Lines[0].Text))
		events := v.events("api/log/0/search?q=needle")
		spans, ok := events[0]["spans"].([]any)
		if !ok || len(spans) != len(re.FindAllString(line, -1)) {
			t.Errorf("%q: %v", before, events)
			continue
		}
		for _, span := range spans {
			s := span.([]any)
			if got := string(utf16.Decode(units[int(s[0].(float64)):int(s[1].(float64))])); got != "needle" {
				t.Errorf("%q: %v is %q", before, s, got)
			}
		}
	}
}

// Matches that the page does not show at first have an offset instead.
func TestSearchLongLine(t *testing.T) {
	line := strings.Repeat("-", 4090) + "needle" + strings.Repeat("-", 100_000) + "needle"
	v := startLogs(t, "\n"+line+"\n"+strings.Repeat("-", 5_000_000)+"needle"+strings.Repeat("-", 5000)+"\nneedle\n")
	got := v.events("api/log/0/search?q=needle")
	if len(got) != 4 || got[3]["count"] != 3.0 {
		t.Fatalf("%v", got)
	}
	if fmt.Sprint(got[0]) != "map[line:2 spans:[[4090 4096]]]" {
		t.Errorf("one of two is shown: %v", got[0])
	}
	far, _ := got[1]["far"].(map[string]any)
	if fmt.Sprint(got[1]["spans"]) != "[]" || far["off"] != 5_000_000.0 || far["before"] != strings.Repeat("-", 60) || far["text"] != "needle" || far["after"] != strings.Repeat("-", 60) {
		t.Errorf("none is shown: %v", got[1])
	}
}

// An endless log has more lines than anybody can wait for, and says how many.
type endless struct{ reads atomic.Int64 }

const endlessLine = "a line of just thirty-two bytes\n"

func (e *endless) Size() int64 { return 1 << 40 }

func (e *endless) ReadAt(p []byte, off int64) (int, error) {
	e.reads.Add(1)
	for n := 0; n < len(p); {
		n += copy(p[n:], endlessLine[(off+int64(n))%32:])
	}
	return len(p), nil
}

func (e *endless) Lines() (int64, bool)                  { return e.Size() / 32, true }
func (e *endless) BeforeLine(n int64) (off, feeds int64) { return n * 32, n }
func (e *endless) Before(off int64) (at, feeds int64)    { return off / 32 * 32, off / 32 }

func (e *endless) artifact() view.Artifact {
	return view.Artifact{Path: "a.log", Size: e.Size(), Open: func(context.Context) (*lines.Log, error) { return lines.New(e), nil }}
}

// A request that is given up stops its work, and others get their turn.
func TestCancel(t *testing.T) {
	log := new(endless)
	v := start(t, view.Build{Artifacts: []view.Artifact{log.artifact(), memory("b.log", "needle\n")}})
	for _, below := range []string{"api/log/0/scan", "api/log/0/search?q=nowhere", "api/log/0/text"} {
		for range 6 { // more than may go on at once
			ctx, cancel := context.WithCancel(t.Context())
			if resp := v.get(ctx, below); resp.StatusCode != http.StatusOK {
				t.Fatal(resp.Status)
			}
			cancel()
		}
	}
	if got := v.events("api/log/1/search?q=needle"); len(got) != 2 {
		t.Errorf("%v", got)
	}
	for range 3000 {
		before := log.reads.Load()
		time.Sleep(20 * time.Millisecond)
		if log.reads.Load() == before {
			return
		}
	}
	t.Error("the log is still being read, for nobody")
}

// However long a log is: what is shown first takes a few reads.
func TestFirstScreen(t *testing.T) {
	log := new(endless)
	v := start(t, view.Build{Artifacts: []view.Artifact{log.artifact()}})
	v.text(200, "api/build")
	var size struct{ Lines int64 }
	v.json("api/log/0", &size)
	if size.Lines != 1<<35 {
		t.Errorf("%d lines", size.Lines)
	}
	var got shownLines
	v.json("api/log/0/last?count=200", &got)
	if len(got.Lines) != 200 || *got.From != 1<<35-199 || got.Lines[0].Text != endlessLine[:31] {
		t.Errorf("%d lines from %d: %v", len(got.Lines), *got.From, got.Lines[:1])
	}
	v.json("api/log/0/lines?from=20000000000&count=100", &got)
	if len(got.Lines) != 100 {
		t.Errorf("%d lines", len(got.Lines))
	}
	if n := log.reads.Load(); n > 10 {
		t.Errorf("%d reads", n)
	}
}

// Who searches sees how far it is, and what was found, while it goes on.
func TestProgress(t *testing.T) {
	blocked := make(chan struct{})
	text := "needle\n" + strings.Repeat("hay\n", 5_000_000)
	src := &source{text: text, read: func(off int64, n int) error {
		if off > 10<<20 {
			<-blocked
		}
		return nil
	}}
	v := start(t, view.Build{Artifacts: []view.Artifact{src.artifact()}})
	defer close(blocked)
	for _, below := range []string{"scan", "search?q=needle"} {
		answer := bufio.NewScanner(v.get(t.Context(), "api/log/0/"+below).Body)
		found, at := below == "scan", 0.0
		for at == 0 || !found {
			if !answer.Scan() {
				t.Fatalf("%s ended: %v", below, answer.Err())
			}
			var e map[string]any
			if err := json.Unmarshal(answer.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			if e["line"] == 1.0 {
				found = true
			}
			if n, ok := e["at"].(float64); ok {
				at = n
			}
		}
	}
}

// What the index says can't hold the pattern is not read, however much it is.
func TestSearchIndex(t *testing.T) {
	log := new(endless)
	var asked ngram.Query
	var told error
	a := log.artifact()
	a.MayHold = func(q ngram.Query) ([]grep.Span, bool, error) {
		asked = q
		return []grep.Span{{Off: 64, N: 64}, {Off: 1 << 39, N: 32}}, true, told
	}
	v := start(t, view.Build{Artifacts: []view.Artifact{a}})
	for from, want := range map[string]string{
		"1":           "[3 4 17179869185 done:3]",
		"4":           "[4 17179869185 done:2]",
		"5":           "[17179869185 done:1]",
		"17179869186": "[done:0]",
	} {
		var got []string
		for _, e := range v.events("api/log/0/search" + query("q", "THIRTY-two", "from", from)) {
			if e["done"] == true {
				got = append(got, fmt.Sprintf("done:%v", e["count"]))
			} else {
				got = append(got, fmt.Sprintf("%.0f", e["line"]))
			}
		}
		if fmt.Sprint(got) != want {
			t.Errorf("from %s: %v, want %s", from, got, want)
		}
	}
	if !asked.Tells() {
		t.Error("the index was not asked for the pattern's literals")
	}
	told = errors.New("the index is altered")
	if got := v.text(http.StatusBadGateway, "api/log/0/search?q=thirty"); !strings.Contains(got, "altered") {
		t.Error(got)
	}
}
