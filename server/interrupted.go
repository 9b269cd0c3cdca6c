package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"vitrine"
	"vitrine/server/index"
	"vitrine/storage"
)

// A runner that dies leaves parts behind. When nothing was heard of its build for
// long enough, the server puts a mark beside the build's records that says what
// there is, and makes objects of the parts: the build is interrupted. Should the runner come
// back, it has to begin the build again, which takes all that back.
//
// Every step may be repeated, and done by several servers: what one did is there
// for the other, and a build.json counts more than a mark.

const (
	// interruptedAfter is the default of Config.InterruptedAfter. Runners say a
	// word every minute.
	interruptedAfter = 5 * time.Minute
	// unheardRounds is how many times that lies between two looks at builds of
	// which this process never heard, and how long nothing of them was stored.
	unheardRounds = 3
)

// interruptLoop looks for silent builds until ctx ends.
func (s *Server) interruptLoop(ctx context.Context) {
	tick := time.NewTicker(min(s.InterruptedAfter/5, refreshEvery))
	defer tick.Stop()
	var lookedForUnheard time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		synced := s.synced
		s.mu.Unlock()
		if !synced {
			continue // the index does not know what has ended
		}
		err := s.interruptSilent(ctx)
		if time.Since(lookedForUnheard) > unheardRounds*s.InterruptedAfter {
			lookedForUnheard = time.Now()
			err = errors.Join(err, s.interruptUnheard(ctx))
		}
		if ctx.Err() == nil {
			s.note("interrupted builds", err)
		}
	}
}

// interruptSilent gives up the builds that this process has heard of, and then
// nothing for InterruptedAfter.
func (s *Server) interruptSilent(ctx context.Context) error {
	since := time.Now().Add(-s.InterruptedAfter)
	var failed []error
	for _, uuid := range s.words.silent(since) {
		b, _, err := s.Index.Build(ctx, uuid)
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && b.State == vitrine.Finished:
			s.words.forget(uuid)
			continue
		case err == nil && b.State == vitrine.Interrupted:
			// By another server, perhaps: a token of this one must not get past it.
			if s.words.giveUp(uuid, since) && s.words.giveUp(uuid, time.Now().Add(-2*tokenLife)) {
				s.words.forget(uuid) // there is no such token any more
			}
			continue
		case err == nil:
			err = s.interrupt(ctx, b, since)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("build %s: %w", uuid, err))
		}
	}
	return errors.Join(failed...)
}

// interruptUnheard gives up the builds that this process never heard of, as it was
// started after them or they go straight to the bucket, and that count as lost. It
// also ends what a server that crashed had begun.
func (s *Server) interruptUnheard(ctx context.Context) error {
	quiet := time.Now().Add(-unheardRounds * s.InterruptedAfter)
	q := index.Query{Result: []string{string(vitrine.LostResult)}, Since: time.Now().Add(-lookBack), Limit: index.MaxLimit}
	var failed []error
	for {
		page, err := s.Index.Builds(ctx, q)
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		for _, b := range page.Builds {
			var err error
			switch b.State {
			case vitrine.Interrupted:
				err = s.finishInterrupting(ctx, b)
			case vitrine.Lost:
				err = s.interrupt(ctx, b, quiet)
			}
			if err != nil {
				failed = append(failed, fmt.Errorf("build %s: %w", b.UUID, err))
			}
		}
		if q.Before = page.Older; q.Before == "" {
			return errors.Join(failed...)
		}
	}
}

// finishInterrupting makes objects of the parts that a crash left behind a mark.
func (s *Server) finishInterrupting(ctx context.Context, b vitrine.Build) error {
	s.interrupting.Lock()
	defer s.interrupting.Unlock()
	// The index may be behind the bucket: of a build that goes on by another server
	// there is no mark.
	mark, _, err := s.readMark(ctx, b)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	missing := make(map[string]bool)
	for _, p := range mark.Partial {
		missing[vitrine.ArtifactKey(b.UUID, p.Path)] = true
	}
	for o, err := range s.Bucket.List(ctx, vitrine.ArtifactKey(b.UUID, "")) {
		if err != nil {
			return fromStore(err)
		}
		delete(missing, o.Key)
	}
	if len(missing) == 0 {
		return nil
	}
	pending, err := s.pendingParts(ctx, b)
	if err == nil {
		err = s.completeParts(ctx, b, mark, pending)
	}
	return err
}

