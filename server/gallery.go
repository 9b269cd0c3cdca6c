package server

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

func (s *Server) gallery(c echo.Context) error {
	return refuse(http.StatusNotImplemented, "not built yet")
}
