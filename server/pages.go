package server

import (
	"bytes"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/server/index"
	"vitrine/signature"
	"vitrine/web"
)

const recent = 20 // builds at the end of a service's page

// page renders one page of the site.
func (s *Server) page(c echo.Context, status int, p web.Page) error {
	layout := web.Layout{Tenant: s.Tenant, Now: time.Now(), PublicURL: s.PublicURL}
	var b bytes.Buffer
	if err := web.Render(&b, layout, p); err != nil {
		return err
	}
	return c.HTMLBlob(status, b.Bytes())
}

// overview is the front page: every service of the keyring with its last builds.
func (s *Server) overview(c echo.Context) error {
	k, err := s.keyringNow()
	if err != nil {
		return err
	}
	histories, err := s.Index.Services(c.Request().Context(), web.HistoryLength)
	if err != nil {
		return err
	}
	byName := make(map[string]index.ServiceHistory, len(histories))
	var p web.OverviewPage
	for _, h := range histories {
		byName[h.Name] = h
		p.Lately.Builds += h.DayEnded
		p.Lately.Succeeded += h.DaySucceeded
	}
	now := time.Now()
	for _, name := range sortedKeys(k.Services) {
		p.Services = append(p.Services, web.ServiceHistory{
			Service: describeService(k, k.Services[name], now),
			History: byName[name].Last,
		})
	}
	return s.page(c, http.StatusOK, p)
}

// build is the page of one build.
func (s *Server) build(c echo.Context) error {
	ctx := c.Request().Context()
	b, entry, err := s.Index.Build(ctx, param(c, "uuid"))
	if err != nil {
		return err
	}
	around, err := s.Index.Neighbours(ctx, b, web.HistoryLength)
	if err != nil {
		return err
	}
	set, err := s.Index.Buildset(ctx, b.Buildset)
	if err != nil {
		return err
	}
	p := web.BuildPage{Build: s.located(ctx, b), History: around, Others: max(len(set)-1, 0)}
	// The keyring of the build's own time says whose keys they were.
	if k, err := s.Keyring.At(ctx, b.Keyring.Commit); err == nil {
		if service := k.Services[b.Service]; service != nil {
			p.People = describeService(k, service, b.StartTime).Readers
		}
	}
	p.Signature = s.signatureOf(c, b, entry)
	return s.page(c, http.StatusOK, p)
}

// signatureOf checks the signature of the record that the page shows, anew each
// time: the index is not believed.
func (s *Server) signatureOf(c echo.Context, b vitrine.Build, entry index.Entry) web.Signature {
	if b.IsImported() || len(entry.Signature) == 0 || b.State == vitrine.Interrupted { // that of its start says nothing of what there is
		return web.Signature{State: web.Unsigned}
	}
	k, err := s.Keyring.At(c.Request().Context(), b.Keyring.Commit)
	if err == nil {
		err = k.CheckRecord(&b.Record)
	}
	if err == nil {
		signed := vitrine.SignedRecord{Record: string(entry.Record), Signature: string(entry.Signature)}
		err = signature.VerifyRecord(&b.Record, signed, k.PublisherKeys(b.Service))
	}
	if err != nil {
		return web.Signature{State: web.NotVerified, Reason: err.Error()}
	}
	return web.Signature{State: web.Verified}
}

// buildset is the page of the builds of one event.
func (s *Server) buildset(c echo.Context) error {
	uuid := param(c, "uuid")
	builds, err := s.Index.Buildset(c.Request().Context(), uuid)
	if err != nil {
		return err
	}
	if len(builds) == 0 {
		return refuse(http.StatusNotFound, "there is no buildset %q in the history", uuid)
	}
	return s.page(c, http.StatusOK, web.BuildsetPage{UUID: uuid, Builds: builds})
}

// service is the page of one service: its jobs, its readers, its last builds.
func (s *Server) service(c echo.Context) error {
	ctx, name := c.Request().Context(), param(c, "name")
	k, err := s.keyringNow()
	if err != nil {
		return err
	}
	service := k.Services[name]
	if service == nil {
		return refuse(http.StatusNotFound, "the keyring has no service %q", name)
	}
	jobs, err := s.Index.Jobs(ctx, name, web.HistoryLength)
	if err != nil {
		return err
	}
	list, err := s.Index.Builds(ctx, index.Query{Service: []string{name}, Limit: recent})
	if err != nil {
		return err
	}
	p := web.ServicePage{Service: describeService(k, service, time.Now()), Builds: list.Builds, Keyring: vitrine.Keyring{Commit: k.Commit, URL: k.URL}}
	for _, j := range jobs {
		p.Jobs = append(p.Jobs, web.JobHistory{Name: j.Name, History: j.Last})
	}
	return s.page(c, http.StatusOK, p)
}

// job is the page of one job.
func (s *Server) job(c echo.Context) error {
	name := param(c, "name")
	list, err := s.Index.Builds(c.Request().Context(), index.Query{Job: []string{name}, Limit: listed})
	if err != nil {
		return err
	}
	p := web.JobPage{Name: name, Builds: list.Builds}
	if k, err := s.keyringNow(); err == nil {
		if service, err := k.ServiceOf(name); err == nil {
			p.Service = service.Name
		}
	}
	if p.Service == "" && len(list.Builds) == 0 {
		return refuse(http.StatusNotFound, "there is no job %q in the keyring or the history", name)
	}
	return s.page(c, http.StatusOK, p)
}

// keyringPage says who can read what.
func (s *Server) keyringPage(c echo.Context) error {
	k, err := s.keyringNow()
	if err != nil {
		return err
	}
	now := time.Now()
	p := web.KeyringPage{Keyring: vitrine.Keyring{Commit: k.Commit, URL: k.URL}}
	for _, name := range sortedKeys(k.Services) {
		p.Services = append(p.Services, describeService(k, k.Services[name], now))
	}
	for _, name := range sortedKeys(k.People) {
		p.People = append(p.People, describePerson(k, name, "", groupsOf(k, name), now))
	}
	s.mu.Lock()
	if err := s.health["keyring"]; err != nil {
		p.Problem = err.Error()
	}
	s.mu.Unlock()
	return s.page(c, http.StatusOK, p)
}
