package server

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"vitrine/web"
)

const listed = 50 // builds on a page of the list

// builds is the list, narrowed and paged by the address.
func (s *Server) builds(c echo.Context) error {
	values := c.QueryParams()
	q, err := parseQuery(values)
	if err != nil {
		return err
	}
	q.Limit = listed
	list, err := s.Index.Builds(c.Request().Context(), q)
	if err != nil {
		return err
	}
	p := web.BuildsPage{Filter: make(url.Values), Builds: list.Builds, Newer: list.Newer, Older: list.Older}
	for _, name := range web.FilterParams {
		if v := filled(values[name]); v != nil {
			p.Filter[name] = v
		}
	}
	if k, err := s.keyringNow(); err == nil {
		p.Services = sortedKeys(k.Services)
	}
	return s.page(c, http.StatusOK, p)
}
