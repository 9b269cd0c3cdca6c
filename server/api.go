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
	return c.JSON(http.StatusOK, vitrine.BuildPage{Builds: withLists(list.Builds...), Older: list.Older, Newer: list.Newer})
}

// apiBuild is GET …/builds/UUID: one build with readers and artifacts.
func (s *Server) apiBuild(c echo.Context) error {
	b, _, err := s.Index.Build(c.Request().Context(), param(c, "uuid"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, withLists(s.located(c.Request().Context(), b))[0])
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
	return c.JSON(http.StatusOK, vitrine.BuildPage{Builds: withLists(builds...)})
}

// withLists gives every list of the builds a JSON form that is a list: programs
// go through them without asking.
func withLists(builds ...vitrine.Build) []vitrine.Build {
	out := make([]vitrine.Build, len(builds))
	for i, b := range builds {
		if b.Readers == nil {
			b.Readers = []vitrine.Reader{}
		}
		if b.SkippedReaders == nil {
			b.SkippedReaders = []vitrine.SkippedReader{}
		}
		if b.Artifacts == nil {
			b.Artifacts = []vitrine.Artifact{}
		}
		out[i] = b
	}
	return out
}
