package grep

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strings"
)

// common are the bytes that logs are mostly made of, the most frequent first.
const common = " e0atrsnoi1l-dc2.u:pm/h3f=45b_g6798,vk\"'[]ywTAESx()I"

// rarity is higher the less often a byte is to be expected.
func rarity(c byte) int {
	if i := strings.IndexByte(common, c); i >= 0 {
		return i
	}
	return len(common)
}

// A finder finds one literal.
type finder struct {
	text []byte
	fold bool // ASCII letters match in either case; text has the lower ones

	// at is where in text the rarest two bytes next to each other are; of a text
	// of one byte, both are that.
	at            int
	first, second uint64 // the two, each in all bytes of the word
	mask          uint64 // 0x20 in all bytes if case is folded
	alone         bool   // the byte at at is so rare that it is looked for alone
}

// ones is 1 in each byte.
const ones = 0x0101010101010101

func newFinder(text string, fold bool) *finder {
	f := &finder{text: []byte(text), fold: fold}
	best := -1
	for i := range max(len(text)-1, 1) {
		if r := rarity(text[i]) + rarity(text[min(i+1, len(text)-1)]); r > best {
			best, f.at = r, i
		}
	}
	if fold {
		f.mask = 0x20 * ones
	}
	for i := range len(text) {
		letter := 'a' <= text[i] && text[i] <= 'z'
		if rarity(text[i]) == len(common) && !(fold && letter) {
			f.at, f.alone = i, true
		}
	}
	f.first = uint64(text[f.at])*ones | f.mask
	f.second = uint64(text[min(f.at+1, len(text)-1)])*ones | f.mask
	return f
}

// index is where the literal is in b first, or -1. It looks at eight bytes at a
// time for the two that are rare, and compares where they are.
func (f *finder) index(b []byte) int {
	last := len(b) - len(f.text) // where it may begin at the latest
	if last < 0 {
		return -1
	}
	if f.alone {
		return f.indexAlone(b)
	}
	next := min(len(f.text)-1, 1) // from the first of the two to the second
	p, i := b[f.at:], 0
	for ; i <= last && i+8+next <= len(p); i += 8 {
		x := (binary.LittleEndian.Uint64(p[i:]) | f.mask) ^ f.first
		y := (binary.LittleEndian.Uint64(p[i+next:]) | f.mask) ^ f.second
		z := x | y // a zero byte where both are
		// This marks each zero byte, and may mark one behind it.
		for z = (z - ones) &^ z & (0x80 * ones); z != 0; z &= z - 1 {
			at := i + bits.TrailingZeros64(z)/8
			if at <= last && f.is(b[at:at+len(f.text)]) {
				return at
			}
		}
	}
	for ; i <= last; i++ {
		if f.is(b[i : i+len(f.text)]) {
			return i
		}
	}
	return -1
}

// indexAlone is index by one byte, which there is machine code for.
func (f *finder) indexAlone(b []byte) int {
	for i := 0; i+len(f.text) <= len(b); i++ {
		n := bytes.IndexByte(b[i+f.at:], f.text[f.at])
		if n < 0 || i+n+len(f.text) > len(b) {
			return -1
		}
		if i += n; f.is(b[i : i+len(f.text)]) {
			return i
		}
	}
	return -1
}

// is reports whether b, which is as long, is the literal.
func (f *finder) is(b []byte) bool {
	if !f.fold {
		return string(b) == string(f.text)
	}
	for i, c := range b {
		if lower(c) != f.text[i] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

// finders find any of some literals.
type finders []*finder

// A cursor goes through a text from one literal to the next.
type cursor struct {
	all  finders
	b    []byte
	next []int // where each is next, len(b) if nowhere
}

// reset begins anew with another text.
func (c *cursor) reset(all finders, b []byte) {
	c.all, c.b, c.next = all, b, c.next[:0]
	for range all {
		c.next = append(c.next, -1)
	}
}

// from is where a literal is first at i or behind it, and which; -1 if none is.
func (c *cursor) from(i int) (at, which int) {
	at = len(c.b)
	for k, f := range c.all {
		if c.next[k] < i {
			n := f.index(c.b[i:])
			if n < 0 {
				n = len(c.b) - i
			}
			c.next[k] = i + n
		}
		if c.next[k] < at {
			at, which = c.next[k], k
		}
	}
	if at == len(c.b) {
		return -1, 0
	}
	return at, which
}
