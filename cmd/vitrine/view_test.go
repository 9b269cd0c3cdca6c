package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"vitrine"
	"vitrine/summary"
	"vitrine/view"
)

// [!] look FILE PATH OUT waits until the address of a view stands in a file, and
// writes what is there below it, or why it is not, into OUT.
func scriptLook(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: look FILE PATH OUT")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	address := regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+/[A-Za-z0-9_-]{43}/`)
	for {
		text, _ := os.ReadFile(ts.MkAbs(args[0]))
		if found := address.Find(text); found != nil {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, string(found)+strings.TrimPrefix(args[1], "."), nil)
			ts.Check(err)
			resp, err := http.DefaultClient.Do(req)
			ts.Check(err)
			defer resp.Body.Close()
			text := io.Reader(resp.Body)
			if resp.Header.Get("Content-Type") == "text/event-stream" { // it stays open
				text = io.LimitReader(text, 1)
			}
			body, err := io.ReadAll(text)
			ts.Check(err)
			if (resp.StatusCode != http.StatusOK) != neg {
				ts.Fatalf("%s: %s", resp.Status, body)
			}
			ts.Check(os.WriteFile(ts.MkAbs(args[2]), body, 0o644))
			return
		}
		if ctx.Err() != nil {
			ts.Fatalf("%s has no address: %s", args[0], text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestWhyGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			comes bool
			want  string
		}{
			{false, "nobody opened the page for 15 minutes"},
			{true, "the tab was closed"},
		} {
			s, path, err := view.New("127.0.0.1:1", view.Build{})
			if err != nil {
				t.Fatal(err)
			}
			if test.comes {
				s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "http://127.0.0.1:1"+path, nil))
			}
			<-s.Gone()
			if got := whyGone(s); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			s.Close()
		}
	})
}

func TestBrowserCommand(t *testing.T) {
	for _, test := range []struct {
		browser, system, file string
		want                  []string
	}{
		{"", "linux", "/tmp/a/open.html", []string{"xdg-open", "/tmp/a/open.html"}},
		{"", "freebsd", "/tmp/a/open.html", []string{"xdg-open", "/tmp/a/open.html"}},
		{"", "darwin", "/tmp/a/open.html", []string{"open", "/tmp/a/open.html"}},
		{"", "windows", `C:\a\open.html`, []string{"rundll32", "url.dll,FileProtocolHandler", `C:\a\open.html`}},
		{" ", "linux", "/tmp/open.html", []string{"xdg-open", "/tmp/open.html"}},
		{"firefox", "linux", "/tmp/a b/open.html", []string{"firefox", "file:///tmp/a%20b/open.html"}},
		{"chromium --new-window %s:w3m", "linux", "/tmp/open.html", []string{"chromium", "--new-window", "file:///tmp/open.html"}},
	} {
		if got := browserCommand(test.browser, test.system, test.file); !slices.Equal(got, test.want) {
			t.Errorf("%q on %s: %q, want %q", test.browser, test.system, got, test.want)
		}
	}
}

func TestCutFragment(t *testing.T) {
	for arg, want := range map[string][2]string{
		"3f0c":               {"3f0c", ""},
		"a.log#L120":         {"a.log", "#L120"},
		"a.log#L120-L140":    {"a.log", "#L120-L140"},
		"https://v/t/b/u#L1": {"https://v/t/b/u", "#L1"},
		"#L120":              {"#L120", ""},
		"a#L":                {"a#L", ""},
		"a#L1-":              {"a#L1-", ""},
		"a#L1-140":           {"a", "#L1-140"},
		"a#L1#L2":            {"a#L1", "#L2"},
		"a#L1\n":             {"a#L1\n", ""},
		"a#L<script>":        {"a#L<script>", ""},
	} {
		if name, fragment := cutFragment(arg); name != want[0] || fragment != want[1] {
			t.Errorf("%q: %q and %q", arg, name, fragment)
		}
	}
}

func TestFirstLog(t *testing.T) {
	sealed := func(name string, size int64) vitrine.Artifact {
		return vitrine.Artifact{Name: name, Path: name + vitrine.SealedSuffix, Sealed: true, MediaType: "text/plain", PlainSize: size}
	}
	record := &vitrine.Record{Artifacts: []vitrine.Artifact{sealed("a.log", 5), sealed("b.log", 9), sealed("c.log", 7), sealed("d.log", 1)}}
	notes := []summary.Note{{Line: 1}}
	for _, test := range []struct {
		name string
		told *summary.Summary
		want string
	}{
		{"the last failure", &summary.Summary{Logs: []summary.Log{{Path: "a.log", Failures: notes}, {Path: "c.log", Failures: notes}, {Path: "d.log", Errors: notes}}}, "c.log"},
		{"the last error", &summary.Summary{Logs: []summary.Log{{Path: "a.log", Errors: notes}, {Path: "d.log", Warnings: notes}, {Path: "gone.log", Errors: notes}}}, "a.log"},
		{"warnings alone", &summary.Summary{Logs: []summary.Log{{Path: "a.log", Warnings: notes}}}, "b.log"},
		{"no summary", nil, "b.log"},
	} {
		if got := firstLog(record, test.told); len(got) != 1 || got[0].Name != test.want {
			t.Errorf("%s: %v, want %s", test.name, got, test.want)
		}
	}
	if got := firstLog(&vitrine.Record{}, nil); len(got) != 0 {
		t.Errorf("of no artifacts: %v", got)
	}
}

