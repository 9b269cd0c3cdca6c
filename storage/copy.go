package storage

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"vitrine"
)

const copiesAtOnce = 4 // builds that are copied at once

// CopyOptions say how to copy a history, and whom to tell.
type CopyOptions struct {
	DryRun bool // nothing is written
	// Verify has what is there already read, not only its size compared.
	Verify bool
	// Problem is called for each object that is not what its record says, one at
	// a time; the error wraps [ErrIntegrity]. nil is fine.
	Problem func(key string, err error)
	// Progress is called now and then, one at a time; nil is fine.
	Progress func(CopyTotals)
}

// CopyTotals count what was copied, or would be.
type CopyTotals struct {
	Builds       int   `json:"builds"`  // that were looked at
	Objects      int   `json:"objects"` // of them
	Bytes        int64 `json:"bytes"`
	Copied       int   `json:"copied_objects"`
	CopiedBytes  int64 `json:"copied_bytes"`
	There        int   `json:"there_objects"` // and were passed over
	ThereBytes   int64 `json:"there_bytes"`
	Problems     int   `json:"problems"`      // objects
	BuildsFailed int   `json:"builds_failed"` // that are not whole in the place they are copied to
}

// Copy copies a history from one bucket to another: the records with their
// signatures and marks, and the artifacts that they name. What is there already is
// passed over, so that a call goes on where one before broke off. But what was
// copied before its build had ended, and differs from what the build ended with, is
// removed and copied again.
//
// Artifacts are compared with the SHA-256 in their record. One that differs, or is
// missing, is a problem: then no record of that build is copied, and the others
// are. So the copy never shows a build without its objects. An error of a store
// ends it.
func Copy(ctx context.Context, to Bucket, from Reader, o CopyOptions) (CopyTotals, error) {
	c := &copier{CopyOptions: o, to: to, from: from}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(copiesAtOnce)
	err := func() error {
		var records []Object // of one build
		dir := func(o Object) string { return o.Key[:strings.LastIndexByte(o.Key, '/')] }
		flush := func() {
			if build := records; len(build) > 0 {
				group.Go(func() error { return c.build(ctx, build) })
			}
			records = nil
		}
		for o, err := range from.List(ctx, vitrine.RecordsPrefix) {
			if err != nil {
				return err
			}
			if _, err := vitrine.ParseKey(o.Key); err != nil {
				continue // not ours
			}
			if len(records) > 0 && dir(records[0]) != dir(o) {
				flush()
			}
			records = append(records, o)
		}
		flush()
		return nil
	}()
	if failed := group.Wait(); failed != nil {
		err = failed // the listing's is its consequence
	}
	if err != nil {
		err = fmt.Errorf("copy: %w", err)
	}
	return c.totals, err
}

type copier struct {
	CopyOptions
	to   Bucket
	from Reader

	mu     sync.Mutex
	totals CopyTotals
}

// A copied object is one to copy, and what is known of its bytes.
type copied struct {
	Object
	sha256    string // by the signed record; empty: nobody knows
	mediaType string
	expires   time.Time
}

// build copies one build, whose records are given.
func (c *copier) build(ctx context.Context, records []Object) error {
	key, err := vitrine.ParseKey(records[0].Key)
	if err != nil {
		return err
	}
	there, err := c.sizes(ctx, vitrine.DayPrefix(key.Day)+key.UUID+"/", vitrine.ArtifactsPrefix+key.UUID+"/")
	if err != nil {
		return err
	}
	artifacts, err := c.artifacts(ctx, key.UUID, records)
	if err == nil {
		if err := c.replace(ctx, key, records, artifacts, there); err != nil {
			return err
		}
	}
	whole := true
	if err == nil {
		c.count(func(t *CopyTotals) {
			t.Builds++
			for _, o := range artifacts {
				t.Objects, t.Bytes = t.Objects+1, t.Bytes+o.Size
			}
		})
		for _, o := range artifacts {
			ok, err := c.object(ctx, o, there)
			if err != nil {
				return err
			}
			whole = whole && ok
		}
	} else if errors.Is(err, ErrIntegrity) || errors.Is(err, vitrine.ErrRecord) {
		c.problem(records[0].Key, err)
		whole = false
	} else {
		return err
	}
	if whole {
		// What says that the build is there comes last.
		slices.SortStableFunc(records, func(a, b Object) int { return cmp.Compare(rank(a.Key), rank(b.Key)) })
		for _, o := range records {
			c.count(func(t *CopyTotals) { t.Objects, t.Bytes = t.Objects+1, t.Bytes+o.Size })
			media := "application/json"
			if strings.HasSuffix(o.Key, ".sig") {
				media = "text/plain; charset=utf-8"
			}
			ok, err := c.object(ctx, copied{Object: o, mediaType: media}, there)
			if err != nil {
				return err
			}
			if whole = whole && ok; !whole {
				break
			}
		}
	}
	if !whole {
		c.count(func(t *CopyTotals) { t.BuildsFailed++ })
	}
	return nil
}

