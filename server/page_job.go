package server

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"vitrine/server/index"
	"vitrine/web"
)

// job is the page of one job.
func (s *Server) job(c echo.Context) error {
	name := param(c, "name")
	list, err := s.Index.Builds(c.Request().Context(), index.Query{Job: []string{name}, Limit: listed})
	if err != nil {
		return err
	}
	p := web.JobPage{Name: name, Builds: list.Builds}
	if k, err := s.keyringNow(); err == nil {
		if service, err := k.ServiceOf(name); err == nil {
			p.Service = service.Name
		}
	}
	if p.Service == "" && len(list.Builds) == 0 {
		return refuse(http.StatusNotFound, "there is no job %q in the keyring or the history", name)
	}
	return s.page(c, http.StatusOK, p)
}
