// Package ngram makes small sets of the 4-grams of a text, which tell what the
// text can't hold. Letters are folded to lower case and all digits are one, so
// that a set stays small however many numbers a log has, and serves searches that
// ignore case too. docs/format.md says how a set is written.
//
// A set must never say no to a text that is there; that it says yes to one that
// is not costs time alone. What it parses is hostile: memory is bounded whatever
// a set claims.
package ngram

import (
	"encoding/binary"
	"fmt"
)

const (
	symbolBits = 5
	grams      = 1 << (4 * symbolBits)
	words      = grams / 64

	// Size is the length of a set's written form, in bytes.
	Size = grams / 8
)

// A Set holds the 4-grams of a text. It takes 128 KiB. The zero Set is that of
// an empty text.
type Set struct{ bits [words]uint64 }

// lineFeed is the symbol of a line feed. Grams with it are left out when a set is
// written, and not looked for, so that none reaches over the end of a line.
const lineFeed = 31

// symbols has the symbol of each byte. What is rare in logs shares one.
var symbols = func() (s [256]uint32) {
	for i := range s {
		s[i] = 30
	}
	for c := byte('a'); c <= 'z'; c++ {
		symbol := uint32(c-'a') + 1
		s[c], s[c-'a'+'A'] = symbol, symbol
	}
	for c := '0'; c <= '9'; c++ {
		s[c] = 27
	}
	for symbol, bytes := range []string{0: " \t", 28: "-_", 29: ".,:;/", lineFeed: "\n"} {
		for _, c := range []byte(bytes) {
			s[c] = uint32(symbol)
		}
	}
	return s
}()

// Add adds the 4-grams of a text. Those that reach from one text to the next are
// added by giving the last three bytes of the one with the first three of the
// next, as a text of its own.
func (s *Set) Add(text []byte) {
	if len(text) < 4 {
		return
	}
	g := symbols[text[0]]<<10 | symbols[text[1]]<<5 | symbols[text[2]]
	text = text[3:]
	// Nearly all grams have been seen, so four are looked up at a time, and memory
	// is written only if one of them is new.
	for ; len(text) >= 4; text = text[4:] {
		g1 := (g<<5 | symbols[text[0]]) % grams
		g2 := (g1<<5 | symbols[text[1]]) % grams
		g3 := (g2<<5 | symbols[text[2]]) % grams
		g = (g3<<5 | symbols[text[3]]) % grams
		if s.bits[g1/64]>>(g1%64)&(s.bits[g2/64]>>(g2%64))&(s.bits[g3/64]>>(g3%64))&(s.bits[g/64]>>(g%64))&1 == 0 {
			s.add(g1)
			s.add(g2)
			s.add(g3)
			s.add(g)
		}
	}
	for _, c := range text {
		g = (g<<5 | symbols[c]) % grams
		s.add(g)
	}
}

func (s *Set) add(g uint32) { s.bits[g/64] |= 1 << (g % 64) }

func (s *Set) has(g uint32) bool { return s.bits[g/64]>>(g%64)&1 != 0 }

// Merge adds those of another set.
func (s *Set) Merge(o *Set) {
	for i, w := range o.bits {
		s.bits[i] |= w
	}
}

// withoutLineFeed has a bit for each gram of a word that has no line feed in it. Of
// the 20 bits of a gram a word has the upper 14.
func withoutLineFeed(word int) uint64 {
	if word>>9 == lineFeed || word>>4&31 == lineFeed {
		return 0
	}
	keep := ^(uint64(1)<<lineFeed | 1<<(32+lineFeed))
	if word&15 == lineFeed>>1 {
		keep &= 1<<32 - 1
	}
	return keep
}

// Append appends the written form of a set, which has [Size] bytes: a bit for
// each gram, lowest first. It compresses well, and sets of similar texts after
// one another better.
func (s *Set) Append(b []byte) []byte {
	for i, w := range s.bits {
		b = binary.LittleEndian.AppendUint64(b, w&withoutLineFeed(i))
	}
	return b
}

// Parse reads a written set into s, and returns what follows it.
func (s *Set) Parse(b []byte) (rest []byte, err error) {
	if len(b) < Size {
		return nil, fmt.Errorf("set of n-grams: %d bytes of %d", len(b), Size)
	}
	for i := range s.bits {
		s.bits[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return b[Size:], nil
}
