package server

import (
	"github.com/labstack/echo/v4"

	"vitrine/web"
)

// feedLength is how many builds a feed tells of: who asks daily misses none of
// two an hour.
const feedLength = 50

// feedAtom is GET …/feed.atom: the builds that ended last, of any filter.
func (s *Server) feedAtom(c echo.Context) error {
	return s.feed(c, "application/atom+xml; charset=utf-8", web.Feed.Atom)
}

// feedJSON is GET …/feed.json.
func (s *Server) feedJSON(c echo.Context) error {
	return s.feed(c, "application/feed+json", web.Feed.JSON)
}

func (s *Server) feed(c echo.Context, mediaType string, write func(web.Feed) ([]byte, error)) error {
	filter, q, err := parseFilter(c.QueryParams())
	if err != nil {
		return err
	}
	q.Complete, q.Limit = new(true), feedLength
	list, err := s.Index.Builds(c.Request().Context(), q)
	if err != nil {
		return err
	}
	f := web.Feed{Tenant: s.Tenant, PublicURL: s.PublicURL, Filter: filter, Builds: list.Builds}
	body, err := write(f)
	if err != nil {
		return err
	}
	return crossOrigin(func(c echo.Context) error { return answer(c, mediaType, f.Updated(), body) })(c)
}
