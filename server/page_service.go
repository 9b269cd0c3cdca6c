package server

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/server/index"
	"vitrine/web"
)

const recent = 20 // builds of a service on its page

// service is the page of one service: its jobs, its readers, its last builds.
func (s *Server) service(c echo.Context) error {
	ctx, name := c.Request().Context(), param(c, "name")
	k, err := s.keyringNow()
	if err != nil {
		return err
	}
	service := k.Services[name]
	if service == nil {
		return refuse(http.StatusNotFound, "the keyring has no service %q", name)
	}
	jobs, err := s.Index.Jobs(ctx, name, web.HistoryLength)
	if err != nil {
		return err
	}
	list, err := s.Index.Builds(ctx, index.Query{Service: []string{name}, Limit: recent})
	if err != nil {
		return err
	}
	p := web.ServicePage{Service: describeService(k, service, time.Now()), Builds: list.Builds, Keyring: vitrine.Keyring{Commit: k.Commit, URL: k.URL}}
	for _, j := range jobs {
		p.Jobs = append(p.Jobs, web.JobHistory{Name: j.Name, History: j.Last})
	}
	return s.page(c, http.StatusOK, p)
}
