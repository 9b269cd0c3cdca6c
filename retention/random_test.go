package retention_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"vitrine"
	"vitrine/retention"
)

// Whatever the history, and whatever fails, nothing goes of a build that has not
// expired, is kept, or is the last success of its job.
func FuzzCollect(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		h := newHistory(t)
		var builds []build
		for i := range 2 + r.IntN(10) {
			b := build{uuid: uuidOf(100 + i), job: []string{"a", "b", "c"}[r.IntN(3)], nonVoting: r.IntN(5) == 0}
			b.started = time.Duration(r.IntN(60*24)) * time.Hour
			b.result = []vitrine.Result{vitrine.Success, vitrine.Success, "FAILURE", ""}[r.IntN(4)]
			if r.IntN(5) > 0 {
				b.expired = time.Duration(r.IntN(60*24)-30*24) * time.Hour
			}
			for kind, chance := range map[vitrine.KeyKind]int{vitrine.KeptKind: 6, vitrine.InterruptedKind: 4} {
				if r.IntN(chance) == 0 && (kind == vitrine.KeptKind || b.result == "") {
					b.marks = append(b.marks, kind)
				}
			}
			h.add(b)
			builds = append(builds, b)
		}
		last := make(map[string]build)
		for _, b := range builds {
			l, ok := last[b.job]
			if b.result == vitrine.Success && !b.nonVoting &&
				(!ok || b.started < l.started || b.started == l.started && b.uuid > l.uuid) {
				last[b.job] = b
			}
		}
		var mu sync.Mutex
		h.bucket.fail = func(string, string) error {
			mu.Lock()
			defer mu.Unlock()
			if r.IntN(40) == 0 {
				return errors.New("not today")
			}
			return nil
		}
		for range 3 {
			h.collect(retention.Options{Delete: true}) // which may fail
		}
		h.bucket.fail = nil
		if _, _, err := h.collect(retention.Options{Delete: true}); err != nil {
			t.Fatal(err)
		}
		there := h.objects()
		for _, b := range builds {
			interrupted, kept := slices.Contains(b.marks, vitrine.InterruptedKind), slices.Contains(b.marks, vitrine.KeptKind)
			expired := b.expired > 0
			if b.result == "" && !interrupted { // its artifacts have a time of their own
				expired = b.started > 10*day
				if b.started > 8*day && b.started <= 10*day {
					continue // by the hour of the day
				}
			}
			stays := !expired || kept || last[b.job].uuid == b.uuid
			if got := slices.Contains(there, b.uuid); got != stays {
				t.Errorf("%+v: there: %v, want %v", b, got, stays)
			}
		}
	})
}
