// Package grep searches logs for a pattern, and passes over what can't match.
//
// It reads logs and prints nothing. It must hold memory for some pieces of a log
// at a time, give matches in the order of the log, and never leave one out: what
// helps it to skip (literals of the pattern, the n-grams sealed with a log) may
// only ever say what is not there.
package grep

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"vitrine/ngram"
)

// A Pattern is what is looked for, in Go's syntax (RE2). It is held against
// lines, without their line feed or the carriage return before that. It is safe
// for concurrent use.
type Pattern struct {
	re       *regexp.Regexp
	literals literals
	finders  finders // of the literals
}

// Compile makes a pattern; fixed takes the text as it stands.
func Compile(text string, fixed, ignoreCase bool) (*Pattern, error) {
	if strings.Contains(text, "\n") {
		return nil, errors.New("the pattern has a line feed, and is held against single lines")
	}
	expr := text
	if fixed {
		expr = regexp.QuoteMeta(text)
	}
	flags := syntax.Perl
	if ignoreCase {
		flags |= syntax.FoldCase
	}
	// Parsed as it was given, so that an error shows that and nothing around it.
	parsed, err := syntax.Parse(expr, flags)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", text, err)
	}
	if ignoreCase {
		expr = "(?i)" + expr
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", text, err)
	}
	p := &Pattern{re: re, literals: literalsOf(parsed.Simplify())}
	for _, l := range p.literals.any {
		p.finders = append(p.finders, newFinder(l, p.literals.fold))
	}
	return p, nil
}

// Query is what the n-grams of a log are asked.
func (p *Pattern) Query() ngram.Query {
	if len(p.literals.any) == 0 {
		return ngram.Query{}
	}
	return ngram.NewQuery(p.literals.any...)
}

// matches reports whether a line matches which has one of the literals.
func (p *Pattern) matches(line []byte) bool { return p.literals.whole || p.re.Match(line) }

// maxMatches bounds the matches that are told of one line.
const maxMatches = 1000

// find appends where the pattern matches in a line.
func (p *Pattern) find(found [][2]int, line []byte) [][2]int {
	if p.literals.whole && len(p.finders) == 1 {
		f := p.finders[0]
		for at := 0; len(found) < maxMatches; {
			n := f.index(line[at:])
			if n < 0 {
				break
			}
			found = append(found, [2]int{at + n, at + n + len(f.text)})
			at += n + len(f.text)
		}
		return found
	}
	for _, m := range p.re.FindAllIndex(line, maxMatches) {
		found = append(found, [2]int(m))
	}
	return found
}
