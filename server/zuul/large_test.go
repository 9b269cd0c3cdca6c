package zuul

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"

	"vitrine/server/index"
)

// Few large answers are made at once; small ones never wait, and nobody waits for
// long.
func TestLargeAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &api{large: make(chan struct{}, largeAtOnce)}
		var ends []func()
		for range largeAtOnce {
			done, err := a.alone(t.Context(), index.MaxLimit+1)
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, done)
		}
		if _, err := a.alone(t.Context(), index.MaxLimit); err != nil {
			t.Errorf("a small one: %v", err)
		}
		var refused *refusal
		if _, err := a.alone(t.Context(), maxLimit); !errors.As(err, &refused) || refused.status != http.StatusServiceUnavailable {
			t.Errorf("one too many: %v", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := a.alone(gone, maxLimit); !errors.Is(err, context.Canceled) {
			t.Errorf("of somebody who went: %v", err)
		}
		ends[0]()
		if _, err := a.alone(t.Context(), maxLimit); err != nil {
			t.Errorf("after one has ended: %v", err)
		}
	})
}
