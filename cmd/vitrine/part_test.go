package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// Lines are cut and numbered the same however the text comes in pieces.
func TestLinesInPieces(t *testing.T) {
	for _, test := range []struct {
		text       string
		skip, keep int64
		want       string
		total      int64
	}{
		{"one\ntwo\nthree\n", 0, -1, "     1\tone\n     2\ttwo\n     3\tthree\n", 3},
		{"one\ntwo\nthree\n", 1, 1, "     2\ttwo\n", 3},
		{"one\ntwo\nthree", 2, 5, "     3\tthree", 3},
		{"one\ntwo\n", 2, -1, "", 2},
		{"one\ntwo\n", 9, 9, "", 2},
		{"one\ntwo\n", 0, 0, "", 2},
		{"\n\n\r\n", 1, -1, "     2\t\n     3\t\r\n", 3},
		{"", 0, -1, "", 0},
		{"x", 0, -1, "     1\tx", 1},
	} {
		for size := 1; size <= len(test.text)+1; size++ {
			var out bytes.Buffer
			all := &lineCounter{w: &lineCutter{numbered(&out, test.skip+1), test.skip, test.keep}}
			if _, err := io.CopyBuffer(struct{ io.Writer }{all}, struct{ io.Reader }{strings.NewReader(test.text)}, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			if out.String() != test.want || all.total() != test.total || all.bytes != int64(len(test.text)) {
				t.Errorf("%q in pieces of %d, skip %d, keep %d: %q, %d lines, want %q, %d", test.text, size, test.skip, test.keep, out.String(), all.total(), test.want, test.total)
			}
		}
	}
}

// A range that is taken is one that can be read: in order, and within what a log
// may have.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"1-2", "7-", "9", "-1", "0", "2-1", "4611686018427387903", "99999999999999999999", "", "-", "1-2-3", "+1", "1_0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for kind, first := range map[partKind]int64{lineRange: 1, byteRange: 0} {
			var p part
			if p.parseRange(kind, text, "it") != nil {
				continue
			}
			if p.kind != kind || p.from < first || p.to != -1 && p.to < p.from || p.to+1 < 0 {
				t.Fatalf("%q is read as %+v", text, p)
			}
			said := fmt.Sprint(p.from)
			if p.to < 0 {
				said += "-"
			} else if strings.Contains(text, "-") {
				said += fmt.Sprint("-", p.to)
			}
			if strings.TrimLeft(text, "0") != strings.TrimLeft(said, "0") && !strings.Contains(text, "-0") {
				t.Fatalf("%q is read as %q", text, said)
			}
		}
	})
}
