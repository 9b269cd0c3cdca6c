package server

import (
	"strings"
	"time"
	"unicode"

	"github.com/labstack/echo/v4"

	"vitrine/web"
)

// badge is GET …/badge.svg: how the last build that ended did, of any filter. It
// is about the job, or else the service, that it is narrowed to, or what the
// parameter label says.
func (s *Server) badge(c echo.Context) error {
	_, q, err := parseFilter(c.QueryParams())
	if err != nil {
		return err
	}
	q.Complete, q.Limit = new(true), 1
	list, err := s.Index.Builds(c.Request().Context(), q)
	if err != nil {
		return err
	}
	b := web.Badge{Label: badgeLabel(c.QueryParam("label"), q.Job, q.Service, s.Tenant)}
	if len(list.Builds) > 0 {
		b.Build = &list.Builds[0]
	}
	h := c.Response().Header()
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin") // it is for pages elsewhere
	return answer(c, "image/svg+xml", time.Time{}, b.SVG())
}

func badgeLabel(own string, job, service []string, tenant string) string {
	own = strings.TrimSpace(strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}, own))
	switch {
	case own != "":
		r := []rune(own)
		return string(r[:min(len(r), web.MaxLabel)])
	case len(job) == 1:
		return job[0]
	case len(service) == 1:
		return service[0]
	}
	return tenant
}
