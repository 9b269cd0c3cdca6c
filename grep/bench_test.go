package grep

import (
	"bytes"
	"context"
	"fmt"
	"testing"
)

// A log whose lines are much alike, with a rare one.
func benchLog() []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < 32<<20; i++ {
		fmt.Fprintf(&b, "2026-11-22 02:11:09.%06d | TASK [codesearch : write the docker-compose file %d] ok: [codesearch01.opendev.org]\n", i, i%97)
	}
	copy(b.Bytes()[20<<20:], "xyzzy-needle")
	return b.Bytes()
}

func BenchmarkSearch(b *testing.B) {
	text := benchLog()
	for _, c := range []struct {
		expr       string
		fold       bool
		countLines bool
	}{
		{"xyzzy-needle", false, false}, {"xyzzy-needle", true, false}, {"kiss", true, false}, {"error", false, false},
		{"error", true, false}, {"error|fatal|failed|refused", true, false}, {`needle\d+`, false, false},
		{"ok: ", false, true}, {`file \d+\]`, false, true}, {`\d{9}`, false, true},
	} {
		b.Run(c.expr, func(b *testing.B) {
			p, err := Compile(c.expr, false, c.fold)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := p.Search(context.Background(), logOf(text), Options{CountOnly: c.countLines}, func(Line) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
