package server

import (
	_ "embed"
	"time"

	"github.com/labstack/echo/v4"
)

// openAPI describes the API to programs. It is written by hand; tests hold it
// against the routes and against real answers.
//
//go:embed openapi.json
var openAPI []byte

// apiDocument is GET /api/v1/openapi.json.
func (s *Server) apiDocument(c echo.Context) error {
	return answer(c, jsonType, time.Time{}, openAPI)
}
