package server

import (
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/server/index"
	"vitrine/web"
)

// job is the page of one job.
func (s *Server) job(c echo.Context) error {
	ctx, name := c.Request().Context(), param(c, "name")
	now := time.Now()
	p := web.JobPage{Name: name, Branch: c.QueryParam(web.ParamBranch), Year: c.QueryParam(web.ParamPeriod) == web.PeriodYear}
	q := index.Query{Job: []string{name}, Limit: web.PlottedBuilds}
	if p.Branch != "" {
		q.Branch = []string{p.Branch}
	}
	list, err := s.Index.Builds(ctx, q)
	if err != nil {
		return err
	}
	// In a query a name may be a pattern; here it is one job's.
	p.Builds = slices.DeleteFunc(list.Builds, func(b vitrine.Build) bool { return b.JobName != name })
	for _, b := range p.Builds {
		if b.Ref.Branch != "" && !slices.Contains(p.Branches, b.Ref.Branch) {
			p.Branches = append(p.Branches, b.Ref.Branch)
		}
	}
	slices.Sort(p.Branches)
	q.Result, q.Limit = []string{string(vitrine.Success)}, 1
	if list, err = s.Index.Builds(ctx, q); err != nil {
		return err
	}
	if len(list.Builds) > 0 && list.Builds[0].JobName == name {
		p.LastSuccess = &list.Builds[0]
	}
	days := web.PeriodDays
	if p.Year {
		days = web.YearDays
	}
	since, until := lastDays(now, days)
	counted, err := s.Index.JobDays(ctx, name, since, until)
	if err != nil {
		return err
	}
	p.Days = describeDays(counted)
	if k, err := s.keyringNow(); err == nil {
		if service, err := k.ServiceOf(name); err == nil {
			described := describeService(k, service, now)
			p.Service = &described
		}
	}
	if p.Service == nil && len(p.Builds) == 0 && p.Branch == "" {
		return refuse(http.StatusNotFound, "there is no job %q in the keyring or the history", name)
	}
	return s.page(c, http.StatusOK, p)
}

// lastDays are the last n days in UTC, today included, as the index takes them.
func lastDays(now time.Time, n int) (since, until time.Time) {
	until = now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1)
	return until.AddDate(0, 0, -n), until
}

func describeDays(days []index.Day) []web.Day {
	list := make([]web.Day, len(days))
	for i, d := range days {
		list[i] = web.Day{Day: d.Day, Result: d.Result, Builds: d.Builds, Took: d.Took}
	}
	return list
}
