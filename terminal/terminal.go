// Package terminal makes text of strangers fit for a terminal: colours stay, all
// else that a terminal would obey is shown instead (git's sideband rule).
//
// It must never let a byte through that moves the cursor, sets a title, writes a
// clipboard, makes a link or changes a mode, however it is cut into writes. It is
// for terminals alone: files and pipes get bytes as they are.
package terminal

import (
	"bytes"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"
)

// NewWriter returns a writer that passes text on to w, a terminal.
//
// Of escape sequences only those for colours and styles (SGR) stay, but for the
// one that hides text, and none reaches beyond its line: what a line sets can't
// hide the next. Other control characters are shown in caret notation, as ^[ and
// ^G. Of what is not ASCII, C1 controls, characters that change the direction of
// text or can't be seen (Unicode's format characters, but for the joiners that
// scripts and emoji need), and bytes that are not UTF-8 are shown as \u202e and \x9b.
//
// Line feeds and tabs stay. A carriage return before a line feed goes; one within
// a line, as progress bars have it, is shown as ^M and ends the line: what comes
// after it must not write over what came before. [Writer.Continue] has the rest
// begin with something, where lines of our own could be mistaken for it.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// A Writer is what NewWriter returns.
type Writer struct {
	w      io.Writer
	held   []byte // what can't be told without what comes next
	styled bool   // colours or styles are on
	styles []byte // and these are the text's own
	out    []byte

	continued string // before what follows a carriage return
}

const (
	// piece is how much is looked at at once.
	piece = 32 << 10
	// maxStyle bounds the parameters of a sequence, in bytes: colours of text and
	// ground in 24 bits and some styles.
	maxStyle = 64
	// maxStyles bounds those that a text has again behind what was highlighted.
	maxStyles = 1 << 10

	escape = 0x1b
	reset  = "\x1b[m"
)

// Continue sets what is written, as it is, before the rest of a line that a
// carriage return broke: spaces as wide as the line's number, and "| ". Without
// it such a rest could pass for a number or a heading of the caller's.
func (w *Writer) Continue(prefix string) { w.continued = prefix }

// Write passes text on.
func (w *Writer) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		next := p[:min(len(p), piece)]
		if err := w.pass(append(w.held, next...), false); err != nil {
			return n, err
		}
		n, p = n+len(next), p[len(next):]
	}
	return n, nil
}

// Highlight writes text in a style of the caller's, a sequence for it, behind which
// the text's own style goes on.
func (w *Writer) Highlight(style string, text []byte) error {
	_, err := io.WriteString(w, style)
	w.styles = bytes.TrimSuffix(w.styles, []byte(style))
	if err == nil {
		_, err = w.Write(text)
	}
	own := bytes.Clone(w.styles)
	if err == nil {
		_, err = w.Write(append([]byte(reset), own...))
	}
	return err
}

// Flush writes what was held back, and ends colours that are still on.
func (w *Writer) Flush() error { return w.pass(w.held, true) }

// pass writes text, but for what it holds back if more may come.
func (w *Writer) pass(text []byte, last bool) error {
	w.out = w.out[:0]
	for len(text) > 0 {
		n := w.next(text, last)
		if n == 0 {
			break
		}
		text = text[n:]
	}
	w.held = append(w.held[:0], text...)
	if last {
		w.endStyle()
	}
	if len(w.out) == 0 {
		return nil
	}
	_, err := w.w.Write(w.out)
	return err
}

// next takes what text begins with to out, and returns how long it was: 0 if that
// shows only when more has come.
func (w *Writer) next(text []byte, last bool) int {
	switch c := text[0]; {
	case c >= ' ' && c < 0x7f || c == '\t':
		n := 1
		for n < len(text) && (text[n] >= ' ' && text[n] < 0x7f || text[n] == '\t') {
			n++
		}
		w.out = append(w.out, text[:n]...)
		return n
	case c == '\n':
		w.endStyle()
		w.out = append(w.out, c)
	case c == '\r':
		return w.carriageReturn(text, last)
	case c == escape:
		n, params, whole := style(text)
		if n == len(text) && !whole && n < len("\x1b[")+maxStyle && !last {
			return 0
		}
		if whole && visible(params) {
			w.out = append(w.out, text[:n]...)
			if w.styled = len(bytes.Trim(params, "0")) > 0; !w.styled || len(w.styles) > maxStyles { // without any, or with 0, it ends them
				w.styles = w.styles[:0]
			}
			if w.styled {
				w.styles = append(w.styles, text[:n]...)
			}
			return n
		}
		w.out = append(w.out, "^["...) // what follows it is text
	case c < ' ' || c == 0x7f:
		w.out = append(w.out, '^', c^0x40)
	default:
		return w.rune(text, last)
	}
	return 1
}

