package server

import (
	"bytes"
	"time"

	"github.com/labstack/echo/v4"

	"vitrine/web"
)

// page renders one page of the site.
func (s *Server) page(c echo.Context, status int, p web.Page) error {
	layout := web.Layout{Tenant: s.Tenant, Now: time.Now(), PublicURL: s.PublicURL}
	var b bytes.Buffer
	if err := web.Render(&b, layout, p); err != nil {
		return err
	}
	return c.HTMLBlob(status, b.Bytes())
}