// hasEnded reports whether the bucket has the record of a published build: the
// index may be behind it.
func (s *Server) hasEnded(ctx context.Context, b vitrine.Build) (bool, error) {
	_, err := s.Bucket.Stat(ctx, vitrine.RecordKey(b.StartTime, b.UUID))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, fromStore(err)
	}
	return true, nil
}

// grewSince reports whether something of a build was stored since a time, as far
// as the store can tell.
func (s *Server) grewSince(ctx context.Context, uuid string, since time.Time) (bool, error) {
	for u, err := range s.Bucket.Uploads(ctx, vitrine.ArtifactKey(uuid, "")) {
		if err != nil {
			return false, fromStore(err)
		}
		if u.ModTime.After(since) {
			return true, nil
		}
	}
	return false, nil
}

// interrupt gives up a build that is not published, if there is something of it: a
// build that nothing came of stays as it is.
func (s *Server) interrupt(ctx context.Context, b vitrine.Build, since time.Time) error {
	s.interrupting.Lock()
	defer s.interrupting.Unlock()
	if ended, err := s.hasEnded(ctx, b); ended || err != nil {
		return err
	}
	// Its parts may go by another server, or by signed requests.
	if growing, err := s.grewSince(ctx, b.UUID, since); growing || err != nil {
		return err
	}
	if !s.words.giveUp(b.UUID, since) {
		return nil // it has come back
	}
	pending, err := s.pendingParts(ctx, b)
	if err != nil {
		return err
	}
	mark, err := s.whatIsThere(ctx, b, pending)
	if err != nil {
		return err
	}
	if len(mark.Partial) == 0 {
		s.words.forget(b.UUID)
		return nil
	}
	// The mark first: of an object without one nobody could tell that it lacks its
	// end. If the parts stay behind a crash, the next look finds them.
	mark, text, err := s.putMark(ctx, b, mark)
	if err == nil {
		err = s.completeParts(ctx, b, mark, pending)
	}
	if err == nil {
		err = s.Index.Mark(ctx, vitrine.InterruptedKind, text)
	}
	if err == nil {
		s.Log.Warn("build interrupted", "build", b.UUID, "job", b.JobName, "artifacts", len(mark.Partial))
	}
	return err
}

// pendingParts are the parts that are stored of a build, by path, as far as they
// make the beginning of an artifact that may be shown.
func (s *Server) pendingParts(ctx context.Context, b vitrine.Build) (map[string][]vitrine.Part, error) {
	pending := make(map[string][]vitrine.Part)
	for u, err := range s.Bucket.Uploads(ctx, vitrine.ArtifactKey(b.UUID, "")) {
		if err != nil {
			return nil, fromStore(err)
		}
		k, err := vitrine.ParseKey(u.Key)
		if err != nil || len(pending) >= vitrine.MaxArtifacts || s.checkPublic(ctx, upload{build: b, path: k.Path}) != nil {
			continue
		}
		parts, err := s.Bucket.Parts(ctx, u.Key)
		if err != nil {
			return nil, fromStore(err)
		}
		if parts = beginning(parts); len(parts) > 0 {
			pending[k.Path] = parts
		}
	}
	return pending, nil
}

