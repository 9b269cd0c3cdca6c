package server

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

	"vitrine"
)

const (
	// takeBackTimeout bounds the removal of what an interrupted build had sent, and
	// deletesAtOnce how much of it is removed side by side.
	takeBackTimeout = 10 * time.Minute
	deletesAtOnce   = 8
)

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
