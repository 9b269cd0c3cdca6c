package server

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/web"
)

// keyringPage says who can read what.
func (s *Server) keyringPage(c echo.Context) error {
	k, err := s.keyringNow()
	if err != nil {
		return err
	}
	now := time.Now()
	p := web.KeyringPage{Keyring: vitrine.Keyring{Commit: k.Commit, URL: k.URL}}
	for _, name := range sortedKeys(k.Services) {
		p.Services = append(p.Services, describeService(k, k.Services[name], now))
	}
	for _, name := range sortedKeys(k.People) {
		p.People = append(p.People, describePerson(k, name, "", groupsOf(k, name), now))
	}
	s.mu.Lock()
	if err := s.health["keyring"]; err != nil {
		p.Problem = err.Error()
	}
	s.mu.Unlock()
	return s.page(c, http.StatusOK, p)
}
