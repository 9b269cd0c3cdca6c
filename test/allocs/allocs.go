// Package allocs holds parsers to a bound on what they allocate.
//
// It is for tests, and must never be in what is built.
package allocs

import (
	"runtime/metrics"
	"testing"
)

// slack is what the runtime's count may be wrong by: small objects are counted
// when the page that they share with others is full.
const slack = 1 << 20

// Check runs f, and fails if it allocates more than most bytes, and a MiB, whether
// they are kept or not. Nothing else may allocate much meanwhile.
func Check(t testing.TB, most int64, f func()) {
	t.Helper()
	before := allocated()
	f()
	if n := allocated() - before; n > most+slack {
		t.Fatalf("%d bytes were allocated, want %d at the most", n, most)
	}
}

func allocated() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}
