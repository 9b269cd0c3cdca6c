package server

import (
	"net/http"

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
	if k, err := s.Keyring.At(ctx, b.Keyring.Commit); err == nil {
		if service := k.Services[b.Service]; service != nil {
			p.People = describeService(k, service, b.StartTime).Readers
		}
	}
	p.Signature = s.signatureOf(c, b, entry)
	return s.page(c, http.StatusOK, p)
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