// rank is the order in which a build's records are copied.
func rank(key string) int {
	switch k, _ := vitrine.ParseKey(key); k.Kind {
	case vitrine.StartedSignatureKind, vitrine.RecordSignatureKind:
		return 0
	case vitrine.StartedKind:
		return 1
	case vitrine.RecordKind:
		return 3
	}
	return 2
}

// sizes are those of the objects that are in the other bucket already.
func (c *copier) sizes(ctx context.Context, prefixes ...string) (map[string]int64, error) {
	there := make(map[string]int64)
	for _, prefix := range prefixes {
		for o, err := range c.to.List(ctx, prefix) {
			if err != nil {
				return nil, err
			}
			there[o.Key] = o.Size
		}
	}
	return there, nil
}

// replace removes what was copied of a build before it had ended, and is not what
// its record names: an interrupted build is taken back, and goes on with other bytes.
func (c *copier) replace(ctx context.Context, key vitrine.Key, records []Object, artifacts []copied, there map[string]int64) error {
	has := func(name string) bool {
		return slices.ContainsFunc(records, func(o Object) bool { return o.Key == name })
	}
	record, mark := vitrine.RecordKey(key.Day, key.UUID), vitrine.MarkKey(vitrine.InterruptedKind, key.Day, key.UUID)
	if _, shown := there[record]; shown || !has(record) {
		return nil
	}
	var other []string
	for _, o := range artifacts {
		size, ok := there[o.Key]
		if ok && size == o.Size {
			sum, err := hashObject(ctx, c.to, o.Key)
			if err != nil {
				return err
			}
			ok = hex.EncodeToString(sum[:]) != o.sha256
		}
		if ok {
			other = append(other, o.Key)
		}
	}
	if _, ok := there[mark]; ok && !has(mark) {
		other = append(other, mark)
	}
	for _, name := range other {
		delete(there, name)
		if c.DryRun {
			continue
		}
		if err := c.to.Delete(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// artifacts are those that a build's record names, or, before there is one, all.
func (c *copier) artifacts(ctx context.Context, uuid string, records []Object) ([]copied, error) {
	kinds := make(map[vitrine.KeyKind]Object)
	for _, o := range records {
		k, _ := vitrine.ParseKey(o.Key)
		kinds[k.Kind] = o
	}
	key, ended := kinds[vitrine.RecordKind]
	if !ended {
		key = kinds[vitrine.StartedKind]
	}
	var record vitrine.Record
	if key.Key != "" {
		text, err := c.small(ctx, key, vitrine.MaxRecordSize)
		if err != nil {
			return nil, err
		}
		r, err := vitrine.ParseRecord(text)
		if err != nil {
			return nil, err
		}
		record = *r
	}
	if record.UUID != "" && record.UUID != uuid {
		return nil, fmt.Errorf("%w: it is that of build %s", vitrine.ErrRecord, record.UUID)
	}
	_, kept := kinds[vitrine.KeptKind]
	_, expired := kinds[vitrine.ExpiredKind]
	var expires time.Time
	// A store may refuse a time that is past; then expiry itself will remove it.
	if at := record.Expires.Add(vitrine.ExpiryGrace); !record.Expires.IsZero() && !kept && at.After(time.Now().Add(time.Hour)) {
		expires = at
	}
	var list []copied
	there := make(map[string]bool)
	known := make(map[string]vitrine.Artifact)
	for _, a := range record.Artifacts {
		known[vitrine.ArtifactKey(uuid, a.Path)] = a
	}
	for o, err := range c.from.List(ctx, vitrine.ArtifactsPrefix+uuid+"/") {
		if err != nil {
			return nil, err
		}
		a, named := known[o.Key]
		if ended && !named {
			continue // no record will ever name it
		}
		there[o.Key] = true
		if named && o.Size != a.Size {
			return nil, fmt.Errorf("%w: %s has %d bytes, its record says %d", ErrIntegrity, o.Key, o.Size, a.Size)
		}
		list = append(list, copied{Object: o, sha256: a.SHA256, expires: expires})
	}
	for key := range known {
		if !there[key] && !expired {
			return nil, fmt.Errorf("%w: %s is missing", ErrIntegrity, key)
		}
	}
	return list, nil
}

// object copies one object, unless it is there. It reports whether the copy is
// good.
func (c *copier) object(ctx context.Context, o copied, there map[string]int64) (bool, error) {
	if size, ok := there[o.Key]; ok {
		if size != o.Size {
			c.problem(o.Key, fmt.Errorf("%w: the copy has %d bytes, and the original %d", ErrIntegrity, size, o.Size))
			return false, nil
		}
		if c.Verify {
			if good, err := c.verify(ctx, o); !good || err != nil {
				return false, err
			}
		}
		c.count(func(t *CopyTotals) { t.There, t.ThereBytes = t.There+1, t.ThereBytes+o.Size })
		return true, nil
	}
	if c.DryRun {
		c.done(o)
		return true, nil
	}
	opts := CreateOptions{Size: o.Size, MediaType: o.mediaType, Expires: o.expires}
	var body io.Reader
	if o.Size <= vitrine.MinPartSize {
		text, err := c.small(ctx, o.Object, o.Size)
		if errors.Is(err, ErrIntegrity) {
			c.problem(o.Key, err)
			return false, nil
		} else if err != nil {
			return false, err
		}
		body, opts.SHA256 = bytes.NewReader(text), sha256.Sum256(text)
		if o.sha256 != "" && hex.EncodeToString(opts.SHA256[:]) != o.sha256 {
			return false, c.corrupt(o, opts.SHA256)
		}
	} else {
		if o.sha256 == "" {
			sum, err := hashObject(ctx, c.from, o.Key)
			if err != nil {
				return false, err
			}
			opts.SHA256 = sum
		} else {
			hex.Decode(opts.SHA256[:], []byte(o.sha256))
		}
		r, err := c.from.Open(ctx, o.Key)
		if err != nil {
			return false, err
		}
		defer r.Close()
		body = r
	}
	err := c.to.Create(ctx, o.Key, body, opts)
	if errors.Is(err, ErrIntegrity) && o.sha256 != "" {
		// Which of the two it was?
		if sum, e := hashObject(ctx, c.from, o.Key); e == nil && sum != opts.SHA256 {
			return false, c.corrupt(o, sum)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		c.problem(o.Key, fmt.Errorf("%w: the copy has other bytes", ErrIntegrity))
		return false, nil
	} else if err != nil {
		return false, err
	}
	c.done(o)
	return true, nil
}

// verify compares what is there already with the record, or with the original.
func (c *copier) verify(ctx context.Context, o copied) (bool, error) {
	sum, err := hashObject(ctx, c.to, o.Key)
	if err != nil {
		return false, err
	}
	want := o.sha256
	if want == "" {
		original, err := hashObject(ctx, c.from, o.Key)
		if err != nil {
			return false, err
		}
		want = hex.EncodeToString(original[:])
	}
	if got := hex.EncodeToString(sum[:]); got != want {
		c.problem(o.Key, fmt.Errorf("%w: the SHA-256 of the copy is %s, want %s", ErrIntegrity, got, want))
		return false, nil
	}
	return true, nil
}

// small reads an object of at most limit bytes.
func (c *copier) small(ctx context.Context, o Object, limit int64) ([]byte, error) {
	r, err := c.from.Open(ctx, o.Key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(text)) != o.Size {
		err = fmt.Errorf("%w: %s has %d bytes, and was listed with %d", ErrIntegrity, o.Key, len(text), o.Size)
	}
	return text, err
}

func hashObject(ctx context.Context, b Reader, key string) (sum [32]byte, err error) {
	r, err := b.Open(ctx, key)
	if err != nil {
		return sum, err
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return sum, err
	}
	return [32]byte(h.Sum(nil)), nil
}

func (c *copier) corrupt(o copied, got [32]byte) error {
	c.problem(o.Key, fmt.Errorf("%w: the SHA-256 is %x, the record says %s", ErrIntegrity, got, o.sha256))
	return nil
}

func (c *copier) problem(key string, err error) {
	c.count(func(t *CopyTotals) { t.Problems++ })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Problem != nil {
		c.Problem(key, err)
	}
}

func (c *copier) done(o copied) {
	c.count(func(t *CopyTotals) { t.Copied, t.CopiedBytes = t.Copied+1, t.CopiedBytes+o.Size })
}

func (c *copier) count(f func(*CopyTotals)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.totals)
	if c.Progress != nil {
		c.Progress(c.totals)
	}
}
