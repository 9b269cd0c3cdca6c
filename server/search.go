package server

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/server/index"
	"vitrine/web"
)

var (
	hexPrefix    = regexp.MustCompile(`^[0-9a-f]{7,32}$`)
	changeNumber = regexp.MustCompile(`^[0-9]{1,9}$`)
)

// search sends the search box's question to the page or list that answers it.
func (s *Server) search(c echo.Context) error {
	ctx := c.Request().Context()
	q := strings.TrimSpace(c.QueryParam("q"))
	number := strings.ReplaceAll(q, ",", "")
	filter := url.Values{"job_name": {q}}
	switch k, err := s.keyringNow(); {
	case q == "":
		filter = nil
	case len(q) > vitrine.MaxString:
		return refuse(http.StatusBadRequest, "more than %d bytes to search for", vitrine.MaxString)
	case err == nil && k.Services[q] != nil:
		return c.Redirect(http.StatusSeeOther, web.ServicePath(s.Tenant, q))
	case changeNumber.MatchString(number):
		filter = url.Values{"change": {number}}
	case hexPrefix.MatchString(q):
		list, err := s.Index.Builds(ctx, index.Query{UUID: []string{q + "*"}, Limit: 2})
		if err != nil {
			return err
		}
		if len(list.Builds) == 1 {
			return c.Redirect(http.StatusSeeOther, web.BuildPath(s.Tenant, list.Builds[0].UUID))
		}
		if set, err := s.Index.Buildset(ctx, q); err == nil && len(set) > 0 {
			return c.Redirect(http.StatusSeeOther, web.BuildsetPath(s.Tenant, q))
		}
		filter = url.Values{"uuid": {q + "*"}}
	case !strings.Contains(q, "*"):
		filter = url.Values{"job_name": {"*" + q + "*"}}
	}
	return c.Redirect(http.StatusSeeOther, web.BuildsPath(s.Tenant, filter))
}
