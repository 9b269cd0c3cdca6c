package server

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

func (s *Server) feedAtom(c echo.Context) error {
	return refuse(http.StatusNotImplemented, "not built yet")
}

func (s *Server) feedJSON(c echo.Context) error {
	return refuse(http.StatusNotImplemented, "not built yet")
}
