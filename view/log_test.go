package view_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"vitrine/lines"
	"vitrine/view"
)

type shownLine struct {
	Text    string
	Cut     bool
	Bytes   int64
	Shown   int64
	Returns int64
	Kind    string
	Time    int64
}

type shownLines struct {
	From  *int64
	Lines []shownLine
	Error string
}

// Each parameter has its bounds, and what is outside of them is refused in words.
func TestParameters(t *testing.T) {
	v := startLogs(t, "one\ntwo\n")
	for _, test := range []struct {
		below, say string
		status     int
	}{
		{"api/log/0/lines", "from must be a number from 1 to", 400},
		{"api/log/0/lines?from=0&count=1", "from must", 400},
		{"api/log/0/lines?from=-1&count=1", "from must", 400},
		{"api/log/0/lines?from=1e3&count=1", "from must", 400},
		{"api/log/0/lines?from=99999999999999999999&count=1", "from must", 400},
		{"api/log/0/lines?from=1", "count must be a number from 1 to 2000", 400},
		{"api/log/0/lines?from=1&count=0", "count must", 400},
		{"api/log/0/lines?from=1&count=2001", "count must", 400},
		{"api/log/0/last", "count must", 400},
		{"api/log/0/last?count=2001", "count must", 400},
		{"api/log/0/line", "n must", 400},
		{"api/log/0/line?n=0", "n must", 400},
		{"api/log/0/line?n=1&off=-1", "off must", 400},
		{"api/log/0/line?n=1&count=262145", "count must", 400},
		{"api/log/0/line?n=1&count=0", "count must", 400},
		{"api/log/0/text?from=0", "from must", 400},
		{"api/log/0/text?from=2&to=1", "to must be a number from 2", 400},
		{"api/log/0/at", "time must", 400},
		{"api/log/0/at?time=noon", "time must", 400},
		{"api/log/0/at?time=9223372036854775807", "time must", 400},
		{"api/log/0/search", "q must", 400},
		{"api/log/0/search?q=", "q must", 400},
		{"api/log/0/search" + query("q", strings.Repeat("x", 1001)), "q must", 400},
		{"api/log/0/search?q=x&regexp=2", "regexp must", 400},
		{"api/log/0/search?q=x&case=yes", "case must", 400},
		{"api/log/0/search?q=x&from=0", "from must", 400},
		{"api/log/0/search?q=x&max=100001", "max must", 400},
		{"api/log/0/search?q=x&max=-1", "max must", 400},
		{"api/log/0/search" + query("q", "a(b", "regexp", "1"), "missing closing )", 400},
		{"api/log/0/search" + query("q", "((a{1000}){1000}){1000}", "regexp", "1"), "", 400},
		{"api/log/1", "artifact", 404},
		{"api/log/-1", "artifact", 404},
		{"api/log/x", "artifact", 404},
		{"api/log/99999999999999999999", "artifact", 404},
		{"api/log/0/none", "nothing here", 404},
	} {
		var e struct{ Error string }
		text := v.text(test.status, test.below)
		if err := json.Unmarshal([]byte(text), &e); err != nil || e.Error == "" || !strings.Contains(e.Error, test.say) {
			t.Errorf("GET %s: %s, want %q", test.below, text, test.say)
		}
	}
}

func TestLog(t *testing.T) {
	for text, want := range map[string]string{
		"":           `{"size":0,"lines":0}`,
		"one":        `{"size":3,"lines":1}`,
		"one\n\n\n":  `{"size":6,"lines":3}`,
		"one\r\ntwo": `{"size":8,"lines":2}`,
	} {
		v := startLogs(t, text)
		// The lines are counted in the background.
		var got string
		for range 100 {
			if got = strings.TrimSpace(v.text(200, "api/log/0")); !strings.Contains(got, "null") {
				break
			}
		}
		if got != want {
			t.Errorf("%q: got %s want %s", text, got, want)
		}
	}
}

