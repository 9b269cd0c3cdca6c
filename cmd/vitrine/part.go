package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"vitrine/grep"
)

// A part is the part of a log that is asked for.
type part struct {
	kind     partKind
	from, to int64         // as kind says; both included, and to is -1 for the end
	pattern  *grep.Pattern // of aroundMatch
	said     string        // the pattern, as it was given
}

type partKind int

const (
	wholeLog    partKind = iota
	lineRange            // lines, counted from 1
	byteRange            // bytes, counted from 0
	lastLines            // the last from lines
	aroundMatch          // from lines before and after the first that matches
)

// partFlags gives a command the flags that say which part of a log.
func partFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("lines", "", "only these `lines`: A-B, A- for all from A on, or A")
	f.Int64("from-line", 0, "only from this `line` on")
	f.String("bytes", "", "only these `bytes`, as --lines, but counted from 0")
	f.String("around", "", "only the first line that matches this `regexp`, and some around it")
	f.IntP("context", "C", 20, "with --around: this `number` of lines before and after")
	f.BoolP("line-numbers", "n", false, "put the number of each line before it")
}

// maxContext bounds -C.
const maxContext = 1_000_000

// parsePart reads the part that flags or the arguments ask for, and returns the
// arguments without it.
func parsePart(cmd *cobra.Command, args []string) (part, []string, error) {
	var asked []string
	p := part{to: -1}
	args, fragment, err := cutLinks(args, nil)
	if err != nil {
		return p, nil, err
	}
	if fragment != "" {
		asked = append(asked, fragment)
		p.parseFragment(fragment) // which cutLinks has tried
	}
	f := cmd.Flags()
	if f.Changed("lines") {
		asked = append(asked, "--lines")
		v, _ := f.GetString("lines")
		if err := p.parseRange(lineRange, v, "--lines "+v); err != nil {
			return p, nil, err
		}
	}
	if f.Changed("from-line") {
		asked = append(asked, "--from-line")
		v, _ := f.GetInt64("from-line")
		if v < 1 {
			return p, nil, usagef("--from-line %d: want the number of a line, from 1 on", v)
		}
		p.kind, p.from = lineRange, v
	}
	if f.Changed("bytes") {
		asked = append(asked, "--bytes")
		v, _ := f.GetString("bytes")
		if err := p.parseRange(byteRange, v, "--bytes "+v); err != nil {
			return p, nil, err
		}
	}
	around := f.Changed("around")
	if around {
		asked = append(asked, "--around")
		v, _ := f.GetString("around")
		pattern, err := grep.Compile(v, false, false)
		if err != nil {
			return p, nil, usagef("--around: %v", err)
		}
		n, _ := f.GetInt("context")
		if n < 0 || n > maxContext {
			return p, nil, usagef("-C %d: want a number of lines from 0 to %d", n, maxContext)
		}
		p.kind, p.from, p.pattern, p.said = aroundMatch, int64(n), pattern, v
	}
	if f.Changed("context") && !around {
		return p, nil, usagef("-C goes with --around alone")
	}
	if len(asked) > 1 {
		return p, nil, usagef("%s: want one of them", strings.Join(asked, " and "))
	}
	return p, args, nil
}

// parseFragment reads the lines that a link ends in.
func (p *part) parseFragment(fragment string) error {
	return p.parseRange(lineRange, strings.NewReplacer("#", "", "L", "").Replace(fragment), fragment)
}

// parseRange reads A-B, A- or A.
func (p *part) parseRange(kind partKind, text, said string) error {
	first := int64(1)
	if kind == byteRange {
		first = 0
	}
	a, b, open := strings.Cut(text, "-")
	from, err := strconv.ParseUint(a, 10, 62)
	to := from
	if open && b == "" {
		p.kind, p.from, p.to = kind, int64(from), -1
	} else {
		if open && err == nil {
			to, err = strconv.ParseUint(b, 10, 62)
		}
		p.kind, p.from, p.to = kind, int64(from), int64(to)
	}
	if err != nil || p.from < first || p.to >= 0 && p.to < p.from {
		return usagef("%s: want A-B, A- or A, counted from %d, with B not before A", said, first)
	}
	return nil
}

// beyond reports whether the part begins where there can be nothing of it, as seen
// from the last line or byte. A range may begin right behind that, and is empty: so a
// script goes on from where it was. A single one has to be there.
func (p part) beyond(last int64) bool {
	return p.from > last+1 || p.from == last+1 && p.to == p.from
}

// find returns where in a log the part is: n bytes from off on.
func (p part) find(ctx context.Context, log *remoteLog) (off, n int64, err error) {
	size, end := log.Size(), log.Size()
	switch p.kind {
	case lastLines:
		off, err = log.Last(ctx, p.from)
	case byteRange:
		off = p.from
		if p.beyond(size - 1) {
			return 0, 0, fmt.Errorf("%s has %s: there is no byte %d", log.name, count(int(size), "byte"), off)
		}
		if p.to >= 0 {
			end = min(end, p.to+1)
		}
	case aroundMatch:
		o := grep.Options{Max: 1}
		if o.Within, _, err = mayHold(log.sealed, p.pattern.Query()); err != nil {
			return 0, 0, log.explain(err)
		}
		var at int64
		found, err := p.pattern.Search(ctx, log.Log, o, func(l grep.Line) error {
			at = l.Number
			return nil
		})
		if err != nil {
			return 0, 0, log.explain(err)
		} else if found == 0 {
			return 0, 0, fmt.Errorf("no line of %s matches %q", log.name, p.said)
		}
		return part{kind: lineRange, from: max(1, at-p.from), to: at + p.from}.find(ctx, log)
	case lineRange:
		off, err = log.Offset(ctx, p.from)
		if err == nil && off >= size {
			lines, err := log.Count(ctx)
			if err != nil {
				return 0, 0, log.explain(err)
			}
			if p.beyond(lines) {
				return 0, 0, fmt.Errorf("%s has %s: there is no line %d", log.name, count(int(lines), "line"), p.from)
			}
		}
		if err == nil && p.to >= 0 {
			end, err = log.Offset(ctx, p.to+1)
		}
	}
	if err != nil {
		return 0, 0, log.explain(err)
	}
	return off, max(0, end-off), nil
}
