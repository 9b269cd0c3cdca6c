package server

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"vitrine/server/index"
	"vitrine/web"
)

const (
	listed    = 50  // builds on a page of the list
	maxListed = 200 // whatever its limit says: the API has longer ones
)

// builds is the list, narrowed and paged by the address.
func (s *Server) builds(c echo.Context) error {
	values := c.QueryParams()
	if fromForm(values) {
		address, err := s.settle(values)
		if err != nil {
			return err
		}
		return c.Redirect(http.StatusSeeOther, address)
	}
	q, err := parseQuery(values)
	if err != nil {
		return err
	}
	filter, err := cleanFilter(values)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	if q.Limit == 0 {
		q.Limit = listed
	}
	q.Limit = min(q.Limit, maxListed)
	list, err := s.Index.Builds(ctx, q)
	if errors.Is(err, index.ErrQuery) && (q.Before != "" || q.After != "") {
		return &badParam{err: err} // without its cursor, the list may be a good one
	}
	if err != nil {
		return err
	}
	if q.After != "" && list.Newer == "" {
		return c.Redirect(http.StatusSeeOther, web.BuildsPath(s.Tenant, filter)) // whole, and kept up to date
	}
	p := web.BuildsPage{
		Filter: filter, Builds: list.Builds, Newer: list.Newer, Older: list.Older,
		Newest: q.Before == "" && q.After == "" && q.Skip == 0, Suggest: s.suggestions(ctx),
	}
	if len(list.Builds) > 0 {
		p.First = index.Cursor(list.Builds[0])
	}
	return s.page(c, http.StatusOK, p)
}

// fromForm reports whether an address holds what only a form sends.
func fromForm(v url.Values) bool {
	return v.Has(web.ParamNot) || v.Has(web.ParamAt) ||
		slices.ContainsFunc(web.FilterParams, func(name string) bool { return slices.Contains(v[name], "") })
}

// settle is the address that a form's answer stands for: the one that people
// share has the filters alone.
func (s *Server) settle(v url.Values) (string, error) {
	for _, name := range v[web.ParamNot] {
		if values := v[name]; len(values) > 0 && slices.Contains(web.FilterParams, name) && !slices.Contains(web.SingleParams, name) {
			if name != "result" { // of which a form sends several at once
				values = values[len(values)-1:]
			}
			for i, value := range values {
				if value != "" && !strings.HasPrefix(value, web.Not) {
					values[i] = web.Not + value
				}
			}
		}
	}
	filter, err := cleanFilter(v)
	if err != nil {
		return "", err
	}
	if at := v.Get(web.ParamAt); at != "" {
		day, err := parseDay(web.ParamAt, at)
		if err != nil {
			return "", err
		}
		if end := day.AddDate(0, 0, 1); end.Before(time.Now()) {
			filter.Set(web.ParamBefore, index.CursorAt(end))
		}
	}
	return web.BuildsPath(s.Tenant, filter), nil
}

const (
	namesFor   = 10 * time.Second // that the names of the history may be old
	suggestMax = 60               // of one filter: more are no help
)

// names are those of the history, from a moment ago. What can't be read is left
// out: a page shows without them.
func (s *Server) names(ctx context.Context) index.Names {
	s.namesMu.Lock()
	defer s.namesMu.Unlock()
	if time.Since(s.namesAt) > namesFor {
		names, err := s.Index.Names(ctx)
		if err != nil {
			s.Log.Warn("names of the history not read", "error", err)
		} else {
			s.lastNames = names
		}
		s.namesAt = time.Now()
	}
	return s.lastNames
}

// suggestions are the names that a form offers where they are few.
func (s *Server) suggestions(ctx context.Context) map[string][]string {
	names := s.names(ctx)
	services := names.Services
	if k, err := s.keyringNow(); err == nil {
		services = append(sortedKeys(k.Services), services...)
		slices.Sort(services)
		services = slices.Compact(services)
	}
	m := make(map[string][]string)
	for param, list := range map[string][]string{
		"service": services, "job_name": names.Jobs, "project": names.Projects, "branch": names.Branches,
		"pipeline": names.Pipelines, "nodeset": names.Nodesets,
	} {
		if len(list) <= suggestMax {
			m[param] = list
		}
	}
	return m
}