func TestCutLinks(t *testing.T) {
	for _, test := range []struct {
		args     []string
		names    string
		fragment string
		refused  string
	}{
		{[]string{"3f0c"}, "3f0c", "", ""},
		{[]string{"3f0c#L5"}, "3f0c", "#L5", ""},
		{[]string{"3f0c", "a#b.log#L5-9"}, "3f0c|a#b.log", "#L5-9", ""},
		{[]string{"https://v/t/b/u#a.log#L5-L9"}, "https://v/t/b/u|a.log", "#L5-L9", ""},
		{[]string{"https://v/t/b/u#logs%2Fsystem%20log.txt%23L5-L9"}, "https://v/t/b/u|logs/system log.txt", "#L5-L9", ""},
		{[]string{"u#a.log#L5", "a.log"}, "u|a.log", "#L5", ""},
		{[]string{"u#a#b.log%23L5"}, "u|a#b.log", "#L5", ""},
		{[]string{"u#a.log#L5", "b.log"}, "", "", "want one of them"},
		{[]string{"u#L5", "a.log#L6"}, "", "", "#L5 and #L6: want one of them"},
		{[]string{"u#L9-L5"}, "", "", "#L9-L5: want"},
		{[]string{"u", "a.log#L9-5"}, "", "", "#L9-5: want"},
		{[]string{"u#L0"}, "", "", "#L0: want"},
		{[]string{"u#%zz#L5"}, "u|%zz", "#L5", ""},
		{[]string{"#a.log#L5"}, "#a.log#L5", "", ""},
		{[]string{"u#a.log"}, "u|a.log", "", ""},
		{[]string{"u#logs%2Fa%20b.txt"}, "u|logs/a b.txt", "", ""},
		{[]string{"u#a.log", "a.log#L5"}, "u|a.log", "#L5", ""},
		{[]string{"u#a.log", "b.log"}, "", "", "want one of them"},
		{[]string{"u#"}, "u", "", ""},
	} {
		names, fragment, err := cutLinks(test.args, nil)
		if test.refused != "" {
			if err == nil || !strings.Contains(err.Error(), test.refused) {
				t.Errorf("%q: %v, want %q", test.args, err, test.refused)
			}
			continue
		}
		if err != nil || strings.Join(names, "|") != test.names || fragment != test.fragment {
			t.Errorf("%q: %q and %q, %v", test.args, names, fragment, err)
		}
	}
	if names, fragment, err := cutLinks(nil, []string{"a#b.log#L5"}); err != nil || fragment != "#L5" || names[0] != "a#b.log" {
		t.Errorf("a file: %q, %q, %v", names, fragment, err)
	}
}

// The one log is meant, whatever other text lies beside it.
func TestLikelyLogs(t *testing.T) {
	sealed := func(name, mediaType string) vitrine.Artifact {
		return vitrine.Artifact{Name: name, Path: name + vitrine.SealedSuffix, Sealed: true, MediaType: mediaType}
	}
	public := func(name, mediaType string) vitrine.Artifact {
		return vitrine.Artifact{Name: name, Path: name, MediaType: mediaType}
	}
	for _, test := range []struct {
		artifacts []vitrine.Artifact
		want      string // nothing: none, or more than one
	}{
		{[]vitrine.Artifact{sealed("a.log", "text/plain"), sealed("report.html", "text/html"), public("b.log", "text/plain")}, "a.log"},
		{[]vitrine.Artifact{sealed("report.html", "text/html"), public("b.log", "text/plain")}, "report.html"},
		{[]vitrine.Artifact{public("b.log", "text/plain"), public("results.json", "application/json")}, "b.log"},
		{[]vitrine.Artifact{sealed("a.log", "text/plain"), sealed("b.log", "text/plain")}, ""},
		{nil, ""},
	} {
		got := likelyLogs(&vitrine.Record{Artifacts: test.artifacts})
		if (len(got) == 1) != (test.want != "") || len(got) == 1 && got[0].Name != test.want {
			t.Errorf("of %v: %v, want %q", test.artifacts, got, test.want)
		}
	}
}
