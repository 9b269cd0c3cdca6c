package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/server/index"
	"vitrine/storage"
)

// A runner that dies leaves parts behind. When nothing was heard of its build for
// long enough, the server makes objects of them and puts a mark beside the build's
// records that says what there is: the build is interrupted. Should the runner come
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

// words are when this process last heard of the builds that it lets in.
type words struct {
	mu     sync.Mutex
	builds map[string]*word
}

type word struct {
	last    time.Time
	open    int  // requests under way
	givenUp bool // it has to begin again before it is let in
}

// begun notes that a build has begun, or begun again.
func (w *words) begun(uuid string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	open := 0
	if b := w.builds[uuid]; b != nil {
		open = b.open
	}
	w.builds[uuid] = &word{last: time.Now(), open: open}
}

// hear notes a request of a build that lasts until done is called.
func (w *words) hear(uuid string) (done func()) {
	note := func(more int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		b := w.builds[uuid]
		if b == nil {
			b = &word{}
			w.builds[uuid] = b
		}
		b.last, b.open = time.Now(), b.open+more
	}
	note(1)
	return func() { note(-1) }
}

// silent are the builds of which nothing was heard for a time.
func (w *words) silent(since time.Time) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for uuid, b := range w.builds {
		if b.isSilent(since) {
			list = append(list, uuid)
		}
	}
	return list
}

func (b *word) isSilent(since time.Time) bool { return b.open == 0 && b.last.Before(since) }

// giveUp closes the door on a build, unless a word came meanwhile.
func (w *words) giveUp(uuid string, since time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.builds[uuid]
	if b == nil {
		b = &word{}
		w.builds[uuid] = b
	}
	if !b.isSilent(since) {
		return false
	}
	b.givenUp = true
	return true
}

func (w *words) isGivenUp(uuid string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.builds[uuid] != nil && w.builds[uuid].givenUp
}

// forget forgets a build, and with it that it was given up.
func (w *words) forget(uuid string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b := w.builds[uuid]; b != nil && b.open == 0 {
		delete(w.builds, uuid)
	}
}

// hear is around the requests that bring something of a build. Only one that is let
// in is a word of its publisher.
func (s *Server) hear(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		uuid := param(c, "uuid")
		if s.authorize(c.Request(), uuid) == nil {
			defer s.words.hear(uuid)()
		}
		return next(c)
	}
}

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
// started after them or they go straight to the bucket, and that count as lost.
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
			if b.State != vitrine.Lost {
				continue
			}
			growing, err := s.grewSince(ctx, b.UUID, quiet)
			if err == nil && !growing {
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

// grewSince reports whether something of a build was stored since a time, as far
// as the store can tell.
func (s *Server) grewSince(ctx context.Context, uuid string, since time.Time) (bool, error) {
	for u, err := range s.Bucket.Uploads(ctx, vitrine.ArtifactKey(uuid, "")) {
		if err != nil || u.ModTime.After(since) {
			return err == nil, err
		}
	}
	return false, nil
}

// interrupt gives up a build that is not published, if there is something of it: a
// build that nothing came of stays as it is.
func (s *Server) interrupt(ctx context.Context, b vitrine.Build, since time.Time) error {
	s.interrupting.Lock()
	defer s.interrupting.Unlock()
	// The index may be behind the bucket.
	_, err := s.Bucket.Stat(ctx, vitrine.RecordKey(b.StartTime, b.UUID))
	if err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fromStore(err)
	}
	if !s.words.giveUp(b.UUID, since) {
		return nil // it has come back
	}
	if err := s.completeParts(ctx, b); err != nil {
		return err
	}
	mark, err := s.whatIsThere(ctx, b)
	if err != nil {
		return err
	}
	if len(mark.Partial) == 0 {
		s.words.forget(b.UUID)
		return nil
	}
	text, err := s.putMark(ctx, b, mark)
	if err == nil {
		err = s.Index.Mark(ctx, vitrine.InterruptedKind, text)
	}
	if err == nil {
		s.Log.Warn("build interrupted", "build", b.UUID, "job", b.JobName, "artifacts", len(mark.Partial))
	}
	return err
}