// Whatever a log holds, the page gets each line as it is.
func TestLines(t *testing.T) {
	long := strings.Repeat("0123456789", 500)
	tests := []struct {
		name, text string
		from       int
		want       []shownLine
	}{
		{"nothing", "", 1, nil},
		{"behind the end", "one\n", 3, nil},
		{"no line feed at the end", "one\ntwo", 1, []shownLine{{Text: "one", Bytes: 3}, {Text: "two", Bytes: 3}}},
		{"empty lines", "\n\nx\n\n", 2, []shownLine{{}, {Text: "x", Bytes: 1}, {}}},
		{"invalid UTF-8", "a\xffb\xc3\n\xed\xa0\x80", 1, []shownLine{{Text: "a\ufffdb\ufffd", Bytes: 4}, {Text: "\ufffd\ufffd\ufffd", Bytes: 3}}},
		{"NUL and escapes", "\x00\x1b[2J\x1b]52;c;eA==\a\u2028</script>\n", 1, []shownLine{{Text: "\x00\x1b[2J\x1b]52;c;eA==\a\u2028</script>", Bytes: 29}}},
		{"progress bar", "10%\r20%\r\n", 1, []shownLine{{Text: "10%\r20%\r", Bytes: 8}}},
		{"long", long + "\nx\n", 1, []shownLine{{Text: long[:4096], Cut: true, Bytes: 5000, Shown: 4096}, {Text: "x", Bytes: 1}}},
		{"just not long", long[:4096] + "\n", 1, []shownLine{{Text: long[:4096], Bytes: 4096}}},
		{"cut within a character", long[:4095] + "€uro", 1, []shownLine{{Text: long[:4095], Cut: true, Bytes: 4101, Shown: 4095}}},
		{"cut where none is", long[:4095] + "\xff\xffx", 1, []shownLine{{Text: long[:4095] + "\ufffd", Cut: true, Bytes: 4098, Shown: 4096}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := startLogs(t, test.text)
			var got shownLines
			v.json(fmt.Sprintf("api/log/0/lines?from=%d&count=100", test.from), &got)
			if got.From == nil || *got.From != int64(test.from) || got.Error != "" || fmt.Sprint(got.Lines) != fmt.Sprint(test.want) {
				t.Errorf("got  %.300q\nwant %.300q", fmt.Sprint(got.Lines), fmt.Sprint(test.want))
			}
		})
	}
}

// Of a line that is cut, the next piece begins where the text ended, whatever bytes it has.
func TestShown(t *testing.T) {
	line := strings.Repeat("\xff", 2000) + "€" + strings.Repeat("1234567890", 1000)
	v := startLogs(t, line+"\n"+strings.Repeat("50%\r", 3000)+"done\r\n")
	var got shownLines
	v.json("api/log/0/lines?from=1&count=2", &got)
	var piece struct{ Text string }
	v.json(fmt.Sprintf("api/log/0/line?n=1&count=20000&off=%d", got.Lines[0].Shown), &piece)
	if got.Lines[0].Text+piece.Text != strings.ToValidUTF8(strings.ReplaceAll(line, "\xff", "\ufffd"), "") {
		t.Errorf("from byte %d on it goes on with %.20q", got.Lines[0].Shown, piece.Text)
	}
	if n := got.Lines[1].Returns; n != 3000 {
		t.Errorf("it goes back %d times", n)
	}
}

func TestLinesCount(t *testing.T) {
	v := startLogs(t, numbered(5000))
	var got shownLines
	v.json("api/log/0/lines?from=2345&count=2000", &got)
	if len(got.Lines) != 2000 || got.Lines[0].Text != "line 2345" || got.Lines[1999].Text != "line 4344" {
		t.Errorf("%d lines from %q", len(got.Lines), got.Lines[0].Text)
	}
	v.json("api/log/0/lines?from=4999&count=2000", &got)
	if len(got.Lines) != 2 || got.Lines[1].Text != "line 5000" {
		t.Errorf("at the end: %v", got.Lines)
	}
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %d\n", i+1)
	}
	return b.String()
}

