package retention_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/retention"
)

func TestKeep(t *testing.T) {
	h := newHistory(t)
	b := build{uuid: uuidOf(90), job: "j", result: "FAILURE", started: 40 * day, expired: day}
	h.add(b)
	if _, err := h.x.Sync(t.Context(), h.bucket, time.Time{}); err != nil {
		t.Fatal(err)
	}
	kept := func() bool {
		known, _, err := h.x.Build(t.Context(), b.uuid)
		if err != nil {
			t.Fatal(err)
		}
		inBucket := h.has(vitrine.MarkKey(vitrine.KeptKind, now.Add(-b.started), b.uuid))
		if inBucket != known.Kept {
			t.Errorf("kept by the bucket: %v, by the index: %v", inBucket, known.Kept)
		}
		return inBucket
	}
	for range 2 {
		if err := retention.Keep(t.Context(), h.bucket, h.x, b.record()); err != nil || !kept() {
			t.Fatalf("Keep: %v, kept %v", err, kept())
		}
	}
	for key, at := range h.bucket.expires {
		if !at.IsZero() {
			t.Errorf("%s may still be removed by the store on %s", key, at)
		}
	}
	if _, _, err := h.collect(retention.Options{Delete: true}); err != nil || len(h.objects()) != 1 {
		t.Fatalf("left %q, %v", h.objects(), err)
	}
	for range 2 {
		if err := retention.Unkeep(t.Context(), h.bucket, h.x, b.record()); err != nil || kept() {
			t.Fatalf("Unkeep: %v, kept %v", err, kept())
		}
	}
	if len(h.bucket.expires) != 2 {
		t.Errorf("the store was told %v", h.bucket.expires)
	}
	for key, at := range h.bucket.expires {
		if at.Before(time.Now().Add(vitrine.ExpiryGrace - time.Hour)) {
			t.Errorf("%s may be removed by the store on %s already", key, at)
		}
	}
	if _, _, err := h.collect(retention.Options{Delete: true}); err != nil || len(h.objects()) != 0 {
		t.Fatalf("left %q, %v", h.objects(), err)
	}
	if err := retention.Keep(t.Context(), h.bucket, h.x, b.record()); !errors.Is(err, retention.ErrGone) || kept() {
		t.Errorf("Keep of what is gone: %v", err)
	}
}

func TestKeepRefuses(t *testing.T) {
	h := newHistory(t)
	running := build{uuid: uuidOf(91), job: "j", started: time.Hour, expired: -day}
	h.add(running)
	if err := retention.Keep(t.Context(), h.bucket, h.x, running.record()); !errors.Is(err, retention.ErrNotEnded) {
		t.Errorf("a running build: %v", err)
	}
	// It expires while it is being kept.
	b := build{uuid: uuidOf(92), job: "j", result: "FAILURE", started: 40 * day, expired: day}
	h.add(b)
	looks := 0
	h.bucket.fail = func(call, key string) error {
		if call == "Stat" && strings.HasSuffix(key, "expired.json") {
			if looks++; looks == 2 {
				h.mark(vitrine.ExpiredKind, b.record())
			}
		}
		return nil
	}
	err := retention.Keep(t.Context(), h.bucket, h.x, b.record())
	if !errors.Is(err, retention.ErrGone) || h.has(vitrine.MarkKey(vitrine.KeptKind, now.Add(-b.started), b.uuid)) {
		t.Errorf("a build that expires meanwhile: %v", err)
	}
	// The store does not say.
	c := build{uuid: uuidOf(93), job: "j", result: "FAILURE", started: 40 * day}
	h.add(c)
	h.bucket.fail = func(call, key string) error { return errors.New("sick") }
	if err := retention.Keep(t.Context(), h.bucket, h.x, c.record()); err == nil {
		t.Error("kept, says a store that says nothing")
	}
}
