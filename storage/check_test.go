package storage_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"vitrine"
	"vitrine/storage"
)

var mu sync.Mutex

// A liar is a bucket that does one thing wrong.
type liar struct {
	storage.Bucket
	wrong string
}

func (l liar) Create(ctx context.Context, key string, body io.Reader, opts storage.CreateOptions) error {
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	switch l.wrong {
	case "create":
		return errors.New("403 Forbidden")
	case "no overwriting":
		if optionsFor(text) == opts {
			l.Bucket.Delete(ctx, key)
		}
	case "integrity":
		opts = optionsFor(text)
	}
	return l.Bucket.Create(ctx, key, strings.NewReader(string(text)), opts)
}

func (l liar) OpenRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if l.wrong == "range" && off > 0 {
		off, n = 0, -1 // as a proxy that drops the header
	}
	return l.Bucket.OpenRange(ctx, key, off, n)
}

func (l liar) Stat(ctx context.Context, key string) (storage.Object, error) {
	o, err := l.Bucket.Stat(ctx, key)
	if l.wrong == "clock" {
		o.ModTime = o.ModTime.Add(-3 * 3600e9)
	}
	return o, err
}

func (l liar) Delete(ctx context.Context, key string) error {
	if l.wrong == "delete" {
		return errors.New("403 Forbidden")
	}
	return l.Bucket.Delete(ctx, key)
}

func (l liar) PutPart(ctx context.Context, key string, part vitrine.Part, body io.Reader) error {
	if l.wrong == "parts" {
		return errors.New("501 Not Implemented")
	}
	return l.Bucket.PutPart(ctx, key, part, body)
}

func TestCheck(t *testing.T) {
	for _, wrong := range []string{"", "create", "no overwriting", "integrity", "range", "clock", "delete", "parts"} {
		t.Run("wrong "+wrong, func(t *testing.T) {
			b := storage.NewMemory()
			bad := map[string]bool{}
			cleaned := true
			good := storage.Check(t.Context(), liar{b, wrong}, func(f storage.Finding) {
				if !f.Good && f.Needed {
					bad[f.What] = true
				}
				cleaned = cleaned && f.What != "clean-up"
			})
			if good != (wrong == "") || wrong != "" && (!bad[wrong] || len(bad) != 1) {
				t.Errorf("good: %v, found wrong: %v", good, bad)
			}
			left := keys(t, b)
			if wrong == "delete" {
				if cleaned || len(left) == 0 {
					t.Errorf("left %q, and it was not said", left)
				}
			} else if len(left) > 0 || !cleaned {
				t.Errorf("left %q", left)
			}
		})
	}
}
