package server

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/server/index"
	"vitrine/web"
)

const (
	apiRecent  = 50  // builds of a service or a job
	apiJobs    = 100 // jobs on a page, if nothing else is asked for
	maxAPIJobs = 500
	apiDays    = 90  // that are counted, if nothing else is asked for
	maxAPIDays = 750 // two years, and what belongs to their weeks
	apiChanges = 50  // of a service's readers
)

// readAPI adds the routes that give programs what the pages give people.
func (s *Server) readAPI(e *echo.Echo, tenant *echo.Group) {
	api := e.Group("/api/v1")
	for _, r := range []struct {
		group *echo.Group
		path  string
		h     echo.HandlerFunc
	}{
		{api, "", s.apiRoot},
		{api, "/openapi.json", s.apiDocument},
		{tenant, "", s.apiOverview},
		{tenant, "/jobs", s.apiJobList},
		{tenant, "/jobs/:name", s.apiJob},
		{tenant, "/services", s.apiServices},
		{tenant, "/services/:name", s.apiService},
		{tenant, "/keyring", s.apiKeyring},
		{tenant, "/names", s.apiNames},
	} {
		r.group.GET(r.path, compress(r.h))
		r.group.HEAD(r.path, compress(r.h))
	}
	tenant.GET("/builds/events", s.buildEvents)
}

// apiRoot is GET /api/v1: where everything else is.
func (s *Server) apiRoot(c echo.Context) error {
	tenant := s.PublicURL + "/api/v1/tenant/" + s.Tenant
	return answerJSON(c, vitrine.APIRoot{
		OpenAPI: s.PublicURL + "/api/v1/openapi.json",
		Tenants: []vitrine.TenantLinks{{
			Name: s.Tenant, Overview: tenant, Builds: tenant + "/builds", Events: tenant + "/builds/events",
			Jobs: tenant + "/jobs", Services: tenant + "/services", Keyring: tenant + "/keyring",
			Names: tenant + "/names", AllowedSigners: tenant + "/allowed_signers",
		}},
	})
}

// apiOverview is GET …/tenant/T: the tenant in numbers.
func (s *Server) apiOverview(c echo.Context) error {
	k, err := s.keyringNow()
	if err != nil {
		return err
	}
	histories, err := s.Index.Services(c.Request().Context(), 1)
	if err != nil {
		return err
	}
	o := vitrine.Overview{Tenant: s.Tenant, Keyring: vitrine.Keyring{Commit: k.Commit, URL: k.URL}, Services: len(k.Services)}
	for _, h := range histories {
		o.DayEnded += h.DayEnded
		o.DaySucceeded += h.DaySucceeded
	}
	return answerJSON(c, o)
}

// apiServices is GET …/services: every service of the keyring with its last builds.
func (s *Server) apiServices(c echo.Context) error {
	k, err := s.keyringNow()
	if err != nil {
		return err
	}
	histories, err := s.Index.Services(c.Request().Context(), web.CardBars(len(k.Services)))
	if err != nil {
		return err
	}
	last := make(map[string][]vitrine.Build, len(histories))
	for _, h := range histories {
		last[h.Name] = h.Last
	}
	list := vitrine.ServiceList{Services: []vitrine.ServiceSummary{}}
	now := time.Now()
	for _, name := range sortedKeys(k.Services) {
		summary := vitrine.ServiceSummary{
			Service: apiServiceOf(describeService(k, k.Services[name], now)),
			Builds:  make([]vitrine.BuildSummary, len(last[name])),
		}
		for i, b := range last[name] {
			summary.Builds[i] = vitrine.BuildSummary{
				UUID: b.UUID, JobName: b.JobName, State: b.State, Result: b.Result, StartTime: b.StartTime, EndTime: b.EndTime,
			}
		}
		list.Services = append(list.Services, summary)
	}
	return answerJSON(c, list)
}

