package server

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/web"
)

var (
	// A change's number as people write it, with thousands apart or with the
	// patchset after it: 894201, 894,201, 894201,3.
	changeNumber   = regexp.MustCompile(`^#?([0-9]{1,9}|[0-9]{1,3}(?:,[0-9]{3})+)$`)
	changePatchset = regexp.MustCompile(`^#?([0-9]{1,9})[,/]([0-9]{1,4})$`)
	// The beginning of a commit's or a build's id.
	hexBeginning = regexp.MustCompile(`^[0-9a-f]{7,40}$`)
)

// search sends the search box's question straight to the thing, if there is just
// one that it may mean, and else to the list narrowed to it.
func (s *Server) search(c echo.Context) error {
	q := strings.TrimSpace(c.QueryParam("q"))
	if len(q) > vitrine.MaxString || !utf8.ValidString(q) {
		return refuse(http.StatusBadRequest, "more than %d bytes to search for, or no text", vitrine.MaxString)
	}
	to, err := s.find(c.Request().Context(), q)
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, to)
}

func (s *Server) find(ctx context.Context, q string) (string, error) {
	if q == "" {
		return web.BuildsPath(s.Tenant, nil), nil
	}
	if to, err := s.findNumber(ctx, q); to != "" || err != nil {
		return to, err
	}
	if id := strings.ToLower(q); hexBeginning.MatchString(id) {
		if to, err := s.findID(ctx, id); to != "" || err != nil {
			return to, err
		}
	}
	if strings.Contains(q, "*") {
		glob, err := vitrine.ParseGlob(q)
		if err == nil && slices.ContainsFunc(s.names(ctx).Jobs, glob.Match) {
			return web.BuildsPath(s.Tenant, url.Values{"job_name": {q}}), nil
		}
		if q = strings.Trim(q, "*"); q == "" {
			return web.BuildsPath(s.Tenant, nil), nil
		}
	}
	return s.findName(ctx, q), nil
}

// findNumber leads to a change; empty, if q is no number of one.
func (s *Server) findNumber(ctx context.Context, q string) (string, error) {
	filter := url.Values{}
	if m := changeNumber.FindStringSubmatch(q); m != nil {
		filter.Set("change", strings.ReplaceAll(m[1], ",", ""))
	} else if m := changePatchset.FindStringSubmatch(q); m != nil {
		filter.Set("change", m[1])
		filter.Set("patchset", m[2])
	} else {
		return "", nil
	}
	number := strings.TrimLeft(filter.Get("change"), "0")
	if number == "" {
		return "", nil
	}
	filter.Set("change", number)
	to, found, err := s.oneOrList(ctx, filter)
	if found == 0 && hexBeginning.MatchString(q) {
		return "", err // digits may begin an id too
	}
	return to, err
}

// findID leads to a build, a buildset or a commit that begins so; empty, if there
// is none.
func (s *Server) findID(ctx context.Context, id string) (string, error) {
	if vitrine.ValidUUID(id) {
		set, err := s.Index.Buildset(ctx, id)
		if err != nil {
			return "", err
		}
		if len(set) > 0 {
			return web.BuildsetPath(s.Tenant, id), nil
		}
	}
	if len(id) <= 32 {
		filter := url.Values{"uuid": {id + "*"}}
		if len(id) == 32 {
			filter.Set("uuid", id)
		}
		if to, found, err := s.oneOrList(ctx, filter); found > 0 || err != nil {
			return to, err
		}
	}
	filter := url.Values{"newrev": {id + "*"}}
	if len(id) == 40 {
		filter.Set("newrev", id)
	}
	to, found, err := s.oneOrList(ctx, filter)
	if found == 0 {
		return "", err
	}
	return to, err
}

// oneOrList is the page of the one build that a filter is for, or the list of them.
// found is how many there are, 2 standing for more.
func (s *Server) oneOrList(ctx context.Context, filter url.Values) (to string, found int, err error) {
	q, err := parseQuery(filter)
	if err != nil {
		return "", 0, err
	}
	q.Limit = 2
	list, err := s.Index.Builds(ctx, q)
	if err != nil {
		return "", 0, err
	}
	if len(list.Builds) == 1 {
		return web.BuildPath(s.Tenant, list.Builds[0].UUID), 1, nil
	}
	return web.BuildsPath(s.Tenant, filter), len(list.Builds), nil
}

// findName leads to the service, job or project of that name, or to the only one
// that has q as a part of its name.
func (s *Server) findName(ctx context.Context, q string) string {
	names := s.names(ctx)
	services := names.Services
	if k, err := s.keyringNow(); err == nil {
		services = sortedKeys(k.Services) // only these have a page
	}
	kinds := []struct {
		names []string
		path  func(name string) string
	}{
		{services, func(n string) string { return web.ServicePath(s.Tenant, n) }},
		{names.Jobs, func(n string) string { return web.JobPath(s.Tenant, n) }},
		{names.Projects, func(n string) string { return web.BuildsPath(s.Tenant, url.Values{"project": {n}}) }},
	}
	var partly []string
	part, builds := strings.ToLower(q), false // whether q is a part of a job's or project's name
	for i, k := range kinds {
		if slices.Contains(k.names, q) {
			return k.path(q)
		}
		for _, n := range k.names {
			if strings.Contains(strings.ToLower(n), part) {
				builds = builds || i > 0
				if len(partly) < 2 {
					partly = append(partly, k.path(n))
				}
			}
		}
	}
	if len(partly) == 1 {
		return partly[0]
	}
	if !builds && slices.ContainsFunc(services, func(n string) bool { return strings.HasPrefix(n, q) }) {
		return web.BuildsPath(s.Tenant, url.Values{"service": {q + "*"}})
	}
	return web.BuildsPath(s.Tenant, url.Values{"text": {q}})
}
