package vitrine_test

import (
	"strings"
	"testing"

	"vitrine"
)

func TestGlob(t *testing.T) {
	for _, test := range []struct {
		pattern string
		yes, no string // space-separated
	}{
		{"infra-prod-service-codesearch", "infra-prod-service-codesearch", "infra-prod-service-codesearch2 xinfra-prod-service-codesearch infra-prod"},
		{"infra-prod-*", "infra-prod- infra-prod-x infra-prod-a-b", "infra-prod infra-prod-a/b xinfra-prod-a"},
		{"*", "a abc", "a/b /"},
		{"**", "a a/b /", ""},
		{"screenshots/**.png", "screenshots/a.png screenshots/a/b.png screenshots/.png", "screenshots/a.jpg a/screenshots/a.png screenshotsa.png"},
		{"screenshots/*.png", "screenshots/a.png", "screenshots/a/b.png screenshots/aXpng"},
		{"a.b", "a.b", "aXb a.b.c"},
		{"a+(b)^$|", "a+(b)^$|", "aa a"},
		{"*-*", "a-b -", "a ab a/-b"},
		{"***", "abc a/b", ""},
		{"Ä*", "Ä Äx", "ä"},
	} {
		g, err := vitrine.ParseGlob(test.pattern)
		if err != nil {
			t.Errorf("ParseGlob(%q): %v", test.pattern, err)
			continue
		}
		if g.String() != test.pattern {
			t.Errorf("%q is now %q", test.pattern, g)
		}
		for _, s := range strings.Fields(test.yes) {
			if !g.Match(s) {
				t.Errorf("%q does not match %q", test.pattern, s)
			}
		}
		for _, s := range strings.Fields(test.no) {
			if g.Match(s) {
				t.Errorf("%q matches %q", test.pattern, s)
			}
		}
	}
	g, err := vitrine.ParseGlob("a**")
	if err != nil || !g.Match("a\nb") || !g.Match("a\n") || g.Match("\na") {
		t.Errorf("newlines: %v", err)
	}
	if (vitrine.Glob{}).Match("") || (vitrine.Glob{}).Match("x") {
		t.Error("no pattern matches something")
	}
}

func TestParseGlobRefuses(t *testing.T) {
	for _, p := range []string{"", strings.Repeat("x", vitrine.MaxString+1), strings.Repeat("*", 9), "a?", "[a]", "{a,b}", `a\*`, "a\xff"} {
		if g, err := vitrine.ParseGlob(p); err == nil {
			t.Errorf("ParseGlob(%q) gave %v", p, g)
		}
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("infra-*", "infra-x")
	f.Add("a**b*c", "a/b/c")
	f.Add(".^$", "x")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		g, err := vitrine.ParseGlob(pattern)
		if err != nil {
			return
		}
		if plain := !strings.Contains(pattern, "*"); plain && g.Match(s) != (pattern == s) {
			t.Errorf("%q without a star, on %q: %v", pattern, s, g.Match(s))
		}
		if g.Match(s) && len(s) < len(strings.ReplaceAll(pattern, "*", "")) {
			t.Errorf("%q matches the shorter %q", pattern, s)
		}
	})
}
