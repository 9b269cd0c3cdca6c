package retention

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"vitrine"
)

// An id is a uuid's bytes: there may be a million of them.
type id [16]byte

func idOf(uuid string) (i id) {
	hex.Decode(i[:], []byte(uuid))
	return i
}

func (i id) String() string { return hex.EncodeToString(i[:]) }

// known is what lies below records/ of one build.
type known struct {
	day   int32 // days since 1970
	kinds uint16
}

// twice is in kinds if there are records of the uuid on more than one day.
const twice = 1 << 15

func (k known) has(kind vitrine.KeyKind) bool { return k.kinds&(1<<kind) != 0 }

func (k known) date() time.Time { return time.Unix(int64(k.day)*24*3600, 0).UTC() }

// listRecords finds out which builds there are.
func (c *collection) listRecords(ctx context.Context) error {
	c.known = make(map[id]known)
	newest := known{}
	for o, err := range c.bucket.List(ctx, vitrine.RecordsPrefix) {
		if err != nil {
			return fmt.Errorf("nothing is removed, as not all records can be listed: %w", err)
		}
		key, err := vitrine.ParseKey(o.Key)
		if err != nil {
			continue
		}
		if key.Kind == vitrine.ImportedKind {
			continue // another CI's word: it has no artifacts here, and its times prove nothing
		}
		day := int32(key.Day.Unix() / (24 * 3600))
		k, there := c.known[idOf(key.UUID)]
		if there && k.day != day {
			k.kinds |= twice
		}
		k.day, k.kinds = max(k.day, day), k.kinds|1<<key.Kind
		c.known[idOf(key.UUID)] = k
		newest.day = max(newest.day, day)
	}
	if ahead := newest.date().Sub(c.Now); ahead > maxClockSkew {
		return fmt.Errorf("nothing is removed: %w, or a record's date is: the newest build is of %s, and this machine says that it is %s",
			ErrClock, newest.date().Format(time.DateOnly), c.Now.UTC().Format(time.RFC3339))
	}
	return nil
}

// A heap is all that lies below artifacts/ of one build.
type heap struct {
	id      id
	objects int
	bytes   int64
	newest  time.Time
}

// listArtifacts finds the artifacts that have no finished record, and those that
// should be gone.
func (c *collection) listArtifacts(ctx context.Context) (orphans, marked []heap, err error) {
	var h heap
	settle := func() {
		if h.objects == 0 {
			return
		}
		k, there := c.known[h.id]
		switch {
		case there && k.has(vitrine.ExpiredKind):
			marked = append(marked, h)
		case h.newest.After(c.Now.Add(-c.Grace)):
		case !there, c.unfinished(k):
			orphans = append(orphans, h)
		}
	}
	for o, err := range c.bucket.List(ctx, vitrine.ArtifactsPrefix) {
		if err != nil {
			return nil, nil, err
		}
		key, err := vitrine.ParseKey(o.Key)
		if err != nil {
			continue
		}
		if i := idOf(key.UUID); i != h.id {
			settle()
			h = heap{id: i}
		}
		h.objects, h.bytes = h.objects+1, h.bytes+o.Size
		if o.ModTime.After(h.newest) {
			h.newest = o.ModTime
		}
	}
	settle()
	return orphans, marked, nil
}

// unfinished reports whether a build began longer ago than a record may still
// come, and nobody has given it an end.
func (c *collection) unfinished(k known) bool {
	return !k.has(vitrine.RecordKind) && !k.has(vitrine.InterruptedKind) && !k.has(vitrine.KeptKind) &&
		k.date().Add(24*time.Hour).Before(c.Now.Add(-c.Grace))
}

var errUnlisted = errors.New("the index has it and the listing of the bucket does not: the store may list it later; if its records are gone, vitrine reindex makes the index anew")

// orphan removes artifacts that no record names, and none will.
func (c *collection) orphan(ctx context.Context, h heap) error {
	item := Item{UUID: h.id.String(), Reason: Orphaned, Objects: h.objects, Bytes: h.bytes, Last: h.newest}
	if k, there := c.known[h.id]; there {
		item.Reason = Unfinished
		for _, key := range []string{
			vitrine.RecordKey(k.date(), item.UUID), vitrine.MarkKey(vitrine.InterruptedKind, k.date(), item.UUID),
			vitrine.MarkKey(vitrine.KeptKind, k.date(), item.UUID),
		} {
			if missing, err := c.missing(ctx, key); err != nil || !missing {
				return c.problem(ctx, item, err) // it came meanwhile, if that is nil
			}
		}
	} else if b, _, err := c.index.Build(ctx, item.UUID); !errors.Is(err, fs.ErrNotExist) && !b.IsImported() {
		// A store's listing may be late: what it lacks is not surely gone.
		return c.problem(ctx, item, cmp.Or(err, errUnlisted))
	}
	if c.Delete {
		if _, _, err := c.remove(ctx, item.UUID); err != nil {
			return c.problem(ctx, item, err)
		}
	}
	c.sum.Orphans++
	c.removed(item)
	return nil
}

// uploads removes parts of objects that were not completed in time.
func (c *collection) uploads(ctx context.Context) error {
	var old []Item
	for u, err := range c.bucket.Uploads(ctx, "") {
		if err != nil {
			return err
		}
		if key, err := vitrine.ParseKey(u.Key); err == nil && u.ModTime.Before(c.Now.Add(-c.Grace)) {
			old = append(old, Item{UUID: key.UUID, Reason: Parts, Key: u.Key, Last: u.ModTime})
		}
	}
	for _, item := range old {
		if c.Delete {
			if err := c.bucket.Abort(ctx, item.Key); err != nil {
				if err := c.problem(ctx, item, err); err != nil {
					return err
				}
				continue
			}
		}
		c.sum.Orphans++
		c.removed(item)
	}
	return nil
}

// missing reports whether there is surely no object at key.
func (c *collection) missing(ctx context.Context, key string) (bool, error) {
	_, err := c.bucket.Stat(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}
