package outline

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const escape = 0x1b

// MaxName bounds a name, in bytes.
const MaxName = 255

// Strip appends to dst what of a text is to be read: all but escape sequences and
// control characters other than tabs and line feeds.
func Strip(dst, text []byte) []byte {
	start := len(dst)
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == escape:
			i += sequence(text[i:])
		case c < ' ' && c != '\t' && c != '\n', c == 0x7f:
			i++
		case c >= 0x80 && c < 0xa0 && len(dst) > start && dst[len(dst)-1] == 0xc2: // C1, also where something stood between
			dst = dst[:len(dst)-1]
			i++
		default:
			dst = append(dst, c)
			i++
		}
	}
	return dst
}

// sequence is the length of the escape sequence that a text begins with. Of one
// without an end it is that of its beginning: what follows is shown.
func sequence(s []byte) int {
	if len(s) < 2 {
		return len(s)
	}
	switch c := s[1]; {
	case c == '[':
		for i := 2; i < len(s); i++ {
			switch {
			case s[i] >= 0x40 && s[i] <= 0x7e:
				return i + 1
			case s[i] < 0x20 || s[i] > 0x3f:
				return 2
			}
		}
		return 2
	case c == ']' || c == 'P' || c == '_' || c == '^' || c == 'X':
		for i := 2; i < len(s); i++ { // an escape ends it in any case, so each byte is looked at twice at most
			switch {
			case s[i] == 0x07:
				return i + 1
			case s[i] == escape && i+1 < len(s) && s[i+1] == '\\':
				return i + 2
			case s[i] == escape:
				return 2
			}
		}
		return 2
	case c >= 0x20 && c <= 0x2f: // a character set
		return min(3, len(s))
	case c < 0x7f && c != escape && c >= 0x30:
		return 2
	}
	return 1
}

// name makes a name of a part of a line.
func name(text []byte) string {
	return Text(text, MaxName)
}

// Text is what is to be read of a text as [Strip] has it, without space around it
// and without what turns the direction of writing, as UTF-8 of at most max bytes.
func Text(text []byte, max int) string {
	if len(text) > 16*max+1024 { // escape sequences and all
		text = text[:16*max+1024]
	}
	s := strings.ToValidUTF8(string(Strip(nil, text)), "\uFFFD")
	s = strings.Map(func(c rune) rune {
		if c > unicode.MaxASCII && unicode.Is(unicode.Bidi_Control, c) {
			return -1
		}
		return c
	}, s)
	s = strings.TrimSpace(s)
	if len(s) > max {
		for max > 0 && !utf8.RuneStart(s[max]) {
			max--
		}
		s = s[:max]
	}
	return s
}