// apiService is GET …/services/NAME: one service with its jobs and its days. One
// that the keyring has dropped is there as long as it has a history.
func (s *Server) apiService(c echo.Context) error {
	ctx, name := c.Request().Context(), param(c, "name")
	k, err := s.keyringNow()
	if err != nil {
		return err
	}
	since, until, err := parseDays(c)
	if err != nil {
		return err
	}
	jobs, err := s.Index.Jobs(ctx, name, web.JobBars, web.ListedJobs)
	if err != nil {
		return err
	}
	list, err := s.Index.Builds(ctx, index.Query{Service: []string{name}, Limit: apiRecent})
	if err != nil {
		return err
	}
	days, err := s.Index.ServiceDays(ctx, name, since, until)
	if err != nil {
		return err
	}
	described := web.Service{Name: name}
	if service := k.Services[name]; service != nil {
		described = describeService(k, service, time.Now())
	} else if len(list.Builds) == 0 || !vitrine.ValidName(name) {
		return refuse(http.StatusNotFound, "there is no service %q in the keyring or the history", name)
	}
	d := vitrine.ServiceDetail{
		ServiceHistory: vitrine.ServiceHistory{Service: apiServiceOf(described), Builds: withLists(list.Builds...)},
		Keyring:        vitrine.Keyring{Commit: k.Commit, URL: k.URL},
		Histories:      []vitrine.JobHistory{},
		Days:           apiDaysOf(days),
		Changes:        []vitrine.ReaderChange{},
	}
	changes, read := s.Keyring.Changes(name, apiChanges)
	d.ChangesRead = read
	for _, c := range changes {
		d.Changes = append(d.Changes, vitrine.ReaderChange{
			Kind: string(c.Kind), Commit: c.Commit, Time: c.Time, Person: c.Person,
			Through: listOf(c.Through), NewKeys: listOf(c.NewKeys), OldKeys: listOf(c.OldKeys),
		})
	}
	for _, j := range jobs {
		d.Histories = append(d.Histories, vitrine.JobHistory{Name: j.Name, Service: name, Builds: withLists(j.Last...)})
	}
	return answerJSON(c, d)
}

// apiJobList is GET …/jobs: the jobs that have builds, by name, each with its last.
func (s *Server) apiJobList(c echo.Context) error {
	ctx := c.Request().Context()
	limit := apiJobs
	if text := c.QueryParam("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxAPIJobs {
			return refuse(http.StatusBadRequest, "limit %q: want a number from 1 to %d", text, maxAPIJobs)
		}
	}
	names, err := s.Index.Names(ctx)
	if err != nil {
		return err
	}
	jobs := names.Jobs
	if after := c.QueryParam("after"); after != "" {
		at, found := slices.BinarySearch(jobs, after)
		if found {
			at++
		}
		jobs = jobs[at:]
	}
	list := vitrine.JobList{Jobs: []vitrine.JobHistory{}}
	if len(jobs) > limit {
		jobs = jobs[:limit]
		list.Next = jobs[limit-1]
	}
	last, err := s.Index.LastBuilds(ctx, jobs)
	if err != nil {
		return err
	}
	for i, name := range jobs {
		list.Jobs = append(list.Jobs, s.jobHistory(name, slices.DeleteFunc(last[i:i+1:i+1], func(b vitrine.Build) bool { return b.UUID == "" })))
	}
	return answerJSON(c, list)
}

// apiJob is GET …/jobs/NAME: one job, with its last builds and its days.
func (s *Server) apiJob(c echo.Context) error {
	ctx, name := c.Request().Context(), param(c, "name")
	since, until, err := parseDays(c)
	if err != nil {
		return err
	}
	list, err := s.Index.Builds(ctx, index.Query{Job: []string{name}, Limit: apiRecent})
	if err != nil {
		return err
	}
	d := vitrine.JobDetail{JobHistory: s.jobHistory(name, list.Builds)}
	if d.Service == "" && len(d.Builds) == 0 {
		return refuse(http.StatusNotFound, "there is no job %q in the keyring or the history", name)
	}
	success, err := s.Index.Builds(ctx, index.Query{Job: []string{name}, Result: []string{string(vitrine.Success)}, Limit: 1})
	if err != nil {
		return err
	}
	for _, b := range s.jobHistory(name, success.Builds).Builds {
		d.LastSuccess = &b
	}
	days, err := s.Index.JobDays(ctx, name, since, until)
	if err != nil {
		return err
	}
	d.Days = apiDaysOf(days)
	for _, day := range d.Days {
		if day.Result.Ran() {
			d.Ran += day.Builds
		}
		if day.Result == vitrine.Success {
			d.Succeeded += day.Builds
		}
	}
	return answerJSON(c, d)
}

