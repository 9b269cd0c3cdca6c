package vitrine

import (
	"fmt"
	"regexp"
	"strings"
)

// A Glob is a pattern for job names and artifact paths: * stands for any run of
// characters but the slash, ** for any run, and everything else for itself.
type Glob struct {
	pattern string
	re      *regexp.Regexp
}

// ParseGlob parses a pattern of at most [MaxString] bytes and at most eight stars.
func ParseGlob(pattern string) (Glob, error) {
	if pattern == "" || len(pattern) > MaxString || strings.Count(pattern, "*") > 8 {
		return Glob{}, fmt.Errorf("pattern %q: want 1 to %d bytes and at most eight *", pattern, MaxString)
	}
	if i := strings.IndexAny(pattern, `?[]{}\`); i >= 0 {
		return Glob{}, fmt.Errorf("pattern %q: %q has no meaning here; only * and ** do", pattern, pattern[i])
	}
	quoted := regexp.QuoteMeta(pattern)
	quoted = strings.ReplaceAll(quoted, `\*\*`, `.*`)
	quoted = strings.ReplaceAll(quoted, `\*`, `[^/]*`)
	re, err := regexp.Compile(`\A(?s:` + quoted + `)\z`)
	if err != nil {
		return Glob{}, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	return Glob{pattern: pattern, re: re}, nil
}

// Match reports whether the pattern stands for the whole of s.
func (g Glob) Match(s string) bool { return g.re != nil && g.re.MatchString(s) }

// String is the pattern.
func (g Glob) String() string { return g.pattern }
