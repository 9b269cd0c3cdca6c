package keyring

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// maxProblems bounds what a hostile keyring can make us print.
const maxProblems = 1000

// A Problem is one thing that is wrong with a keyring, or may soon be.
type Problem struct {
	File    string `json:"file"` // relative to the keyring, slash-separated
	Line    int    `json:"line"` // from 1; 0 is the file as a whole
	Message string `json:"message"`
	Warning bool   `json:"warning"`
}

// String is the problem on one line, file and line first, without a control
// character.
func (p Problem) String() string {
	file := p.File
	if strings.ContainsFunc(file, func(c rune) bool { return c > unicode.MaxASCII || !unicode.IsPrint(c) }) {
		file = strconv.QuoteToASCII(file)
	}
	if p.Line == 0 {
		return file + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d: %s", file, p.Line, p.Message)
}

// Invalid is the error of a keyring that can't be used. Problems has the errors
// and the warnings, in the order of files and lines.
type Invalid struct {
	Problems []Problem
}

// Error lists the errors, one a line.
func (e *Invalid) Error() string {
	lines := []string{"the keyring is not valid"}
	for _, p := range e.Problems {
		if !p.Warning {
			lines = append(lines, p.String())
		}
	}
	return strings.Join(lines, "\n  ")
}

// A report collects problems, so that all are told at once.
type report struct {
	problems []Problem
	errors   int
}

func (r *report) errorf(file string, line int, format string, a ...any) {
	r.errors++
	if r.errors <= maxProblems {
		r.problems = append(r.problems, Problem{file, line, fmt.Sprintf(format, a...), false})
	}
}

func (r *report) warnf(file string, line int, format string, a ...any) {
	if len(r.problems) < 2*maxProblems {
		r.problems = append(r.problems, Problem{file, line, fmt.Sprintf(format, a...), true})
	}
}

// sorted returns the problems in the order of files and lines.
func (r *report) sorted() []Problem {
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Message, b.Message))
	})
	return r.problems
}

// didYouMean returns a hint at the known word nearest to a mistyped one, or "".
func didYouMean(word string, known []string) string {
	best, at := "", 3
	for _, k := range slices.Sorted(slices.Values(known)) {
		if d := distance(word, k); d < at && d < len(k) {
			best, at = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance is the number of bytes to insert, delete or replace between a and b,
// or a large number for words that are far apart in length alone.
func distance(a, b string) int {
	if len(a) > len(b)+2 || len(b) > len(a)+2 {
		return len(a) + len(b)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d++
			}
			diagonal = row[j+1]
			row[j+1] = min(d, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
