package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// Lines are objects, whatever they hold and however they come in pieces.
func TestJSONLines(t *testing.T) {
	long := strings.Repeat("é", maxJSONLine/2+10)
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"one\r\ntwo <b>\n", `{"line":7,"text":"one"}` + "\n" + `{"line":8,"text":"two <b>"}` + "\n"},
		{"\nx", `{"line":7,"text":""}` + "\n" + `{"line":8,"text":"x"}` + "\n"},
		{"a\xff\n", `{"line":7,"bytes":"Yf8="}` + "\n"},
		{"x" + long + "\r\ny\n", `{"line":7,"text":"x` + long[:maxJSONLine-2] + `"}` + "\n" +
			`{"line":7,"text":"` + long[maxJSONLine-2:] + `"}` + "\n" + `{"line":8,"text":"y"}` + "\n"},
	} {
		for _, size := range []int{1, 3, maxJSONLine - 1, maxJSONLine, 4 * maxJSONLine} {
			if size == 1 && len(test.text) > maxJSONLine {
				continue
			}
			var out bytes.Buffer
			l := &jsonLines{w: &out, next: 7}
			for rest := []byte(test.text); len(rest) > 0; {
				n, err := l.Write(rest[:min(size, len(rest))])
				if err != nil || n == 0 {
					t.Fatal(n, err)
				}
				rest = rest[n:]
			}
			if err := l.end(); err != nil {
				t.Fatal(err)
			}
			if out.String() != test.want {
				t.Errorf("%.40q in pieces of %d: %.200q, want %.200q", test.text, size, out.String(), test.want)
			}
		}
	}
}

func TestJSONText(t *testing.T) {
	if b, err := json.Marshal([]jsonText{"x\"", "\xff"}); err != nil || string(b) != `["x\"",{"bytes":"/w=="}]` {
		t.Errorf("%s, %v", b, err)
	}
}
