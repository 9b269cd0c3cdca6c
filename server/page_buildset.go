package server

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"vitrine/server/index"
	"vitrine/web"
)

// buildset is the page of the builds of one event.
func (s *Server) buildset(c echo.Context) error {
	uuid := param(c, "uuid")
	builds, err := s.Index.Buildset(c.Request().Context(), uuid)
	if err != nil {
		return err
	}
	if len(builds) == 0 {
		return refuse(http.StatusNotFound, "there is no buildset %q in the history", uuid)
	}
	return s.page(c, http.StatusOK, web.BuildsetPage{UUID: uuid, Builds: builds, More: len(builds) == index.MaxLimit})
}
