package vitrine_test

import (
	"strings"
	"testing"

	"vitrine"
)

// T-8.5: no published file can be written outside of its folder, over a file
// that matters, or not at all, on any system a reader may have.
func TestValidPath(t *testing.T) {
	for _, p := range []string{
		"a", "log.txt", "a/b/c.log", "service-codesearch.yaml.log", "A_b+c@d=e,f-g", "1", "x.tar.gz", "@types/x", "-", "a..b", "console", "com", "com10", "nullable.txt", "aux_x",
		strings.Repeat("x", vitrine.MaxPath), strings.Repeat("a/", vitrine.MaxPath/2-1) + "ab",
	} {
		if err := vitrine.ValidPath(p); err != nil {
			t.Errorf("ValidPath(%q): %v", p, err)
		}
	}
	for _, p := range []string{
		"", ".", "..", "/", "/x", "//x", "../x", "a/../../x", "a/..", "a/./b", "./a", "a/", "a//b", "../", "a/../b",
		`C:\x`, "C:/x", "c:x", `a\b`, `..\x`, `\\server\share`, "a:stream", "CON", "con", "Con.txt", "a/PRN", "a/aux.log/b", "NUL", "com1", "LPT9.txt", "CONIN$", "COM0",
		"a\x00b", "a\nb", "a\tb", "a\x1b[2J", "a b", " a", "a ", "ä", "a\u202eb", "a\xffb", "\u2025/x", "．．/x",
		".git/config", "a/.git/config", ".env", ".hidden", "...", "a/...", "a.", "a./b", "a/b.", "a?", "a*", "<a>", "a|b", `"a"`, "a;b", "$a", "`a`", "~", "~/x", "%2e%2e/x", "a#b", "a&b",
		strings.Repeat("x", vitrine.MaxPath+1), strings.Repeat("a/", vitrine.MaxPath/2) + "a",
	} {
		if vitrine.ValidPath(p) == nil {
			t.Errorf("ValidPath(%q) accepts it", p)
		}
	}
}

func TestPlainPath(t *testing.T) {
	for _, test := range []struct {
		path   string
		sealed bool
		want   string
	}{
		{"a.log.zst.age", true, "a.log"}, {"a.png.age", true, "a.png"}, {"a.zst.age", true, "a"}, {"a.age.zst.age", true, "a.age"},
		{"a.png", false, "a.png"}, {"a.age", false, "a.age"}, {"d.zst.age/a.age", true, "d.zst.age/a"},
	} {
		if got := (vitrine.Artifact{Path: test.path, Sealed: test.sealed}).PlainPath(); got != test.want {
			t.Errorf("PlainPath of %q, sealed %v: %q, want %q", test.path, test.sealed, got, test.want)
		}
	}
}
