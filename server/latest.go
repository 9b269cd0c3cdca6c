package server

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/server/index"
	"vitrine/web"
)

// latest is GET …/latest, which leads to the page of the newest build of any
// filter, and …/latest/artifacts/PATH, which leads to a file of the newest that
// has ended: one that runs has none.
func (s *Server) latest(c echo.Context) error {
	_, q, err := parseFilter(c.QueryParams())
	if err != nil {
		return err
	}
	if param(c, "*") != "" {
		q.Complete = new(true)
	}
	return s.leadTo(c, q)
}

// latestSuccess is GET …/latest-success and …/latest-success/artifacts/PATH: the
// newest one that succeeded.
func (s *Server) latestSuccess(c echo.Context) error {
	_, q, err := parseFilter(c.QueryParams())
	if err != nil {
		return err
	}
	q.Result = []string{string(vitrine.Success)}
	return s.leadTo(c, q)
}

func (s *Server) leadTo(c echo.Context, q index.Query) error {
	ctx, path := c.Request().Context(), param(c, "*")
	q.Limit = 1
	list, err := s.Index.Builds(ctx, q)
	if err != nil {
		return err
	}
	if len(list.Builds) == 0 {
		return refuse(http.StatusNotFound, "the history has no build of that kind yet")
	}
	uuid := list.Builds[0].UUID
	c.Response().Header().Set("Cache-Control", "no-cache")
	if path == "" {
		return c.Redirect(http.StatusSeeOther, web.BuildPath(s.Tenant, uuid))
	}
	b, _, err := s.Index.Build(ctx, uuid)
	if err != nil {
		return err
	}
	for _, a := range b.Artifacts {
		if a.Path == path || a.PlainPath() == path {
			return crossOrigin(func(c echo.Context) error {
				return c.Redirect(http.StatusSeeOther, web.ArtifactPath(s.Tenant, uuid, a.Path))
			})(c)
		}
	}
	return refuse(http.StatusNotFound, "build %s, the newest of that kind, has no artifact %q", uuid, path)
}
