package server_test

import (
	"context"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"vitrine"
)

func TestJobPage(t *testing.T) {
	s := newSite(t)
	const page = "/t/demo/job/deploy-web"
	s.want(200, "Builds of this job appear here", "GET", page, nil, nil) // the keyring knows it
	r := s.publish()
	failed := s.imported(func(b *vitrine.Record) {
		b.Service, b.JobName, b.Ref.Branch, b.Result, b.Voting = "web", "deploy-web", "stable", vitrine.Failure, true
	})
	s.imported(func(b *vitrine.Record) { b.Service, b.JobName, b.Result = "", "lint", vitrine.Success })
	s.refresh()

	text := s.want(200, "; succeeds 50 % of the time", "GET", page, nil, nil)
	for _, part := range []string{
		"/t/demo/build/" + r.UUID, "/t/demo/build/" + failed.UUID, `href="/t/demo/service/web"`, "1 person can read its sealed logs: alice",
		"/t/demo/badge.svg?job_name=deploy-web", "https://vitrine.example.org/t/demo/badge.svg?job_name=deploy-web",
		"/t/demo/feed.atom?job_name=deploy-web", "/t/demo/latest-success?job_name=deploy-web", page + "?branch=stable", page + "?period=year",
		"1 succeeded", "1 failed", // of one day, or of two
	} {
		if !strings.Contains(text, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	text = s.want(200, "; its first build", "GET", page+"?branch=stable", nil, nil)
	if strings.Contains(text, r.UUID) || !strings.Contains(text, "no build of this branch has succeeded") || !strings.Contains(text, "/t/demo/builds?branch=stable&amp;job_name=deploy-web") {
		t.Error("the page of a branch shows others, or lacks its own")
	}
	s.want(200, "No builds yet", "GET", page+"?branch=nothing", nil, nil)
	s.want(200, "week by week", "GET", page+"?period=year", nil, nil)
	s.want(200, "No service of the keyring owns this job", "GET", "/t/demo/job/lint", nil, nil)

	// A pattern is a name like any other here.
	for _, name := range []string{"*", "deploy-*", "not:lint", "************"} {
		if got, text := s.do("GET", "/t/demo/job/"+url.PathEscape(name), nil, nil); got == 200 || strings.Contains(text, r.UUID) {
			t.Errorf("job %q: %d", name, got)
		}
	}
}

func TestServicePage(t *testing.T) {
	s := newSite(t)
	s.imported(func(b *vitrine.Record) {
		b.Service, b.JobName, b.StartTime = "web", "deploy-web", time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
		b.EndTime = b.StartTime.Add(time.Minute)
	})
	s.imported(func(b *vitrine.Record) { b.Service, b.JobName = "wiki", "deploy-wiki" })
	s.start(nil) // a server that looks as far back as there is something
	s.refresh()
	s.publish()
	s.commitKeyring(map[string]string{"services/web.yaml": "jobs: [deploy-web]\nreaders: [root]\npublishers: [bridge]\n", "groups.yaml": "root: [alice]\n"}, "a group", time.Now())
	s.commitKeyring(map[string]string{"services/mail.yaml": "jobs: []\n"}, "broken", time.Now())
	if err := s.server.Refresh(context.Background()); err == nil {
		t.Fatal("a broken keyring was taken")
	}

	const page = "/t/demo/service/web"
	s.want(200, "history is being read", "GET", page, nil, nil)
	if err := s.repo.ReadChanges(context.Background()); err != nil {
		t.Fatal(err)
	}
	text := s.want(200, "<b>alice</b> joined", "GET", page, nil, nil)
	for _, part := range []string{"The service came into the keyring", "not valid and never in use", "/t/demo/badge.svg?service=web", "/t/demo/feed.json?service=web", time.Now().UTC().Format("January 2006")} {
		if !strings.Contains(text, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	s.want(200, "from=2026-02-03&amp;service=web&amp;to=2026-02-03", "GET", page+"?month=2026-02", nil, nil)
	s.want(200, "No build of web began this month", "GET", page+"?month=2026-01", nil, nil)
	for _, month := range []string{"2026-13", "x", "2026-02-03", "0001-01", "9999-12"} {
		s.want(400, "month", "GET", page+"?month="+month, nil, nil)
	}
	// One that the keyring does not name has a page for its history.
	s.want(200, "The keyring does not name this service any more", "GET", "/t/demo/service/wiki", nil, nil)
	s.want(404, "no service", "GET", "/t/demo/service/nothing", nil, nil)
	s.want(404, "not the name of a service", "GET", "/t/demo/service/%2A", nil, nil)
}

func TestOverviewPage(t *testing.T) {
	s := newSite(t)
	s.publish()
	s.imported(func(b *vitrine.Record) { b.Service, b.JobName, b.Result = "wiki", "deploy-wiki", vitrine.Failure })
	s.imported(func(b *vitrine.Record) { b.Service, b.JobName = "", "lint" })
	s.refresh()
	text := s.want(200, "2 services", "GET", "/", nil, nil)
	cards, gone, _ := strings.Cut(text, "No longer in the keyring")
	if !strings.Contains(cards, "/t/demo/service/web") || !strings.Contains(cards, "No builds yet") || strings.Contains(cards, "/t/demo/service/wiki") {
		t.Error("the wall does not have the services of the keyring, and those alone")
	}
	if !strings.Contains(gone, "/t/demo/service/wiki") || strings.Count(gone, "/t/demo/service/") != 1 {
		t.Errorf("no longer in the keyring: %s", gone)
	}
	if strings.Contains(text, "did not succeed") { // what is gone is in nobody's way
		t.Error("the wall is in trouble")
	}
}

// A server that serves reads who joined and left on its own.
func TestReadsChangesWhileServing(t *testing.T) {
	s := newSite(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(ctx, l) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	deadline := time.Now().Add(5 * time.Second)
	for {
		if _, text := s.do("GET", "/t/demo/service/web", nil, nil); strings.Contains(text, "<b>alice</b> joined") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the history was not read")
		}
		time.Sleep(20 * time.Millisecond)
	}
}
