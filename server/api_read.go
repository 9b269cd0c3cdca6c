package server

import "github.com/labstack/echo/v4"

// readAPI adds the routes that give programs what the pages give people.
func (s *Server) readAPI(e *echo.Echo, tenant *echo.Group) {}
