package server

import (
	"net/http"

	"vitrine/server/zuul"
)

// zuulAPI is the API that Zuul's clients speak.
func (s *Server) zuulAPI() http.Handler {
	return zuul.Handler(zuul.Config{Tenant: s.Tenant, Index: s.Index, PublicURL: s.PublicURL})
}
