package server

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/server/index"
	"vitrine/web"
)

// shownChanges is how many changes of its readers a service's page lists.
const shownChanges = 50

// service is the page of one service: its jobs, its readers, its last builds. One
// that the keyring has dropped has a page as long as it has a history.
func (s *Server) service(c echo.Context) error {
	ctx, name := c.Request().Context(), param(c, "name")
	now := time.Now()
	k, err := s.keyringNow()
	if err != nil {
		return err
	}
	month, err := parseMonth(c.QueryParam(web.ParamMonth), now)
	if err != nil {
		return err
	}
	p := web.ServicePage{Service: web.Service{Name: name}, Keyring: vitrine.Keyring{Commit: k.Commit, URL: k.URL}, Month: month}
	if service := k.Services[name]; service != nil {
		p.Service = describeService(k, service, now)
	} else if !vitrine.ValidName(name) {
		return refuse(http.StatusNotFound, "%q is not the name of a service", name)
	}
	list, err := s.Index.Builds(ctx, index.Query{Service: []string{name}, Limit: web.HistoryLength})
	if err != nil {
		return err
	}
	p.Builds = list.Builds
	if k.Services[name] == nil && len(p.Builds) == 0 {
		return refuse(http.StatusNotFound, "there is no service %q in the keyring or the history", name)
	}
	jobs, err := s.Index.Jobs(ctx, name, web.JobBars, web.ListedJobs)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		p.Jobs = append(p.Jobs, web.JobHistory{Name: j.Name, History: j.Last})
	}
	since, until := lastDays(now, web.PeriodDays)
	days, err := s.Index.ServiceDays(ctx, name, since, until)
	if err != nil {
		return err
	}
	p.Days = describeDays(days)
	if days, err = s.Index.ServiceDays(ctx, name, month, month.AddDate(0, 1, 0)); err != nil {
		return err
	}
	p.MonthDays = describeDays(days)
	changes, read := s.Keyring.Changes(name, shownChanges)
	p.ChangesRead = read
	for _, c := range changes {
		p.Changes = append(p.Changes, web.Change{
			Kind: string(c.Kind), Commit: c.Commit, Time: c.Time, Person: c.Person,
			Through: c.Through, NewKeys: c.NewKeys, OldKeys: c.OldKeys,
		})
	}
	return s.page(c, http.StatusOK, p)
}

// parseMonth is the first day of the month that an address names, or else of now's.
func parseMonth(value string, now time.Time) (time.Time, error) {
	if value == "" {
		return time.Date(now.UTC().Year(), now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC), nil
	}
	month, err := time.Parse(web.MonthFormat, value)
	if err != nil || month.Year() < 2000 || month.Year() > 2200 {
		return time.Time{}, refuse(http.StatusBadRequest, "%s %q: want a month such as 2026-11", web.ParamMonth, value)
	}
	return month, nil
}

// changesLoop reads who joined and left, now and after each look for a newer
// keyring. It is apart from the refresh, which should not wait for it.
func (s *Server) changesLoop(ctx context.Context) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		s.note("changes", s.Keyring.ReadChanges(ctx))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
