// Package grep searches logs for a pattern, on all cores, and passes over what
// can't match.
//
// It reads logs and prints nothing. It must hold memory for some pieces of a log
// at a time, give matches in the order of the log, and never leave one out: what
// helps it to skip (literals of the pattern, the n-grams sealed with a log) may
// only ever say what is not there.
package grep

import (
	"context"
	"errors"

	"vitrine/lines"
	"vitrine/ngram"
)

// A Pattern is what is looked for, in Go's syntax (RE2).
type Pattern struct{}

// Compile makes a pattern; fixed takes the text as it stands.
func Compile(text string, fixed, ignoreCase bool) (*Pattern, error) {
	return nil, errors.ErrUnsupported
}

// Query is what the n-grams of a log are asked.
func (p *Pattern) Query() ngram.Query { return ngram.Query{} }

// Options say what is wanted of a log.
type Options struct {
	Before, After int   // lines around each match
	Max           int64 // matches, at the most; 0: all
	CountOnly     bool  // no lines are given
}

// A Line is a line that matches, or one around it.
type Line struct {
	Number  int64 // from 1
	Offset  int64
	Text    []byte   // without its line feed; of a long line, the piece that matches
	Matches [][2]int // in Text; none: a line around a match
}

// Search calls each for the lines of a log in their order, and returns how many
// match. each may end it by an error.
func (p *Pattern) Search(ctx context.Context, log *lines.Log, o Options, each func(Line) error) (matches int64, err error) {
	return 0, errors.ErrUnsupported
}
