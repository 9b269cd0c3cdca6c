package publish

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"vitrine/summary"
)

// What a scan beside the sealing finds is what the scanner finds, however the
// bytes come and how far it is behind.
func TestScanBeside(t *testing.T) {
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, "TASK [%d] ***\nfatal: [web]: FAILED! => {\"msg\": \"%d\"}\n%s", i, i, strings.Repeat("a line that says nothing\n", 10*i*i))
	}
	for _, text := range []string{"", "ERROR: no end", b.String(), b.String()[:scanSize], b.String()[:2*scanSize+1]} {
		slow := summary.NewScanner("a.log", nil)
		slow.Write([]byte(text))
		want := slow.Log()
		for _, size := range []int{100, scanSize, len(text) + 1} {
			s := newScan("a.log", nil)
			for rest := text; rest != ""; rest = rest[min(size, len(rest)):] {
				if n, err := s.Write([]byte(rest[:min(size, len(rest))])); n != min(size, len(rest)) || err != nil {
					t.Fatal(n, err)
				}
			}
			s.end()
			if got := s.scanner.Log(); !reflect.DeepEqual(got, want) {
				t.Errorf("%d bytes by %d: %+v, want %+v", len(text), size, got, want)
			}
		}
	}
}

// An artifact that is given up leaves nothing behind that runs.
func TestScanEndsOnDiscard(t *testing.T) {
	w := newWorld(t)
	b, err := Start(t.Context(), w.summaryOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a, err := b.newArtifact("a.log", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write([]byte(strings.Repeat("ERROR: x\n", 3*scanSize))); err != nil {
		t.Fatal(err)
	}
	a.discard()
	select {
	case <-a.scan.done:
	default:
		t.Error("the scan goes on")
	}
	a.scan.end() // again, as after an error of end
}
