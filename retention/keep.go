package retention

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"vitrine"
	"vitrine/server/index"
	"vitrine/storage"
)

var (
	// ErrGone says that a build can't be kept as its artifacts have expired.
	ErrGone = errors.New("its artifacts have expired and are gone")
	// ErrNotEnded says that a build can't be kept yet.
	ErrNotEnded = errors.New("it has not ended: what it will publish is not there yet")
)

// Keep exempts a build from expiry: its mark goes into the bucket and the index,
// and a store that removes objects by itself is told. One that is kept already
// stays so.
func Keep(ctx context.Context, bucket storage.Bucket, x *index.Index, b *vitrine.Record) error {
	there := func(key string) (bool, error) {
		_, err := bucket.Stat(ctx, key)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	}
	expired := func() error {
		gone, err := there(vitrine.MarkKey(vitrine.ExpiredKind, b.StartTime, b.UUID))
		if gone {
			return ErrGone
		}
		return err
	}
	if b.IsImported() {
		return fmt.Errorf("keep build %s: it was imported from %s: nothing of it expires here", b.UUID, b.Imported.Source)
	}
	ended, err := there(vitrine.RecordKey(b.StartTime, b.UUID))
	if err == nil && !ended {
		ended, err = there(vitrine.MarkKey(vitrine.InterruptedKind, b.StartTime, b.UUID))
	}
	if err == nil && !ended {
		err = ErrNotEnded
	}
	if err == nil {
		err = expired()
	}
	if err != nil {
		return fmt.Errorf("keep build %s: %w", b.UUID, err)
	}
	text, err := Mark(ctx, bucket, vitrine.KeptKind, b, time.Now())
	if err == nil {
		// Expiry looks for our mark after it has made its own: one of us sees the other's.
		if err = expired(); err != nil {
			err = errors.Join(err, bucket.Delete(ctx, vitrine.MarkKey(vitrine.KeptKind, b.StartTime, b.UUID)))
		} else if err = x.Mark(ctx, vitrine.KeptKind, text); errors.Is(err, fs.ErrNotExist) {
			err = nil // the index will read it
		}
	} else if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err == nil {
		err = SetExpiry(ctx, bucket, b.UUID, time.Time{})
	}
	if err != nil {
		return fmt.Errorf("keep build %s: %w", b.UUID, err)
	}
	return nil
}

// Unkeep lets a build expire when its record says. One that is not kept stays so.
func Unkeep(ctx context.Context, bucket storage.Bucket, x *index.Index, b *vitrine.Record) error {
	err := bucket.Delete(ctx, vitrine.MarkKey(vitrine.KeptKind, b.StartTime, b.UUID))
	if err == nil {
		err = x.Unmark(ctx, vitrine.KeptKind, b.UUID)
	}
	if err == nil && !b.Expires.IsZero() {
		// Not before expiry has had time to look whether something else exempts it.
		at := b.Expires
		if now := time.Now(); at.Before(now) {
			at = now
		}
		err = SetExpiry(ctx, bucket, b.UUID, at.Add(vitrine.ExpiryGrace))
	}
	if err != nil {
		return fmt.Errorf("unkeep build %s: %w", b.UUID, err)
	}
	return nil
}