func TestLast(t *testing.T) {
	for _, test := range []struct {
		text  string
		count int
		from  int64
		want  []string
	}{
		{"", 10, 1, nil},
		{"one\ntwo\nthree\n", 2, 2, []string{"two", "three"}},
		{"one\ntwo\nthree", 2, 2, []string{"two", "three"}},
		{"one\ntwo\n", 10, 1, []string{"one", "two"}},
		{"one\n\n", 1, 2, []string{""}},
	} {
		v := startLogs(t, test.text)
		var got shownLines
		for range 200 { // until they are counted, for which the first waits a little
			v.text(200, "api/log/0")
			v.json(fmt.Sprintf("api/log/0/last?count=%d", test.count), &got)
			if got.From != nil {
				break
			}
		}
		var texts []string
		for _, line := range got.Lines {
			texts = append(texts, line.Text)
		}
		if got.From == nil || *got.From != test.from || fmt.Sprint(texts) != fmt.Sprint(test.want) {
			t.Errorf("%q, last %d: %q from %v", test.text, test.count, texts, got.From)
		}
	}
}

// A line of 100 MB is told in pieces, and the lines behind it are found.
func TestEndlessLine(t *testing.T) {
	const length = 100 << 20
	text := "before\n" + strings.Repeat("=", length-4) + "€!\nafter\n"
	v := startLogs(t, text)
	var got shownLines
	v.json("api/log/0/lines?from=1&count=10", &got)
	if len(got.Lines) != 3 || got.Lines[1].Bytes != length || !got.Lines[1].Cut || len(got.Lines[1].Text) != 4096 || got.Lines[2].Text != "after" {
		t.Fatalf("%d lines: %.200v", len(got.Lines), got.Lines)
	}
	type piece struct {
		Text             string
		Off, Next, Bytes int64
	}
	for _, test := range []struct {
		below string
		want  piece
	}{
		{"n=2&off=50000000&count=3", piece{"===", 50000000, 50000003, length}},
		{"n=2&off=104857594&count=4", piece{"==", 104857594, 104857596, length}}, // not half a character
		{"n=2&off=104857596&count=4", piece{"€!", 104857596, length, length}},
		{"n=2&off=104857597&count=1", piece{"\ufffd", 104857597, 104857598, length}},
		{"n=2&off=104857600", piece{"", length, length, length}},
		{"n=2&off=9223372036854775807", piece{"", length, length, length}},
		{"n=3", piece{"after", 0, 5, 5}},
		{"n=4", piece{"", 0, 0, 0}},
	} {
		var got piece
		v.json("api/log/0/line?"+test.below, &got)
		if got != test.want {
			t.Errorf("%s: %+v, want %+v", test.below, got, test.want)
		}
	}
}

func TestText(t *testing.T) {
	v := startLogs(t, "one\r\ntw\xffo\nthree")
	for below, want := range map[string]string{
		"": "one\r\ntw\xffo\nthree", "?from=2": "tw\xffo\nthree", "?from=1&to=1": "one\r\n", "?from=2&to=99": "tw\xffo\nthree", "?from=4": "",
	} {
		resp := v.get(t.Context(), "api/log/0/text"+below)
		got, err := io.ReadAll(resp.Body)
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, %v, want %q", below, got, err, want)
		}
		if h := resp.Header; h.Get("Content-Disposition") != "attachment; filename=console.log" || h.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("headers %v", h)
		}
	}
}

