package grep

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxLiterals bounds the literals one of which is looked for.
	maxLiterals = 16
	// maxClass is how many characters a class may have whose literals are made.
	maxClass = 10
)

// literals are what a pattern tells of the texts that match it.
type literals struct {
	any  []string // one of these is in each; nil if nothing is known
	fold bool     // their ASCII letters, which are lower ones, match in either case
	// whole says that what has one of them matches: there is nothing else to it.
	whole bool
}

// literalsOf finds the literals of a parsed pattern.
func literalsOf(re *syntax.Regexp) literals {
	e := extractor{fold: has(re, func(re *syntax.Regexp) bool {
		return re.Op == syntax.OpLiteral && re.Flags&syntax.FoldCase != 0
	})}
	k := e.of(re)
	l := literals{any: k.best(), fold: e.fold}
	// Where some letters are folded and some are not, all were taken as folded.
	l.whole = k.exact != nil && !has(re, func(re *syntax.Regexp) bool {
		switch re.Op {
		case syntax.OpLiteral:
			return e.fold && re.Flags&syntax.FoldCase == 0
		case syntax.OpCharClass:
			return e.fold
		case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
			syntax.OpWordBoundary, syntax.OpNoWordBoundary:
			return true
		}
		return false
	})
	// What ends a line is not part of what is searched.
	for _, s := range l.any {
		l.whole = l.whole && !strings.ContainsAny(s, "\r\n")
	}
	if slices.Contains(l.any, "") {
		return literals{}
	}
	return l
}

// has reports whether a part of a pattern is such a one.
func has(re *syntax.Regexp, is func(*syntax.Regexp) bool) bool {
	return is(re) || slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return has(sub, is) })
}

// known is what is known of the texts that a part of a pattern matches.
type known struct {
	exact    []string // it is one of these; nil if they are too many
	required []string // one of these is in it; nil if that is not known
}

// best are the texts of which one is in each match.
func (k known) best() []string { return better(k.exact, k.required) }

// better is whichever of two sets tells more: the one whose shortest is longer.
func better(a, b []string) []string {
	if x, y := shortest(a), shortest(b); y > x || y == x && len(b) < len(a) {
		return b
	}
	return a
}

func shortest(set []string) int {
	if set == nil {
		return -1
	}
	n := len(set[0])
	for _, s := range set {
		n = min(n, len(s))
	}
	return n
}

type extractor struct{ fold bool }

// of finds what is known of a part of a pattern. The depth of a pattern is
// bounded by its parser.
func (e extractor) of(re *syntax.Regexp) known {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return known{exact: []string{""}}
	case syntax.OpLiteral:
		parts := make([]known, len(re.Rune))
		for i, r := range re.Rune {
			parts[i].exact = e.character(r, re.Flags&syntax.FoldCase != 0)
		}
		return sequence(parts)
	case syntax.OpCharClass:
		return known{exact: e.class(re.Rune)}
	case syntax.OpCapture:
		return e.of(re.Sub[0])
	case syntax.OpPlus:
		return known{required: e.of(re.Sub[0]).best()}
	case syntax.OpQuest:
		if k := e.of(re.Sub[0]); k.exact != nil && len(k.exact) < maxLiterals {
			return known{exact: union(k.exact, []string{""})}
		}
	case syntax.OpConcat:
		parts := make([]known, len(re.Sub))
		for i, sub := range re.Sub {
			parts[i] = e.of(sub)
		}
		return sequence(parts)
	case syntax.OpAlternate:
		return e.alternate(re.Sub)
	}
	return known{}
}

func (e extractor) alternate(subs []*syntax.Regexp) known {
	first := e.of(subs[0])
	k := known{exact: first.exact, required: first.best()}
	for _, sub := range subs[1:] {
		s := e.of(sub)
		k.exact = either(k.exact, s.exact)
		k.required = either(k.required, s.best())
	}
	return k
}

// either is one of two sets as one; nil if one is not known, or if they are too many.
func either(a, b []string) []string {
	if a == nil || b == nil {
		return nil
	}
	if all := union(a, b); len(all) <= maxLiterals {
		return all
	}
	return nil
}

// sequence is what is known of parts one after another.
func sequence(parts []known) known {
	run := []string{""} // what ends here is one of these
	exact := true
	var best []string
	for _, p := range parts {
		if p.exact != nil && len(run)*len(p.exact) <= maxLiterals {
			run = product(run, p.exact)
			continue
		}
		exact = false
		best = better(best, run)
		best = better(best, p.required)
		run = []string{""}
		if p.exact != nil {
			run = p.exact
		}
	}
	if exact {
		return known{exact: run}
	}
	return known{required: better(best, run)}
}

func product(a, b []string) []string {
	var all []string
	for _, x := range a {
		for _, y := range b {
			all = append(all, x+y)
		}
	}
	return union(all, nil)
}

// union joins two sets.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// character is what a character of a pattern matches, nil if that is more than
// can be looked for.
func (e extractor) character(r rune, fold bool) []string {
	var set []string
	add := func(r rune) {
		if r < utf8.RuneSelf && e.fold {
			r = rune(lower(byte(r)))
		}
		set = append(set, string(r))
	}
	// A byte that is no UTF-8 counts as U+FFFD.
	if r == utf8.RuneError || !utf8.ValidRune(r) {
		return nil
	}
	add(r)
	if fold {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			add(f)
		}
	}
	return union(set, nil)
}

// class is what a class of characters matches, which are in ranges.
func (e extractor) class(ranges []rune) []string {
	var set []string
	for i := 0; i < len(ranges); i += 2 {
		if ranges[i+1]-ranges[i] >= maxClass || len(set) > maxClass {
			return nil
		}
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			one := e.character(r, false)
			if one == nil {
				return nil
			}
			set = append(set, one...)
		}
	}
	if len(set) == 0 || len(set) > maxClass {
		return nil
	}
	return union(set, nil)
}
