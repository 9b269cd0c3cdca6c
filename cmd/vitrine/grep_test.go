package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/grep"
)

func TestParseWhen(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string][2]string{
		"2026-11-20":                {"2026-11-20T00:00:00Z", "2026-11-20T23:59:59Z"},
		"2026-11-20T08:00:00+02:00": {"2026-11-20T06:00:00Z", "2026-11-20T06:00:00Z"},
		"90m":                       {"2026-11-22T10:30:00Z", "2026-11-22T10:30:00Z"},
		"2d":                        {"2026-11-20T12:00:00Z", "2026-11-20T12:00:00Z"},
		"1w":                        {"2026-11-15T12:00:00Z", "2026-11-15T12:00:00Z"},
	} {
		first, last, err := parseWhen(text, now)
		if err != nil || first.UTC().Format(time.RFC3339) != want[0] || last.UTC().Format(time.RFC3339) != want[1] {
			t.Errorf("%s: %v to %v, %v; want %s", text, first, last, err, want)
		}
	}
	for _, text := range []string{"yesterday", "d", "-1d", "1y", "99999999d", "20000w", "2026-13-01"} {
		if first, _, err := parseWhen(text, now); err == nil {
			t.Errorf("%s is %v", text, first)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"1": 1, "500MB": 500e6, "2gb": 2e9, "3K": 3e3, "1TB": 1e12} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "MB", "-1", "1.5GB", "1XB", "1BB", "99999999999999GB"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

// What a log has of escape sequences is not obeyed, and matches are in colour.
func TestGrepOnATerminal(t *testing.T) {
	j := &grepJob{build: vitrine.Build{Record: vitrine.Record{UUID: strings.Repeat("1a", 16), JobName: "deploy", Result: "FAILURE"}}}
	f := grepForm{terminal: true, context: true}
	f.line(j, "a.log", grep.Line{Number: 1, Text: []byte("before \x1b]0;title\a")})
	f.line(j, "a.log", grep.Line{Number: 2, Text: []byte("an error\x1b[2J"), Matches: [][2]int{{3, 8}}})
	f.line(j, "a.log", grep.Line{Number: 7, Text: []byte(strings.Repeat("x", 5000) + "error" + strings.Repeat("y", 5000)), Matches: [][2]int{{5000, 5005}}})
	f.line(j, "b.log", grep.Line{Number: 1, Text: []byte("error"), Matches: [][2]int{{0, 5}}})
	f.line(j, "b.log", grep.Line{Number: 2, Text: []byte("one\r")})
	f.line(j, "b.log", grep.Line{Number: 3, Text: []byte("\x1b[4mone error more"), Matches: [][2]int{{8, 13}}})
	f.line(j, "b.log", grep.Line{Number: 13, Text: []byte("10%\r2:forged\r\r"), Matches: [][2]int{{0, 3}}})
	got := j.buf.String()
	for _, want := range []string{
		boldStyle + "1a1a1a1a1a1a/a.log" + noStyle + "  deploy  FAILURE  ",
		"1" + noStyle + "-before ^[]0;title^G\n",
		":an " + matchStyle + "error", "^[[2J", "\n--\n", "…x", "x" + matchStyle + "error", "y…",
		"\n\n" + boldStyle + "1a1a1a1a1a1a/b.log",
		noStyle + "-one\n", "\n--\n" + numberStyle + "13",
		":\x1b[4mone " + matchStyle + "error" + noStyle + "\x1b[4m more" + noStyle + "\n", "10%" + noStyle + "^M\n  | 2:forged\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %.300q", want, got)
		}
	}
	if strings.Contains(got, "\x1b]") || strings.Contains(got, "\x1b[2J") || len(got) > 4000 {
		t.Errorf("%d bytes for a terminal: %.300q", len(got), got)
	}
}

func TestGrepWithoutColours(t *testing.T) {
	j := &grepJob{build: vitrine.Build{Record: vitrine.Record{UUID: strings.Repeat("1a", 16), JobName: "deploy", Result: "FAILURE"}}}
	f := grepForm{terminal: true, plain: true}
	f.line(j, "a.log", grep.Line{Number: 3, Text: []byte("an error"), Matches: [][2]int{{3, 8}}})
	if got := j.buf.String(); !strings.HasPrefix(got, "1a1a1a1a1a1a/a.log  deploy  FAILURE") || !strings.HasSuffix(got, "\n3:an error\n") {
		t.Errorf("%q", got)
	}
}

