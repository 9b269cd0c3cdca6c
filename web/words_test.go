package web

import (
	"fmt"
	"io/fs"
	"math"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vitrine"
)

func TestWords(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{duration(0), "0 s"}, {duration(-time.Hour), "0 s"}, {duration(48 * time.Second), "48 s"},
		{duration(202 * time.Second), "3 min 22 s"}, {duration(123 * time.Second), "2 min 03 s"},
		{duration(64 * time.Minute), "1 h 04 min"}, {duration(51 * time.Hour), "2 d 3 h"}, {duration(24*time.Hour + 59*time.Minute), "1 d"},
		{size(0), "0 B"}, {size(999), "999 B"}, {size(1000), "1 KB"}, {size(48213), "48 KB"},
		{size(999_499), "999 KB"}, {size(999_999), "1.0 MB"}, {size(1_912_345), "1.9 MB"},
		{size(12_000_000), "12 MB"}, {size(math.MaxInt64), "9223 PB"},
		{count(0), "0"}, {count(999), "999"}, {count(1000), "1,000"}, {count(894201), "894,201"}, {count(-1000), "-1,000"}, {count(-100), "-100"},
		{ago(testNow, testNow), "just now"}, {ago(testNow, testNow.Add(time.Hour)), "just now"},
		{ago(testNow, testNow.Add(-61*time.Second)), "1 min ago"}, {ago(testNow, testNow.Add(-119*time.Minute)), "1 h ago"},
		{ago(testNow, testNow.Add(-25*time.Hour)), "yesterday"}, {ago(testNow, testNow.Add(-50*time.Hour)), "2 days ago"},
		{ago(testNow, testNow.Add(-40*24*time.Hour)), "13 Oct 2026"},
		{cut(strings.Repeat("W", 64)), strings.Repeat("W", 64)},
		{cut(strings.Repeat("a", 255) + "z"), strings.Repeat("a", 40) + "…" + strings.Repeat("a", 19) + "z"},
		{id(strings.Repeat("ab", 16)), "ababababab"}, {id("not hex, rather long"), "not hex, rather long"}, {id(""), ""},
		{operand("-rf"), "-- -rf"}, {operand("a/-b"), "a/-b"},
		{webLink("https://example.org/x"), "https://example.org/x"}, {webLink("javascript:alert(1)"), ""},
		{webLink("https://u:p@example.org"), ""}, {webLink("//example.org"), ""}, {webLink("https:"), ""}, {webLink("%zz"), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// TestEveryResultHasWords: no result that a record may have shows as its code.
func TestEveryResultHasWords(t *testing.T) {
	for _, r := range vitrine.Results {
		o, ok := outcomes[r]
		if !ok || o.Word == "" || strings.Contains(o.Word, "_") {
			t.Errorf("%s: %+v", r, o)
		}
	}
	if len(outcomes) != len(vitrine.Results) {
		t.Errorf("%d outcomes for %d results", len(outcomes), len(vitrine.Results))
	}
	if o := outcomeOf(testBuild(1, "NEW_ONE", 0, 0)); o.Word != "NEW_ONE" {
		t.Errorf("an unknown result shows as %+v", o)
	}
}

func TestPaths(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{BuildPath("t", "abc"), "/t/t/build/abc"},
		{ServicePath("a b", "x/y?z"), "/t/a%20b/service/x%2Fy%3Fz"},
		{JobPath("t", "run <it>"), "/t/t/job/run%20%3Cit%3E"},
		{JobPath("t", ".."), "/t/t/builds?job_name=.."},
		{JobPath("t", "a/b"), "/t/t/builds?job_name=a%2Fb"},
		{ArtifactPath("t", "u", "dir/a b.log"), "/api/v1/tenant/t/builds/u/artifacts/dir/a%20b.log"},
		{RecordPath("t", "u", false), "/api/v1/tenant/t/builds/u/build.json"},
		{SignaturePath("t", "u", true), "/api/v1/tenant/t/builds/u/started.json.sig"},
		{ArtifactPath("/t/", "u", "x"), "/api/v1/tenant/%2Ft%2F/builds/u/artifacts/x"},
		{BuildsPath("t", nil), "/t/t/builds"},
		{BuildsPath("t", url.Values{"result": {"A", "", "B"}, "skip": {"9"}, "before": {"c"}}), "/t/t/builds?before=c&result=A&result=B"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

// TestChips: each chip's link takes away its own value and nothing else, and
// leads to the first page.
func TestChips(t *testing.T) {
	d := document{Layout: testLayout}
	chips := d.Chips(BuildsPage{Filter: url.Values{"result": {"SUCCESS", "FAILURE"}, "job_name": {"a*"}, "before": {"c"}}})
	var got []string
	for _, c := range chips {
		got = append(got, c.Name+"="+c.Value+" "+c.Path)
	}
	want := []string{
		"job=a* /t/opendev/builds?result=SUCCESS&result=FAILURE",
		"result=Succeeded /t/opendev/builds?job_name=a%2A&result=FAILURE",
		"result=Failed /t/opendev/builds?job_name=a%2A&result=SUCCESS",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestStrip: oldest first, the present one marked, never wider than its frame.
func TestStrip(t *testing.T) {
	var history []vitrine.Build
	for i := range 60 {
		history = append(history, testBuild(i, vitrine.Success, time.Duration(i)*time.Hour, time.Duration(i)*time.Minute))
	}
	history[0].Result = vitrine.Failure
	s := document{Layout: testLayout}.Strip(history, history[3].UUID)
	if len(s.Bars) != HistoryLength || s.Bars[0].X != 0 || s.Empty != 0 {
		t.Fatalf("%d bars from %d, %d empty", len(s.Bars), s.Bars[0].X, s.Empty)
	}
	for i, b := range s.Bars {
		if b.Current != (i == HistoryLength-4) {
			t.Errorf("bar %d: current %v", i, b.Current)
		}
		if b.Y < 0 || b.Y+b.H > 30 || b.X+5 > 236 {
			t.Errorf("bar %d leaves the frame: %+v", i, b)
		}
	}
	if last := s.Bars[HistoryLength-1]; last.Kind != "bad" || last.Y+last.H <= 26 {
		t.Errorf("the newest, which failed, does not hang below the line: %+v", last)
	}
}

// TestContrast computes what WCAG asks for from the palette: 4.5 for text, 3
// for shapes, on every ground that they are put on.
func TestContrast(t *testing.T) {
	css := string(assets["style.css"].Body)
	dark := strings.Index(css, "prefers-color-scheme: dark")
	themes := map[string]string{"light": css[:dark], "dark": css[dark : dark+strings.Index(css[dark:], "\n}\n")]}
	for theme, block := range themes {
		palette := make(map[string]float64)
		for _, m := range regexp.MustCompile(`--([a-z]+): #([0-9a-f]{6})`).FindAllStringSubmatch(block, -1) {
			palette[m[1]] = luminance(t, m[2])
		}
		if len(palette) != 13 {
			t.Fatalf("%s: %d colours, want 13", theme, len(palette))
		}
		check := func(front, back string, least float64) {
			a, b := palette[front], palette[back]
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < least {
				t.Errorf("%s: %s on %s is %.2f : 1, want %.1f", theme, front, back, ratio, least)
			}
		}
		for _, back := range []string{"ground", "panel"} {
			for _, text := range []string{"ink", "soft", "accent", "okword", "bad", "run", "lostword"} {
				check(text, back, 4.5)
			}
			for _, shape := range []string{"ok", "bad", "run", "lost"} {
				check(shape, back, 3)
			}
		}
		check("accent", "wash", 4.5)
		check("ink", "wash", 4.5)
		check("soft", "wash", 4.5)
	}
}

func luminance(t *testing.T, hex string) float64 {
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

func TestAssets(t *testing.T) {
	// Every script is one, and there are the style sheet and the icon.
	scripts, err := fs.Glob(files, "static/js/*.js")
	if err != nil || len(scripts) == 0 || len(Assets()) != len(scripts)+2 {
		t.Fatalf("%d assets of %d scripts, %v", len(Assets()), len(scripts), err)
	}
	for _, a := range Assets() {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest("GET", a.Path, nil))
		h := w.Result().Header
		if w.Body.String() != string(a.Body) || h.Get("Content-Type") != a.MediaType || !strings.Contains(h.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d bytes, %v", a.Path, w.Body.Len(), h)
		}
		w = httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest("HEAD", a.Path, nil))
		if w.Body.Len() != 0 || w.Result().Header.Get("Content-Length") != fmt.Sprint(len(a.Body)) {
			t.Errorf("HEAD %s: %d bytes", a.Path, w.Body.Len())
		}
	}
	if _, err := AssetPath("nope.css"); err == nil {
		t.Error("a path for an asset that is not there")
	}
}

// What did not run has no place in a rate of success, nor a colour.
func TestRan(t *testing.T) {
	for _, r := range vitrine.Results {
		if r.Ran() != (outcomes[r].Kind != "none") {
			t.Errorf("%s: ran is %t, its kind %s", r, r.Ran(), outcomes[r].Kind)
		}
	}
}

func TestCommandWords(t *testing.T) {
	for _, c := range []string{"", "vitrine verify 3f0c --keyring DIR", "--json -n 3 a-b --x", "a --keyring=/d -- <b>"} {
		var all, options []string
		for _, w := range commandWords(c) {
			all = append(all, w.Text)
			if w.Option {
				options = append(options, w.Text)
			}
		}
		if got := strings.Join(all, ""); got != c {
			t.Errorf("%q became %q", c, got)
		}
		if want := regexp.MustCompile(`\B--?[a-z]+`).FindAllString(strings.ReplaceAll(c, "a-b", "ab"), -1); !slices.Equal(options, want) {
			t.Errorf("%q: options %q, want %q", c, options, want)
		}
	}
}
