package main

import (
	"bytes"
	"encoding/json"
	"io"
	"unicode/utf8"
)

// maxJSONLine is how much of a line is one object: each is made in memory.
const maxJSONLine = 1 << 20

// A jsonText is text of a log in JSON: a string, or {"bytes": …} in base64 if it
// is not UTF-8.
type jsonText string

func (t jsonText) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal(struct {
		Bytes []byte `json:"bytes"`
	}{[]byte(t)})
}

// jsonLines writes each line of what is written to it as a JSON object, without
// what ends it. A long line is several with the same number.
type jsonLines struct {
	w    io.Writer
	next int64  // number of the line that begins with held
	held []byte // of a line that has not ended
}

func (l *jsonLines) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), maxJSONLine-len(l.held))
		i := bytes.IndexByte(rest[:n], '\n')
		if i >= 0 {
			n = i + 1
		}
		l.held, rest = append(l.held, rest[:n]...), rest[n:]
		cut := len(l.held)
		switch {
		case i >= 0:
		case cut < maxJSONLine:
			continue
		default: // between two characters, and not between a CR and its LF
			for back := cut - 1; back > cut-utf8.UTFMax; back-- {
				if c := l.held[back]; utf8.RuneStart(c) {
					if !utf8.FullRune(l.held[back:cut]) || c == '\r' {
						cut = back
					}
					break
				}
			}
		}
		if err := l.print(l.held[:cut], i >= 0); err != nil {
			return 0, err
		}
		l.held = append(l.held[:0], l.held[cut:]...)
	}
	return len(p), nil
}

// end prints a last line that has no line feed.
func (l *jsonLines) end() error {
	if len(l.held) == 0 {
		return nil
	}
	return l.print(l.held, true)
}

func (l *jsonLines) print(text []byte, ended bool) error {
	line := struct {
		Line  int64   `json:"line"`
		Text  *string `json:"text,omitempty"`
		Bytes []byte  `json:"bytes,omitempty"`
	}{Line: l.next}
	if ended {
		text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
		l.next++
	}
	if utf8.Valid(text) {
		s := string(text)
		line.Text = &s
	} else {
		line.Bytes = text
	}
	return newJSON(l.w).Encode(line)
}
