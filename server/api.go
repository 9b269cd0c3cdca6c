package server

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"vitrine"
)

// The JSON answers of the API. What a page shows is here too.

// apiBuilds is GET …/builds: a page of the list, narrowed as the page is.
func (s *Server) apiBuilds(c echo.Context) error {
	q, err := parseQuery(c.QueryParams())
	if err != nil {
		return err
	}
	list, err := s.Index.Builds(c.Request().Context(), q)
	if err != nil {
		return err
	}
	answer := vitrine.BuildPage{Builds: list.Builds, Older: list.Older, Newer: list.Newer}
	if answer.Builds == nil {
		answer.Builds = []vitrine.Build{}
	}
	return c.JSON(http.StatusOK, answer)
}

// apiBuild is GET …/builds/UUID: one build with readers and artifacts.
func (s *Server) apiBuild(c echo.Context) error {
	b, _, err := s.Index.Build(c.Request().Context(), param(c, "uuid"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, b)
}

// apiBuildset is GET …/buildsets/UUID: the builds of one event, oldest first.
func (s *Server) apiBuildset(c echo.Context) error {
	builds, err := s.Index.Buildset(c.Request().Context(), param(c, "uuid"))
	if err != nil {
		return err
	}
	if len(builds) == 0 {
		return refuse(http.StatusNotFound, "there is no buildset %q in the history", param(c, "uuid"))
	}
	return c.JSON(http.StatusOK, vitrine.BuildPage{Builds: builds})
}
