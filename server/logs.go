package server

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

func (s *Server) logsFolder(c echo.Context) error {
	return refuse(http.StatusNotImplemented, "not built yet")
}

func (s *Server) logsFile(c echo.Context) error {
	return refuse(http.StatusNotImplemented, "not built yet")
}