// completeParts makes objects of the parts that are stored of a build.
func (s *Server) completeParts(ctx context.Context, b vitrine.Build) error {
	var keys []string
	for u, err := range s.Bucket.Uploads(ctx, vitrine.ArtifactKey(b.UUID, "")) {
		if err != nil {
			return fromStore(err)
		}
		if keys = append(keys, u.Key); len(keys) >= vitrine.MaxArtifacts {
			break
		}
	}
	for _, key := range keys {
		parts, err := s.Bucket.Parts(ctx, key)
		if err != nil {
			return fromStore(err)
		}
		opts := storage.CreateOptions{MediaType: octetStream}
		if !b.Expires.IsZero() {
			opts.Expires = b.Expires.Add(vitrine.ExpiryGrace)
		}
		if parts = beginning(parts); len(parts) == 0 {
			continue
		}
		for _, p := range parts {
			opts.Size += p.Size
		}
		err = s.Bucket.Complete(ctx, key, parts, opts)
		if errors.Is(err, fs.ErrExist) {
			err = s.Bucket.Abort(ctx, key) // it has come whole beside
		}
		if err == nil {
			err = s.checkStored(ctx, key, strings.TrimPrefix(key, vitrine.ArtifactKey(b.UUID, "")))
		}
		var refused *refusal
		if errors.As(err, &refused) {
			s.Log.Warn("what an interrupted build had sent is removed", "key", key, "reason", err)
		} else if err != nil {
			return fromStore(err)
		}
	}
	return nil
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

// whatIsThere describes the objects of a build that is given up.
func (s *Server) whatIsThere(ctx context.Context, b vitrine.Build) (*vitrine.Mark, error) {
	mark := &vitrine.Mark{Version: vitrine.RecordVersion, UUID: b.UUID, Time: time.Now().UTC().Truncate(time.Second)}
	for o, err := range s.Bucket.List(ctx, vitrine.ArtifactKey(b.UUID, "")) {
		if err != nil {
			return nil, fromStore(err)
		}
		k, err := vitrine.ParseKey(o.Key)
		if err != nil || o.Size == 0 || len(mark.Partial) >= vitrine.MaxArtifacts {
			continue
		}
		u := upload{build: b, path: k.Path, key: o.Key}
		if s.checkPublic(ctx, u) != nil {
			continue // not by a server: nobody is shown it
		}
		mark.Partial = append(mark.Partial, vitrine.PartialArtifact{Path: k.Path, Size: o.Size, Whole: s.uploads.isWhole(b.UUID, k.Path)})
	}
	return mark, nil
}

// isWhole reports whether this process acknowledged an artifact to its publisher.
func (u *uploads) isWhole(uuid, path string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	b := u.builds[uuid]
	return b != nil && b.artifacts[path] != nil && b.artifacts[path].stored.size > 0
}

// putMark stores the mark of a build, unless there is one, and returns the one that
// is there.
func (s *Server) putMark(ctx context.Context, b vitrine.Build, mark *vitrine.Mark) ([]byte, error) {
	text, err := mark.Marshal()
	if err != nil {
		return nil, err
	}
	key := vitrine.MarkKey(vitrine.InterruptedKind, b.StartTime, b.UUID)
	opts := storage.CreateOptions{Size: int64(len(text)), SHA256: sha256.Sum256(text), MediaType: "application/json"}
	err = s.Bucket.Create(ctx, key, bytes.NewReader(text), opts)
	if errors.Is(err, fs.ErrExist) {
		return s.read(ctx, key, vitrine.MaxMarkSize)
	} else if err != nil {
		return nil, fromStore(err)
	}
	return text, nil
}

// takeBack makes an interrupted build one that runs, as its publisher has begun it
// again: the mark goes, and so does what it names but for artifacts that had been
// acknowledged. The mark goes last, so that a crash in between is made up for.
func (s *Server) takeBack(ctx context.Context, record *vitrine.Record) error {
	b, _, err := s.Index.Build(ctx, record.UUID)
	if errors.Is(err, fs.ErrNotExist) || err == nil && b.State == vitrine.Finished {
		return nil
	} else if err != nil {
		return err
	}
	if b.State != vitrine.Interrupted && !s.words.isGivenUp(record.UUID) {
		return nil
	}
	s.interrupting.Lock()
	defer s.interrupting.Unlock()
	// The publisher may hang up now; what is begun is finished.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	key := vitrine.MarkKey(vitrine.InterruptedKind, record.StartTime, record.UUID)
	text, err := s.read(ctx, key, vitrine.MaxMarkSize)
	var mark *vitrine.Mark
	switch {
	case errors.Is(err, fs.ErrNotExist): // a crash, or a failure, came before it was stored
		mark, err = s.whatIsThere(ctx, b)
	case err == nil:
		mark, err = vitrine.ParseMark(text)
	}
	if err != nil {
		return err
	}
	for _, p := range mark.Partial {
		if p.Whole {
			continue
		}
		if err := s.Bucket.Delete(ctx, vitrine.ArtifactKey(record.UUID, p.Path)); err != nil {
			return fromStore(err)
		}
	}
	if err := s.Bucket.Delete(ctx, key); err != nil {
		return fromStore(err)
	}
	if err := s.Index.Unmark(ctx, vitrine.InterruptedKind, record.UUID); err != nil {
		return err
	}
	s.Log.Info("interrupted build goes on", "build", record.UUID, "job", record.JobName)
	return nil
}

// errGivenUp is the answer to a token from before a build was given up.
func errGivenUp(uuid string) error {
	return refuse(http.StatusUnauthorized, "nothing was heard of build %s for too long, and it was given up: begin it again", uuid)
}
