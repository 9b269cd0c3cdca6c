package retention

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"vitrine"
	"vitrine/server/index"
	"vitrine/storage"
)

const deletesAtOnce = 8

// A collection is one call of [Collect].
type collection struct {
	Options
	bucket storage.Bucket
	index  *index.Index
	sum    Summary

	known map[id]known
	last  map[string]*vitrine.Record // of a job: its last success; nil, if none is sure
}

func (c *collection) run(ctx context.Context) error {
	// An index that lacks records it could not read only makes more be kept.
	report, err := c.index.Sync(ctx, c.bucket, time.Time{})
	if errors.Is(err, index.ErrUnreadable) {
		report.Problems = append(report.Problems, err.Error())
	} else if err != nil {
		return fmt.Errorf("nothing is removed: %w", err)
	}
	for _, p := range report.Problems {
		c.sum.Problems++
		c.Report(Item{Problem: p})
	}
	if err := c.listRecords(ctx); err != nil {
		return err
	}
	if c.Delete {
		if err := c.checkClock(ctx); err != nil {
			return fmt.Errorf("nothing is removed: %w", err)
		}
	}
	var failed []error
	orphans, marked, err := c.listArtifacts(ctx)
	if err != nil {
		failed = append(failed, fmt.Errorf("no orphans are removed, as not all artifacts can be listed: %w", err))
	}
	for _, h := range orphans {
		if err := c.orphan(ctx, h); err != nil {
			return err
		}
	}
	if err := c.uploads(ctx); err != nil {
		failed = append(failed, fmt.Errorf("no parts are removed, as not all can be listed: %w", err))
	}
	for _, h := range marked {
		if err := c.build(ctx, h.id.String()); err != nil {
			return err
		}
	}
	for uuid, err := range c.index.Expired(ctx, c.Now) {
		if err == nil && !c.known[idOf(uuid)].has(vitrine.ExpiredKind) { // those are done
			err = c.build(ctx, uuid)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(append(failed, ctx.Err())...)
}

// build removes the artifacts of a build that has expired, if it has, and if
// nothing exempts it.
func (c *collection) build(ctx context.Context, uuid string) error {
	item := Item{UUID: uuid, Reason: Expired}
	k, there := c.known[idOf(uuid)]
	switch {
	case !there:
		return c.problem(ctx, item, errors.New("the index has it and the bucket does not: vitrine reindex makes the index anew"))
	case k.kinds&twice != 0:
		return c.problem(ctx, item, errors.New("there are records of this uuid on more than one day"))
	case !k.has(vitrine.RecordKind) && !k.has(vitrine.InterruptedKind):
		return nil // it may still run; if not, its artifacts are orphans
	}
	record, err := c.record(ctx, k, uuid)
	if err != nil {
		return c.problem(ctx, item, err)
	}
	item.Job, item.Expired = record.JobName, record.Expires
	if record.Expires.IsZero() || record.Expires.After(c.Now) {
		return c.problem(ctx, item, errors.New("it is thought to have expired, but its record says otherwise"))
	}
	if !k.has(vitrine.RecordKind) {
		if missing, err := c.missing(ctx, vitrine.RecordKey(record.StartTime, uuid)); err != nil || !missing {
			return c.problem(ctx, item, err) // its runner came back, if that is nil
		}
	}
	mark, err := c.bucket.Stat(ctx, vitrine.MarkKey(vitrine.KeptKind, record.StartTime, uuid))
	kept := err == nil
	if errors.Is(err, fs.ErrNotExist) {
		kept, err = c.isLastSuccess(ctx, record)
	} else if kept && c.Delete && k.has(vitrine.ExpiredKind) {
		err = c.unmark(ctx, record, mark.ModTime)
	}
	if err != nil {
		return c.problem(ctx, item, err)
	}
	if kept {
		return c.exempt(ctx, item)
	}
	if c.Delete {
		if kept, err = c.mark(ctx, record); kept || err != nil {
			return c.problem(ctx, item, err)
		}
		item.Objects, item.Bytes, err = c.remove(ctx, uuid)
	} else {
		item.Objects, item.Bytes, err = c.count(ctx, uuid)
	}
	if err != nil {
		return c.problem(ctx, item, err)
	}
	if k.has(vitrine.ExpiredKind) && item.Objects == 0 {
		return nil // it was done before
	}
	c.sum.Expired++
	c.removed(item)
	return nil
}

// record reads the signed record that says when a build expires: that of its end,
// or of its start if it was interrupted.
func (c *collection) record(ctx context.Context, k known, uuid string) (*vitrine.Record, error) {
	key := vitrine.RecordKey(k.date(), uuid)
	if !k.has(vitrine.RecordKind) {
		key = vitrine.StartedKey(k.date(), uuid)
	}
	r, err := c.bucket.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, vitrine.MaxRecordSize+1))
	if err != nil {
		return nil, err
	}
	record, err := vitrine.ParseRecord(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if record.UUID != uuid || record.Tenant != c.Tenant || record.IsStarted() == k.has(vitrine.RecordKind) ||
		vitrine.DayPrefix(record.StartTime) != vitrine.DayPrefix(k.date()) {
		return nil, fmt.Errorf("%s: %w: it is that of another build", key, vitrine.ErrRecord)
	}
	return record, nil
}

// isLastSuccess reports whether a build is the last success of its job, or may be:
// it is not only if a later one is in the bucket and will stay there.
func (c *collection) isLastSuccess(ctx context.Context, r *vitrine.Record) (bool, error) {
	if r.Result != vitrine.Success || !r.Voting {
		return false, nil
	}
	last, looked := c.last[r.JobName]
	if !looked {
		var err error
		last, err = c.lastSuccess(ctx, r.JobName)
		if err != nil {
			return true, err
		}
		c.last[r.JobName] = last
	}
	if last == nil {
		return true, nil
	}
	return cmp.Or(last.StartTime.Compare(r.StartTime), cmp.Compare(last.UUID, r.UUID)) <= 0, nil
}

// lastSuccess finds the last success of a job by the index, and makes sure of it;
// it is nil if that is not one.
func (c *collection) lastSuccess(ctx context.Context, job string) (*vitrine.Record, error) {
	uuid, err := c.index.LastSuccess(ctx, job)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	k := c.known[idOf(uuid)]
	if !k.has(vitrine.RecordKind) || k.has(vitrine.ExpiredKind) || k.kinds&twice != 0 {
		return nil, nil
	}
	r, err := c.record(ctx, k, uuid)
	if err != nil {
		return nil, fmt.Errorf("the last success of job %s: %w", job, err)
	}
	if r.JobName != job || r.Result != vitrine.Success || !r.Voting {
		return nil, nil
	}
	r.Artifacts, r.Readers = nil, nil // there may be many jobs
	return r, nil
}

// exempt keeps a store that removes objects by itself from removing a build's.
func (c *collection) exempt(ctx context.Context, item Item) error {
	c.sum.Exempt++
	if !c.Delete {
		return nil
	}
	if err := SetExpiry(ctx, c.bucket, item.UUID, time.Time{}); err != nil {
		return c.problem(ctx, item, fmt.Errorf("the store may remove it although it is kept: %w", err))
	}
	return nil
}

// SetExpiry sets when the store itself may remove the artifacts of a build, if it
// does such a thing; zero means never.
func SetExpiry(ctx context.Context, bucket storage.Bucket, uuid string, at time.Time) error {
	e, ok := bucket.(storage.Expirer)
	if !ok {
		return nil
	}
	for o, err := range bucket.List(ctx, vitrine.ArtifactsPrefix+uuid+"/") {
		if err == nil {
			err = e.Expire(ctx, o.Key, at)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// checkClock compares the store's clock with ours, by an object that it stores
// for that.
func (c *collection) checkClock(ctx context.Context) error {
	var random id
	rand.Read(random[:])
	key := vitrine.ArtifactKey(random.String(), "check/clock.age")
	text := []byte("clock")
	err := c.bucket.Create(ctx, key, bytes.NewReader(text), storage.CreateOptions{Size: int64(len(text)), SHA256: sha256.Sum256(text)})
	if err != nil {
		return err
	}
	o, err := c.bucket.Stat(ctx, key)
	if err := errors.Join(err, c.bucket.Delete(context.WithoutCancel(ctx), key)); err != nil {
		return err
	}
	if o.ModTime.Sub(c.Now).Abs() > maxClockSkew {
		return fmt.Errorf("%w: this machine says that it is %s, and the store %s",
			ErrClock, c.Now.UTC().Format(time.RFC3339), o.ModTime.UTC().Format(time.RFC3339))
	}
	return nil
}

// mark marks a build as expired. It is kept if somebody has marked it so
// meanwhile: then the new mark stays for now. Whoever keeps a build looks for it,
// and another call may rely on it already; see unmark.
func (c *collection) mark(ctx context.Context, r *vitrine.Record) (kept bool, err error) {
	text, err := Mark(ctx, c.bucket, vitrine.ExpiredKind, r, c.Now)
	marked := err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) { // by an earlier call, or one beside us
		return false, err
	}
	missing, err := c.missing(ctx, vitrine.MarkKey(vitrine.KeptKind, r.StartTime, r.UUID))
	if err != nil || !missing {
		return true, err
	}
	if marked {
		err = c.index.Mark(ctx, vitrine.ExpiredKind, text)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	return false, err
}

// unmark takes the mark as expired off a build that was kept at a time so long ago
// that nobody is in the middle of that, if all its artifacts are there.
func (c *collection) unmark(ctx context.Context, r *vitrine.Record, kept time.Time) error {
	if c.Now.Sub(kept) < keptFor {
		return nil
	}
	if n, _, err := c.count(ctx, r.UUID); err != nil || n < max(len(r.Artifacts), 1) {
		return err
	}
	err := c.bucket.Delete(ctx, vitrine.MarkKey(vitrine.ExpiredKind, r.StartTime, r.UUID))
	if err == nil {
		err = c.index.Unmark(ctx, vitrine.ExpiredKind, r.UUID)
	}
	return err
}

// Mark puts a mark beside the record of a build, and returns its text. One that is
// there already is [fs.ErrExist], unless it is of the same second.
func Mark(ctx context.Context, bucket storage.Writer, kind vitrine.KeyKind, r *vitrine.Record, now time.Time) ([]byte, error) {
	m := vitrine.Mark{Version: vitrine.RecordVersion, UUID: r.UUID, Time: now.UTC().Truncate(time.Second)}
	text, err := m.Marshal()
	if err != nil {
		return nil, err
	}
	opts := storage.CreateOptions{Size: int64(len(text)), SHA256: sha256.Sum256(text), MediaType: "application/json"}
	return text, bucket.Create(ctx, vitrine.MarkKey(kind, r.StartTime, r.UUID), bytes.NewReader(text), opts)
}

// count counts the artifacts of a build.
func (c *collection) count(ctx context.Context, uuid string) (objects int, size int64, err error) {
	for o, err := range c.bucket.List(ctx, vitrine.ArtifactsPrefix+uuid+"/") {
		if err != nil {
			return objects, size, err
		}
		objects, size = objects+1, size+o.Size
	}
	return objects, size, nil
}

// remove removes the artifacts of a build.
func (c *collection) remove(ctx context.Context, uuid string) (objects int, size int64, err error) {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(deletesAtOnce)
	for o, err := range c.bucket.List(groupCtx, vitrine.ArtifactsPrefix+uuid+"/") {
		if err != nil {
			return objects, size, errors.Join(group.Wait(), err)
		}
		objects, size = objects+1, size+o.Size
		group.Go(func() error { return c.bucket.Delete(groupCtx, o.Key) })
	}
	return objects, size, group.Wait()
}

func (c *collection) removed(item Item) {
	c.sum.Objects, c.sum.Bytes = c.sum.Objects+item.Objects, c.sum.Bytes+item.Bytes
	c.Report(item)
}

// problem reports what is left alone because of an error; nil reports nothing. It
// ends the call if that was cancelled.
func (c *collection) problem(ctx context.Context, item Item, err error) error {
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	c.sum.Problems++
	item.Reason, item.Problem = "", err.Error()
	c.Report(item)
	return nil
}
