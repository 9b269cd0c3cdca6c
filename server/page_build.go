package server

import (
	"context"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/server/index"
	"vitrine/signature"
	"vitrine/web"
)

// build is the page of one build.
func (s *Server) build(c echo.Context) error {
	ctx := c.Request().Context()
	b, entry, err := s.Index.Build(ctx, param(c, "uuid"))
	if err != nil {
		return err
	}
	around, err := s.Index.Neighbours(ctx, b, web.HistoryLength)
	if err != nil {
		return err
	}
	set, err := s.Index.Buildset(ctx, b.Buildset)
	if err != nil {
		return err
	}
	p := web.BuildPage{Build: s.located(ctx, b), History: around, Others: max(len(set)-1, 0)}
	// The keyring of the build's own time says whose keys they were.
	switch k, err := s.Keyring.At(ctx, b.Keyring.Commit); {
	case b.IsImported():
	case err != nil:
		p.KeyringUnknown = true
	case k.Services[b.Service] != nil:
		p.People = describeService(k, k.Services[b.Service], b.StartTime).Readers
	}
	p.Signature = s.signatureOf(c, b, entry)
	p.Previews = s.peek(ctx, b, web.Previewed(b))
	if b.State == vitrine.Running {
		p.Coming = s.coming(ctx, b)
	}
	if p.Framing() {
		c.Response().Header().Set("Content-Security-Policy", web.FramingPolicy)
	}
	return s.page(c, http.StatusOK, p)
}

// coming is what the store has of a build that runs, as far as it tells in time.
func (s *Server) coming(ctx context.Context, b vitrine.Build) []vitrine.Artifact {
	ctx, cancel := context.WithTimeout(ctx, peekTimeout)
	defer cancel()
	pending, err := s.pendingParts(ctx, b)
	if err != nil {
		return nil
	}
	mark, err := s.whatIsThere(ctx, b, pending)
	if err != nil {
		return nil
	}
	var list []vitrine.Artifact
	for _, p := range mark.Partial {
		list = append(list, vitrine.Artifact{Path: p.Path, Size: p.Size, Sealed: strings.HasSuffix(p.Path, vitrine.SealedRawSuffix)})
	}
	return list
}

// signatureOf checks the signature of the record that the page shows, anew each
// time: the index is not believed.
func (s *Server) signatureOf(c echo.Context, b vitrine.Build, entry index.Entry) web.Signature {
	if b.IsImported() || len(entry.Signature) == 0 || b.State == vitrine.Interrupted { // that of its start says nothing of what there is
		return web.Signature{State: web.Unsigned}
	}
	k, err := s.Keyring.At(c.Request().Context(), b.Keyring.Commit)
	if err == nil {
		err = k.CheckRecord(&b.Record)
	}
	if err == nil {
		signed := vitrine.SignedRecord{Record: string(entry.Record), Signature: string(entry.Signature)}
		err = signature.VerifyRecord(&b.Record, signed, k.PublisherKeys(b.Service))
	}
	if err != nil {
		return web.Signature{State: web.NotVerified, Reason: err.Error()}
	}
	return web.Signature{State: web.Verified}
}
