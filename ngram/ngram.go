// Package ngram makes small sets of the 4-grams of a text, which tell what the
// text can't hold. Letters are folded to lower case and all digits are one, so
// that a set stays small however many numbers a log has, and serves searches that
// ignore case too. docs/format.md says how a set is written.
//
// A set must never say no to a text that is there; that it says yes to one that
// is not costs time alone. What it parses is hostile: memory is bounded whatever
// a set claims.
package ngram

import "errors"

// A Set holds the 4-grams of a text.
type Set struct{ bits [1 << 20 / 64]uint64 }

// Add adds the 4-grams of a text. Those that reach from one text to the next
// are added by giving the last three bytes again.
func (s *Set) Add(text []byte) {}

// Merge adds those of another set.
func (s *Set) Merge(o *Set) {}

// Append appends the written form of a set.
func (s *Set) Append(b []byte) []byte { return b }

// Parse reads a written set into s, and returns what follows it.
func (s *Set) Parse(b []byte) (rest []byte, err error) { return nil, errors.ErrUnsupported }

// A Query is the 4-grams of texts one of which is looked for. The zero Query
// tells nothing: any text may hold it.
type Query struct{}

// NewQuery makes a query for a text that holds one of the literals. If one of
// them is too short to have a 4-gram the query tells nothing.
func NewQuery(literals ...string) Query { return Query{} }

// Tells reports whether the query can say no at all.
func (q Query) Tells() bool { return false }

// In reports whether a text of which the sets together have the 4-grams may hold
// one of the literals.
func (q Query) In(sets ...*Set) bool { return true }
