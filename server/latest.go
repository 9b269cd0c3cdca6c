package server

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

func (s *Server) latest(c echo.Context) error {
	return refuse(http.StatusNotImplemented, "not built yet")
}

func (s *Server) latestSuccess(c echo.Context) error {
	return refuse(http.StatusNotImplemented, "not built yet")
}