// jobHistory is a job, under the service that the keyring gives it to or else
// that of its last build. Of the builds it takes those of the job: in the query
// that found them, a name may have been a pattern.
func (s *Server) jobHistory(name string, builds []vitrine.Build) vitrine.JobHistory {
	builds = slices.DeleteFunc(builds, func(b vitrine.Build) bool { return b.JobName != name })
	j := vitrine.JobHistory{Name: name, Builds: withLists(builds...)}
	if len(builds) > 0 {
		j.Service = builds[0].Service
	}
	if k, err := s.keyringNow(); err == nil {
		if service, err := k.ServiceOf(name); err == nil {
			j.Service = service.Name
		}
	}
	return j
}

// apiKeyring is GET …/keyring: who can read what.
func (s *Server) apiKeyring(c echo.Context) error {
	k, err := s.keyringNow()
	if err != nil {
		return err
	}
	now := time.Now()
	v := vitrine.KeyringView{
		Keyring:  vitrine.Keyring{Commit: k.Commit, URL: k.URL},
		Services: []vitrine.Service{}, People: []vitrine.Person{},
	}
	for _, name := range sortedKeys(k.Services) {
		v.Services = append(v.Services, apiServiceOf(describeService(k, k.Services[name], now)))
	}
	for _, name := range sortedKeys(k.People) {
		v.People = append(v.People, apiPerson(describePerson(k, name, "", groupsOf(k, name), now)))
	}
	s.mu.Lock()
	if err := s.health["keyring"]; err != nil {
		v.Problem = err.Error()
	}
	s.mu.Unlock()
	return answerJSON(c, v)
}

// apiNames is GET …/names: what can be filtered by.
func (s *Server) apiNames(c echo.Context) error {
	n, err := s.Index.Names(c.Request().Context())
	if err != nil {
		return err
	}
	return answerJSON(c, vitrine.Names{
		Services: listOf(n.Services), Jobs: listOf(n.Jobs), Projects: listOf(n.Projects), Branches: listOf(n.Branches),
		Pipelines: listOf(n.Pipelines), Nodesets: listOf(n.Nodesets), Results: vitrine.Results,
	})
}

// parseDays reads which days are to be counted: from one to another, both
// included, or the last ones.
func parseDays(c echo.Context) (since, until time.Time, err error) {
	if since, err = parseDay("from", c.QueryParam("from")); err != nil {
		return since, until, err
	}
	if until, err = parseDay("to", c.QueryParam("to")); err != nil {
		return since, until, err
	}
	if until.IsZero() {
		until = time.Now().UTC().Truncate(24 * time.Hour)
	}
	until = until.AddDate(0, 0, 1)
	if since.IsZero() {
		since = until.AddDate(0, 0, -apiDays)
	}
	if !since.Before(until) || until.Sub(since) > maxAPIDays*24*time.Hour {
		return since, until, refuse(http.StatusBadRequest, "from %s to %s: want 1 to %d days",
			since.Format(time.DateOnly), until.AddDate(0, 0, -1).Format(time.DateOnly), maxAPIDays)
	}
	return since, until, nil
}

func apiDaysOf(days []index.Day) []vitrine.Day {
	out := make([]vitrine.Day, len(days))
	for i, d := range days {
		out[i] = vitrine.Day{Day: d.Day.UTC().Format(time.DateOnly), Result: d.Result, Builds: d.Builds, Seconds: int64(d.Took / time.Second)}
	}
	return out
}

func apiServiceOf(s web.Service) vitrine.Service {
	return vitrine.Service{
		Name: s.Name, Description: s.Description, URL: s.URL, Jobs: listOf(s.Jobs), Readers: apiPeople(s.Readers),
		Publishers: apiPeople(s.Publishers), Public: listOf(s.Public), Retention: int64(s.Retention / time.Second),
		MinReaders: s.MinReaders, Class: s.Class,
	}
}

func apiPeople(people []web.Person) []vitrine.Person {
	out := make([]vitrine.Person, len(people))
	for i, p := range people {
		out[i] = apiPerson(p)
	}
	return out
}

func apiPerson(p web.Person) vitrine.Person {
	out := vitrine.Person{Name: p.Name, Groups: listOf(p.Groups), Keys: make([]vitrine.PublicKey, len(p.Keys)), Problem: p.Problem}
	for i, k := range p.Keys {
		out.Keys[i] = vitrine.PublicKey{Kind: k.Kind, Fingerprint: k.Fingerprint, Expires: k.Expires}
	}
	return out
}
