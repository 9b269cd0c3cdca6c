package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"vitrine"
	"vitrine/grep"
)

// What a log has of characters that a terminal obeys comes out of --json as ASCII,
// and is the same to a program.
func TestJSONIsSafeOnATerminal(t *testing.T) {
	text := "é 👩 <b>& \x1b[2J \x7f \u009b31m \u0085 \u200b\u200e\u200f \u202a\u202e \u2066\u2069 \u2028 \ufeff \U000e0041 \ufffd\u00a0"
	writers := map[string]func(*bytes.Buffer) error{
		"values": func(w *bytes.Buffer) error { return newJSON(w).Encode(map[string]string{"text": text}) },
		"cat": func(w *bytes.Buffer) error {
			l := &jsonLines{w: w, next: 1}
			_, err := l.Write([]byte(text + "\n"))
			return err
		},
		"grep": func(w *bytes.Buffer) error {
			j := &grepJob{build: vitrine.Build{Record: vitrine.Record{UUID: strings.Repeat("1a", 16)}}}
			grepForm{json: true}.line(j, "a\u009b.log", grep.Line{Number: 1, Text: []byte(text)})
			_, err := w.ReadFrom(&j.buf)
			return err
		},
	}
	for name, write := range writers {
		var out bytes.Buffer
		if err := write(&out); err != nil {
			t.Fatal(name, err)
		}
		var back struct{ Text string }
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Text != text {
			t.Errorf("%s: %v, %q", name, err, back.Text)
		}
		if !strings.Contains(out.String(), "é 👩 <b>& ") {
			t.Errorf("%s: what can be seen is escaped: %s", name, out.String())
		}
		for _, hidden := range text[len("é 👩 <b>& "):] {
			if hidden > '~' && hidden != '\ufffd' && strings.ContainsRune(out.String(), hidden) {
				t.Errorf("%s: %U is raw in %q", name, hidden, out.String())
			}
		}
	}
	var out bytes.Buffer
	if err := newJSON(&out).Encode(json.RawMessage("\"a\x9bb\"")); err != nil || out.String() != `"a\ufffdb"`+"\n" {
		t.Errorf("a byte that is no UTF-8: %v, %q", err, out.String())
	}
}
