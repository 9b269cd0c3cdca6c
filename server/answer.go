package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

const jsonType = "application/json"

// answer sends a whole body with a tag made of its bytes: who has it already is
// told so, and who keeps it has to ask. Compressed, it is other bytes and has
// another tag. A zero modified is not sent.
func answer(c echo.Context, mediaType string, modified time.Time, body []byte) error {
	sum := sha256.Sum256(body)
	tag := hex.EncodeToString(sum[:16])
	if strings.Contains(c.Request().Header.Get("Accept-Encoding"), "gzip") {
		tag += "-gzip"
	}
	h := c.Response().Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", `"`+tag+`"`)
	c.Request().Header.Del("Range") // of what is compressed on its way, nobody knows which bytes those are
	http.ServeContent(c.Response(), c.Request(), "", modified, bytes.NewReader(body))
	return nil
}

// answerJSON is answer with a value as JSON.
func answerJSON(c echo.Context, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return answer(c, jsonType, time.Time{}, append(body, '\n'))
}

// isAPI reports whether a path belongs to our own API.
func isAPI(path string) bool { return path == "/api/v1" || strings.HasPrefix(path, "/api/v1/") }

// apiRules are what holds for the whole of our own API: pages of other origins
// may read all of it, since it is public, and the tenant is the server's. It is
// not the middleware of a group, for which Echo would tell a wrong method as a
// wrong address.
func (s *Server) apiRules(next echo.HandlerFunc) echo.HandlerFunc {
	own := s.onlyTenant(next)
	return func(c echo.Context) error {
		if !isAPI(c.Request().URL.Path) {
			return next(c)
		}
		switch c.Request().Method {
		case http.MethodGet, http.MethodHead:
			return crossOrigin(own)(c)
		case http.MethodOptions:
			return crossOrigin(s.preflight)(c)
		}
		return own(c)
	}
}