// completeParts makes objects of the parts of the artifacts that a mark names. Of
// an object that it does not name, nobody could tell that it lacks its end: parts
// that came after the mark, as signed requests let them, are removed.
func (s *Server) completeParts(ctx context.Context, b vitrine.Build, mark *vitrine.Mark, pending map[string][]vitrine.Part) error {
	named := make(map[string]bool)
	for _, p := range mark.Partial {
		named[p.Path] = true
	}
	for path, parts := range pending {
		u := upload{build: b, path: path, key: vitrine.ArtifactKey(b.UUID, path)}
		if !named[path] {
			if err := s.Bucket.Abort(ctx, u.key); err != nil {
				return fromStore(err)
			}
			continue
		}
		err := s.Bucket.Complete(ctx, u.key, parts, u.options(sizeOf(parts), [32]byte{}))
		if errors.Is(err, fs.ErrExist) {
			err = s.Bucket.Abort(ctx, u.key) // it has come whole beside
		}
		if err == nil {
			err = s.checkStored(ctx, u.key, path)
		}
		var refused *refusal
		if errors.As(err, &refused) {
			s.Log.Warn("what an interrupted build had sent is removed", "key", u.key, "reason", err)
		} else if err != nil {
			return fromStore(err)
		}
	}
	return nil
}

func sizeOf(parts []vitrine.Part) (size int64) {
	for _, p := range parts {
		size += p.Size
	}
	return size
}

// beginning is the longest beginning of an object that its parts make.
func beginning(parts []vitrine.Part) []vitrine.Part {
	for i, p := range parts {
		if p.Number != i+1 {
			return parts[:i]
		}
		if p.Size < vitrine.MinPartSize {
			return parts[:i+1]
		}
	}
	return parts
}

// whatIsThere describes the objects of a build that is given up, and those that
// are to be made of its parts. Whole is what this process acknowledged.
func (s *Server) whatIsThere(ctx context.Context, b vitrine.Build, pending map[string][]vitrine.Part) (*vitrine.Mark, error) {
	there := make(map[string]bool)
	mark := &vitrine.Mark{Version: vitrine.RecordVersion, UUID: b.UUID, Time: time.Now().UTC().Truncate(time.Second)}
	for o, err := range s.Bucket.List(ctx, vitrine.ArtifactKey(b.UUID, "")) {
		if err != nil {
			return nil, fromStore(err)
		}
		k, err := vitrine.ParseKey(o.Key)
		if err != nil || o.Size == 0 || len(mark.Partial) >= vitrine.MaxArtifacts {
			continue
		}
		if s.checkPublic(ctx, upload{build: b, path: k.Path}) != nil {
			continue // not by a server: nobody is shown it
		}
		there[k.Path] = true
		mark.Partial = append(mark.Partial, vitrine.PartialArtifact{Path: k.Path, Size: o.Size, Whole: s.uploads.storedAs(b.UUID, k.Path).size == o.Size})
	}
	for _, path := range slices.Sorted(maps.Keys(pending)) {
		if !there[path] && len(mark.Partial) < vitrine.MaxArtifacts {
			mark.Partial = append(mark.Partial, vitrine.PartialArtifact{Path: path, Size: sizeOf(pending[path])})
		}
	}
	return mark, nil
}

// putMark stores the mark of a build, unless there is one, and returns the one that
// is there.
func (s *Server) putMark(ctx context.Context, b vitrine.Build, mark *vitrine.Mark) (*vitrine.Mark, []byte, error) {
	text, err := mark.Marshal()
	if err != nil {
		return nil, nil, err
	}
	opts := storage.CreateOptions{Size: int64(len(text)), SHA256: sha256.Sum256(text), MediaType: "application/json"}
	err = s.Bucket.Create(ctx, markKey(b), bytes.NewReader(text), opts)
	if errors.Is(err, fs.ErrExist) {
		return s.readMark(ctx, b)
	} else if err != nil {
		return nil, nil, fromStore(err)
	}
	return mark, text, nil
}

func markKey(b vitrine.Build) string {
	return vitrine.MarkKey(vitrine.InterruptedKind, b.StartTime, b.UUID)
}

// readMark reads the mark of an interrupted build.
func (s *Server) readMark(ctx context.Context, b vitrine.Build) (*vitrine.Mark, []byte, error) {
	text, err := s.read(ctx, markKey(b), vitrine.MaxMarkSize)
	if err != nil {
		return nil, nil, err
	}
	mark, err := vitrine.ParseMark(text)
	if err == nil && mark.UUID != b.UUID {
		err = fmt.Errorf("%w: it is that of build %s", vitrine.ErrMark, mark.UUID)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", markKey(b), err)
	}
	return mark, text, nil
}
