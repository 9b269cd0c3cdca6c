package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

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
	// takeBackTimeout bounds the removal of what an interrupted build had sent, and
	// deletesAtOnce how much of it is removed side by side.
	takeBackTimeout = 10 * time.Minute
	deletesAtOnce   = 8
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

// takeBack makes an interrupted build one that runs, as its publisher has begun it
// again: the mark goes, and so do all parts, and what the mark names but for
// artifacts that had been acknowledged. The mark goes last, so that a crash in
// between is made up for.
func (s *Server) takeBack(c echo.Context, record *vitrine.Record) error {
	b, _, err := s.Index.Build(c.Request().Context(), record.UUID)
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), takeBackTimeout)
	defer cancel()
	http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(takeBackTimeout + requestTimeout))
	if ended, err := s.hasEnded(ctx, b); ended || err != nil {
		return err
	}
	mark, _, err := s.readMark(ctx, b)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// Another server took it back, or a failure came before the mark: then
		// nothing was made of parts, and what is there is the publisher's.
	case err != nil:
		return err
	default:
		if err := s.removePartial(ctx, mark); err != nil {
			return fromStore(err)
		}
		if err := s.Bucket.Delete(ctx, markKey(b)); err != nil {
			return fromStore(err)
		}
	}
	if err := s.Index.Unmark(ctx, vitrine.InterruptedKind, record.UUID); err != nil {
		return err
	}
	s.Log.Info("interrupted build goes on", "build", record.UUID, "job", record.JobName)
	return nil
}

// removePartial removes the artifacts that a mark names and that are not whole, and
// all parts of its build.
func (s *Server) removePartial(ctx context.Context, mark *vitrine.Mark) error {
	var pending []string
	for u, err := range s.Bucket.Uploads(ctx, vitrine.ArtifactKey(mark.UUID, "")) {
		if err != nil {
			return err
		}
		pending = append(pending, u.Key)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(deletesAtOnce)
	for _, key := range pending {
		group.Go(func() error { return s.Bucket.Abort(ctx, key) })
	}
	whole := make(map[string]bool)
	for _, p := range mark.Partial {
		if p.Whole {
			whole[p.Path] = true
			continue
		}
		group.Go(func() error { return s.Bucket.Delete(ctx, vitrine.ArtifactKey(mark.UUID, p.Path)) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	s.uploads.forgetPartial(mark.UUID, whole)
	return nil
}

// errGivenUp is the answer to a token from before a build was given up.
func errGivenUp(uuid string) error {
	return refuse(http.StatusUnauthorized, "nothing was heard of build %s for too long, and it was given up: begin it again", uuid)
}