func TestDownloadName(t *testing.T) {
	for path, want := range map[string]string{
		"a/b/ansible.log": "ansible.log", "job-output.json": "job-output.json.txt", "x.html": "x.html.txt", "...": "log.txt",
		"a\"b\r\nX: y.txt": "", "日本.log": "filename*=utf-8''%E6%97%A5%E6%9C%AC.log",
	} {
		v := start(t, view.Build{Artifacts: []view.Artifact{memory(path, "x")}})
		resp := v.get(t.Context(), "api/log/0/text")
		if got := resp.Header.Get("Content-Disposition"); !strings.HasPrefix(got, "attachment") || !strings.Contains(got, want) || resp.Header.Get("X") != "" {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// Of a log that can't be read on, the page gets what could be, and is told why.
func TestUnreadable(t *testing.T) {
	text := strings.Repeat(strings.Repeat("x", 999)+"\n", 20_000)
	broken := errors.New("chunk 3 is altered")
	src := &source{text: text, read: func(off int64, n int) error {
		if off+int64(n) > 10_000_000 {
			return broken
		}
		return nil
	}}
	v := start(t, view.Build{Artifacts: []view.Artifact{src.artifact()}})
	var got shownLines
	v.json("api/log/0/lines?from=9000&count=2000", &got)
	if len(got.Lines) < 900 || len(got.Lines) > 1000 || !strings.Contains(got.Error, "altered") {
		t.Errorf("%d lines, error %q", len(got.Lines), got.Error)
	}
	for _, below := range []string{"lines?from=15000&count=1", "last?count=1", "line?n=15000"} {
		if got := v.text(http.StatusBadGateway, "api/log/0/"+below); !strings.Contains(got, "altered") {
			t.Errorf("%s: %s", below, got)
		}
	}
	for _, below := range []string{"scan", "search?q=nowhere"} {
		all := v.events("api/log/0/" + below)
		if last := fmt.Sprint(all[len(all)-1]); !strings.Contains(last, "altered") || strings.Contains(last, "done") {
			t.Errorf("%s ends with %s", below, last)
		}
	}
	resp := v.get(t.Context(), "api/log/0/text?from=1")
	if half, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("half a download of %d bytes looks whole", len(half))
	}
}

// A log that can't be opened is tried again when it is asked for again.
func TestOpen(t *testing.T) {
	var tries atomic.Int32
	v := start(t, view.Build{Artifacts: []view.Artifact{{Path: "a.log", Open: func(ctx context.Context) (*lines.Log, error) {
		if tries.Add(1) == 1 {
			return nil, fmt.Errorf("fetch a.log: %w", fs.ErrPermission)
		}
		return lines.New(strings.NewReader("there\n")), ctx.Err()
	}}}})
	if got := v.text(http.StatusBadGateway, "api/log/0"); !strings.Contains(got, "fetch a.log: permission denied") {
		t.Error(got)
	}
	for range 3 {
		var got shownLines
		v.json("api/log/0/lines?from=1&count=9", &got)
		if len(got.Lines) != 1 || got.Lines[0].Text != "there" {
			t.Errorf("%v", got)
		}
	}
	if n := tries.Load(); n != 2 {
		t.Errorf("opened %d times, want 2", n)
	}
}

// Who goes away while a log is being opened does not end it for the others.
func TestOpenForOthers(t *testing.T) {
	opening, goOn := make(chan struct{}), make(chan struct{})
	v := start(t, view.Build{Artifacts: []view.Artifact{{Path: "a.log", Open: func(ctx context.Context) (*lines.Log, error) {
		close(opening)
		<-goOn
		return lines.New(strings.NewReader("there\n")), ctx.Err()
	}}}})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+v.host+v.path+"api/log/0", nil)
		_, err := http.DefaultClient.Do(req)
		first <- err
	}()
	<-opening
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(goOn)
	var got shownLines
	v.json("api/log/0/lines?from=1&count=9", &got)
	if len(got.Lines) != 1 {
		t.Errorf("%v", got)
	}
}