func (w *Writer) endStyle() {
	if w.styled {
		w.out = append(w.out, reset...)
		w.styled, w.styles = false, w.styles[:0]
	}
}

// carriageReturn takes a run of them, which does what one does.
func (w *Writer) carriageReturn(text []byte, last bool) int {
	rest := bytes.TrimLeft(text, "\r")
	n := len(text) - len(rest)
	switch {
	case len(rest) == 0 && !last:
		return n - 1 // hold one
	case len(rest) > 0 && rest[0] == '\n':
		return n
	}
	w.out = append(w.out, "^M"...)
	w.endStyle()
	w.out = append(w.out, '\n')
	if len(rest) > 0 {
		w.out = append(w.out, w.continued...)
	}
	return n
}

// rune takes a character that is not ASCII, or a byte that is part of none.
func (w *Writer) rune(text []byte, last bool) int {
	if !last && !utf8.FullRune(text) {
		return 0
	}
	r, n := utf8.DecodeRune(text)
	switch {
	case r == utf8.RuneError && n == 1:
		w.out = fmt.Appendf(w.out, `\x%02x`, text[0])
	case r < 0xa0, r == '\u2028', r == '\u2029', unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d':
		if r > 0xffff {
			w.out = fmt.Appendf(w.out, `\U%08x`, r)
			break
		}
		w.out = fmt.Appendf(w.out, `\u%04x`, r)
	default:
		w.out = append(w.out, text[:n]...)
	}
	return n
}

// style returns how much of text, which begins with an escape, is a sequence for
// colours and styles, ESC [ … m, and its parameters if that is all of one.
func style(text []byte) (n int, params []byte, whole bool) {
	if len(text) == 1 || text[1] != '[' {
		return 1, nil, false
	}
	for n = 2; n < len(text) && n < len("\x1b[")+maxStyle; n++ {
		switch c := text[n]; {
		case c == 'm':
			return n + 1, text[2:n], true
		case (c < '0' || c > '9') && c != ';' && c != ':':
			return n, nil, false
		}
	}
	return n, nil, false
}

// visible reports whether the parameters of a sequence are all known to be
// colours and styles, of which none hides text.
func visible(params []byte) bool {
	fields := bytes.Split(params, []byte{';'})
	for len(fields) > 0 {
		code, sub, parts := bytes.Cut(fields[0], []byte{':'})
		fields = fields[1:]
		switch n := number(code); {
		case n == 38 || n == 48 || n == 58: // a colour, by numbers that follow
			numbers := fields
			if parts {
				// Between 2 and red there may be a colour space, which nobody names.
				numbers = bytes.Split(bytes.Replace(sub, []byte("2::"), []byte("2:"), 1), []byte{':'})
			}
			used := colour(numbers)
			if used == 0 || parts && used != len(numbers) {
				return false
			}
			if !parts {
				fields = fields[used:]
			}
		case parts && (n != 4 || number(sub) > 5): // 4:3 is a curly underline
			return false
		case n == 8: // hides
			return false
		case n <= 9, 21 <= n && n <= 49, n == 53, n == 55, n == 59, 90 <= n && n <= 97, 100 <= n && n <= 107:
		default: // such as 11, which has a console show other characters
			return false
		}
	}
	return true
}

// colour returns how many of the numbers make one colour: 5 and its number in a
// palette, or 2 and its red, green and blue. It is 0 if they do not.
func colour(numbers [][]byte) int {
	if len(numbers) == 0 {
		return 0
	}
	n := map[int]int{5: 2, 2: 4}[number(numbers[0])]
	if n == 0 || len(numbers) < n {
		return 0
	}
	for _, c := range numbers[:n] {
		if number(c) > 255 {
			return 0
		}
	}
	return n
}

// number is what decimal digits say, 0 for none, and 256 for more than 255 and
// for what is no number.
func number(digits []byte) int {
	n := 0
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 256
		}
		n = min(10*n+int(c-'0'), 256)
	}
	return n
}
