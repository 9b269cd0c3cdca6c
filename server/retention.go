package server

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"vitrine"
	"vitrine/retention"
	"vitrine/storage"
)

const (
	// collectEvery is the time between looks for what has expired, and
	// collectJitter what is added at random: servers over one bucket, or started
	// at once, should not all look at the same time.
	collectEvery  = 6 * time.Hour
	collectJitter = time.Hour
	// collectFirst is the time after the start before the first look: whoever
	// started the server by mistake, or with a wrong clock, can stop it.
	collectFirst = 15 * time.Minute
)

// collectLoop removes what has had its time, every few hours.
func (s *Server) collectLoop(ctx context.Context) {
	wait := collectFirst
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait + rand.N(collectJitter)):
		}
		if err := s.RemoveExpired(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("expired artifacts were not all removed", "error", err)
		}
		wait = collectEvery
	}
}

// RemoveExpired removes from the bucket what has had its time; see
// [retention.Collect]. It logs a line for each removal.
func (s *Server) RemoveExpired(ctx context.Context) error {
	sum, err := retention.Collect(ctx, s.Bucket, s.Index, retention.Options{Tenant: s.Tenant, Delete: true, Report: func(i retention.Item) {
		if i.Problem != "" {
			s.Log.Warn("not removed", "uuid", i.UUID, "problem", i.Problem)
			return
		}
		s.Log.Info("artifacts removed", "uuid", i.UUID, "reason", i.Reason, "job", i.Job, "key", i.Key, "objects", i.Objects, "bytes", i.Bytes)
	}})
	s.Log.Info("looked for expired artifacts", "builds", sum.Expired, "orphans", sum.Orphans, "objects", sum.Objects, "bytes", sum.Bytes,
		"exempt", sum.Exempt, "problems", sum.Problems)
	return err
}

// located is a build with the name of the store that has it, if there are several.
func (s *Server) located(ctx context.Context, b vitrine.Build) vitrine.Build {
	stores, ok := s.Bucket.(storage.Locator)
	if !ok {
		return b
	}
	name, err := stores.Locate(ctx, vitrine.StartedKey(b.StartTime, b.UUID))
	if err != nil && !errors.Is(err, storage.ErrUnavailable) {
		s.Log.Warn("nobody knows which store has it", "uuid", b.UUID, "error", err)
	}
	b.Storage = name
	return b
}