// What a carriage return ends a line with is no part of its text for scripts.
func TestGrepJSONOfCRLF(t *testing.T) {
	j := &grepJob{build: vitrine.Build{Record: vitrine.Record{UUID: "1a"}}}
	f := grepForm{json: true}
	f.line(j, "a.log", grep.Line{Number: 1, Text: []byte("one\r")})
	f.line(j, "a.log", grep.Line{Number: 2, Text: []byte("\xff\r")})
	const want = `{"build":"1a","artifact":"a.log","line":1,"text":"one"}` + "\n" + `{"build":"1a","artifact":"a.log","line":2,"bytes":"/w=="}` + "\n"
	if got := j.buf.String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Of builds that there is nothing to search of a history always has some.
func TestGrepOfBuildsThatCantBeSearched(t *testing.T) {
	at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	for name, b := range map[string]vitrine.Build{
		"running":     {State: vitrine.Running},
		"interrupted": {State: vitrine.Interrupted},
		"lost":        {State: vitrine.Lost},
		"expired":     {State: vitrine.Finished, Expired: at},
		"imported":    {State: vitrine.Finished, Record: vitrine.Record{Imported: &vitrine.Imported{}}},
	} {
		b.UUID = strings.Repeat("1a", 16)
		for named, want := range map[bool]int{true: exitIncomplete, false: exitFailed} {
			g := &grepper{named: named}
			err := g.run(t.Context(), func(_ context.Context, yield func(vitrine.Build) bool) error {
				yield(b)
				return nil
			})
			var exit *exitError
			if !errors.As(err, &exit) || exit.code != want {
				t.Errorf("%s, named %v: %v, want exit %d", name, named, err, want)
			}
		}
	}
}

// What is found in a build ahead of its turn is held to a bound: then its search
// waits.
func TestGrepWaitsForItsTurn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	j := &grepJob{out: make(chan []byte, 2), ctx: ctx}
	flushed := make(chan error)
	go func() {
		for range 4 {
			j.buf.WriteString("found")
			flushed <- j.flush()
		}
	}()
	for range 2 {
		if err := <-flushed; err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-flushed:
		t.Fatalf("a third chunk was handed on while two wait: %v", err)
	case <-time.After(10 * time.Millisecond):
	}
	<-j.out // its turn has come
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-flushed; !errors.Is(err, context.Canceled) || len(j.out) != 2 {
		t.Errorf("after the end: %v with %d chunks", err, len(j.out))
	}
}

func TestRecordCache(t *testing.T) {
	r, err := openRecordCache(filepath.Join(t.TempDir(), "records"))
	if err != nil {
		t.Fatal(err)
	}
	kept := vitrine.SignedRecord{Record: "record", Signature: "signature"}
	r.put("page", kept)
	if got := r.get("page"); got != kept {
		t.Errorf("got %v", got)
	}
	r.put("large", vitrine.SignedRecord{Record: strings.Repeat("x", maxCachedRecord)})
	if got := r.get("large"); got != (vitrine.SignedRecord{}) {
		t.Error("a record beyond the bound was kept")
	}
	if err := os.WriteFile(r.file("broken"), []byte(`{"record":"x",`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := r.get("broken"); got != (vitrine.SignedRecord{}) {
		t.Errorf("of a broken file came %v", got)
	}
	for i := range 20 {
		r.put(fmt.Sprint(i), kept)
	}
	if err := r.prune(20); err != nil {
		t.Fatal(err)
	}
	left := func() int {
		entries, _ := os.ReadDir(r.dir)
		return len(entries)
	}
	if n := left(); n != 11 {
		t.Errorf("%d of 22 records are left, want the newer half", n)
	}
	for i := range 30 { // of one search of a long history
		r.put(fmt.Sprint("more", i), kept)
	}
	if n := left(); n != 20 {
		t.Errorf("%d records are kept, where there is room for 20", n)
	}
}
