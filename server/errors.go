package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/keyring"
	"vitrine/server/index"
	"vitrine/signature"
	"vitrine/storage"
	"vitrine/web"
)

// A refusal is an error whose text is meant for the one who asked.
type refusal struct {
	status int
	reason string
}

func (e *refusal) Error() string { return e.reason }

func refuse(status int, format string, a ...any) error {
	return &refusal{status, fmt.Sprintf(format, a...)}
}

func errUnavailable(reason string) error { return refuse(http.StatusServiceUnavailable, "%s", reason) }

// statusOf is the one place that maps errors to HTTP: the status, and the text
// that the one who asked may read.
func statusOf(err error) (status int, detail string) {
	var refused *refusal
	var routed *echo.HTTPError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &refused):
		return refused.status, refused.reason
	case errors.As(err, &routed):
		return routed.Code, ""
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("more than %d bytes", tooLarge.Limit)
	case errors.Is(err, index.ErrQuery):
		return http.StatusBadRequest, err.Error()
	case errors.Is(err, vitrine.ErrRecord):
		return http.StatusUnprocessableEntity, err.Error()
	case errors.Is(err, signature.ErrInvalid), errors.Is(err, keyring.ErrNoService), errors.Is(err, keyring.ErrRecord):
		return http.StatusForbidden, err.Error()
	case errors.Is(err, errBody):
		return http.StatusRequestTimeout, "the upload broke off, or paused for too long"
	case errors.Is(err, storage.ErrUnavailable):
		return http.StatusServiceUnavailable, "the store does not answer, or can't do its work now: nothing is wrong with the request"
	case errors.Is(err, storage.ErrIntegrity):
		return http.StatusUnprocessableEntity, err.Error()
	case errors.Is(err, fs.ErrNotExist):
		return http.StatusNotFound, "not in the history"
	case errors.Is(err, fs.ErrExist):
		return http.StatusConflict, "other bytes are stored under this name already; nothing is ever replaced"
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable, "took too long"
	case errors.Is(err, errStore):
		return http.StatusBadGateway, "the store refused what the server asked of it: nothing is wrong with the request, and the server's log has the reason"
	}
	return http.StatusInternalServerError, ""
}

// handleError answers a failed request: a problem document (RFC 9457) to a
// program, a page to a person. Only a refusal's own words are shown.
func (s *Server) handleError(err error, c echo.Context) {
	status, detail := statusOf(err)
	if status >= 500 && c.Request().Context().Err() == nil {
		s.Log.Error("request failed", "id", c.Response().Header().Get(echo.HeaderXRequestID), "path", c.Request().URL.Path, "error", err)
	}
	if c.Response().Committed {
		return
	}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		c.Response().Header().Set("Retry-After", "5")
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	title := http.StatusText(status)
	if c.Request().Method == http.MethodHead {
		c.NoContent(status)
		return
	}
	path := c.Request().URL.Path
	if strings.HasPrefix(path, "/logs/") { // a page would pass for a log
		c.String(status, cmp.Or(detail, title)+"\n")
		return
	}
	if !isAPI(path) && (strings.HasPrefix(path, "/t/") || path == "/" || strings.Contains(c.Request().Header.Get("Accept"), "text/html")) {
		p := web.ErrorPage{Status: status, Message: detail, RequestID: c.Response().Header().Get(echo.HeaderXRequestID)}
		if bad := (*badParam)(nil); errors.As(err, &bad) {
			p.Rest = without(c.QueryParams(), bad.name, bad.value)
			if bad.name == "result" { // a page has room for all of them
				p.UnknownResult = bad.value
			}
		}
		if status == http.StatusNotFound && strings.HasSuffix(c.Path(), "/build/:uuid") {
			p.Build = param(c, "uuid")
		}
		if s.page(c, status, p) == nil {
			return
		}
	}
	c.Response().Header().Set(echo.HeaderContentType, "application/problem+json")
	c.JSON(status, vitrine.Problem{
		Type: "about:blank", Title: title, Status: status, Detail: detail,
		RequestID: c.Response().Header().Get(echo.HeaderXRequestID),
	})
}
