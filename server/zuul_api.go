package server

import (
	"net/http"

	"vitrine/server/zuul"
	"vitrine/web"
)

// zuulAPI is the API that Zuul's clients speak.
func (s *Server) zuulAPI() http.Handler {
	return zuul.Handler(zuul.Config{
		Tenant: s.Tenant, Index: s.Index, Log: s.Log,
		LogURL: func(uuid string) string { return s.PublicURL + web.LogsPath(s.Tenant, uuid) },
		Loaded: func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.synced
		},
	})
}