func TestAt(t *testing.T) {
	begin := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	var log bytes.Buffer
	var times []int64 // of each line; 0: none
	for i := range 20_000 {
		at := begin.Add(time.Duration(i/3) * time.Second) // three lines a second
		switch {
		case i%1000 > 700: // long stretches without a time
			fmt.Fprintf(&log, "    at frame %d\n", i)
			times = append(times, 0)
		default:
			fmt.Fprintf(&log, "%s line %d\n", at.Format("2006-01-02T15:04:05Z"), i)
			times = append(times, at.UnixMilli())
		}
	}
	v := startLogs(t, log.String())
	for _, ms := range []int64{0, begin.UnixMilli(), begin.UnixMilli() + 1, begin.Add(time.Minute).UnixMilli(), begin.Add(4 * time.Minute).UnixMilli(),
		begin.Add(time.Hour).UnixMilli() - 1, times[19_700], times[19_700] + 1, begin.Add(100 * time.Hour).UnixMilli()} {
		var want *int64
		for i, at := range times {
			if at != 0 && at >= ms {
				n := int64(i + 1)
				want = &n
				break
			}
		}
		var got struct{ Line *int64 }
		v.json(fmt.Sprintf("api/log/0/at?time=%d", ms), &got)
		if (got.Line == nil) != (want == nil) || want != nil && *got.Line != *want {
			t.Errorf("at %d: got %s, want %s", ms, number(got.Line), number(want))
		}
	}
	var none struct{ Line *int64 }
	startLogs(t, numbered(100_000)).json("api/log/0/at?time=0", &none)
	if none.Line != nil {
		t.Errorf("a log without times has line %d at one", *none.Line)
	}
}

func number(n *int64) string {
	if n == nil {
		return "none"
	}
	return fmt.Sprint(*n)
}

// A source is a log that tells what is read of it.
type source struct {
	text string
	read func(off int64, n int) error
}

func (s *source) Size() int64 { return int64(len(s.text)) }

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if err := s.read(off, len(p)); err != nil {
		return 0, err
	}
	return strings.NewReader(s.text).ReadAt(p, off)
}

func (s *source) artifact() view.Artifact {
	return view.Artifact{Path: "a.log", Size: s.Size(), Open: func(context.Context) (*lines.Log, error) { return lines.New(s), nil }}
}

// Whatever bytes a log is of: the lines that come are those of the log.
func FuzzLines(f *testing.F) {
	for _, text := range []string{"", "one\ntwo", "\n\n\x00\xff\n", "a\r\nb\x1b[31m\n", strings.Repeat("ab€", 2000) + "\nx"} {
		f.Add([]byte(text), 1)
		f.Add([]byte(text), 2)
	}
	f.Fuzz(func(t *testing.T, log []byte, from int) {
		const host = "127.0.0.1:1"
		s, path, err := view.New(host, view.Build{Artifacts: []view.Artifact{memory("a.log", string(log))}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "http://"+host+path+fmt.Sprintf("api/log/0/lines?from=%d&count=2000", from), nil))
		if from < 1 || from > 1<<53 {
			if w.Code != 400 {
				t.Fatalf("from %d: %d", from, w.Code)
			}
			return
		}
		var got shownLines
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
			t.Fatalf("%d, %v: %s", w.Code, err, w.Body)
		}
		var want [][]byte
		if len(log) > 0 {
			want = bytes.Split(bytes.TrimSuffix(log, []byte("\n")), []byte("\n"))
		}
		want = want[min(from-1, len(want)):]
		want = want[:min(len(want), 2000)]
		if len(got.Lines) != len(want) {
			t.Fatalf("%d lines, want %d", len(got.Lines), len(want))
		}
		for i, line := range want {
			text := string([]rune(string(line)))
			if got := got.Lines[i]; got.Bytes != int64(len(line)) || !got.Cut && got.Text != text ||
				got.Cut != (len(line) > 4096) || got.Cut && (!strings.HasPrefix(text, got.Text) || utf8.RuneCountInString(got.Text) < 1024) {
				t.Fatalf("line %d: %.100q of %d, want %.100q", i, got.Text, got.Bytes, line)
			}
		}
	})
}
