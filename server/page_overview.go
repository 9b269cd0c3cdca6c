package server

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"vitrine/server/index"
	"vitrine/web"
)

// overview is the front page: every service of the keyring with its last builds,
// and apart from them those of the history that the keyring does not name.
func (s *Server) overview(c echo.Context) error {
	k, err := s.keyringNow()
	if err != nil {
		return err
	}
	histories, err := s.Index.Services(c.Request().Context(), web.CardBars(len(k.Services)))
	if err != nil {
		return err
	}
	byName := make(map[string]index.ServiceHistory, len(histories))
	var p web.OverviewPage
	for _, h := range histories {
		byName[h.Name] = h
		p.Lately.Builds += h.DayEnded
		p.Lately.Succeeded += h.DaySucceeded
		if k.Services[h.Name] == nil && h.Name != "" { // that has none: of jobs that no service owns
			p.Gone = append(p.Gone, web.ServiceHistory{Service: web.Service{Name: h.Name}, History: h.Last})
		}
	}
	now := time.Now()
	for _, name := range sortedKeys(k.Services) {
		p.Services = append(p.Services, web.ServiceHistory{
			Service: describeService(k, k.Services[name], now),
			History: byName[name].Last,
		})
	}
	return s.page(c, http.StatusOK, p)
}
