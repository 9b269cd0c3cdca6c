package server_test

import (
	"strings"
	"testing"

	"vitrine"
)

// The addresses of Zuul's own pages show here what they showed there.
func TestZuulAddresses(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	named := func(name string) func(*vitrine.Record) {
		return func(r *vitrine.Record) { r.Pipeline = name }
	}
	all := map[string]*vitrine.Record{
		"good":    s.commit(named("good"), nil),
		"bad":     s.commit(named("bad"), func(r *vitrine.Record) { r.Result = vitrine.Failure }),
		"late":    s.commit(named("late"), func(r *vitrine.Record) { r.Result = vitrine.TimedOut }),
		"running": s.started(named("running")),
	}
	s.begin(all["running"])
	for query, want := range map[string]string{
		"": "good bad late running", "exclude_result=SUCCESS": "bad late", "exclude_result=SUCCESS&exclude_result=FAILURE": "late",
		"complete=true": "good bad late", "complete=false": "running", "result=FAILURE&complete=true": "bad", "result=FAILURE&result=SUCCESS&skip=0": "good bad",
		"job_name=deploy-*&pipeline=late&voting=1": "late", "uuid=" + all["bad"].UUID: "bad", "exclude_result=": "good bad late running",
	} {
		_, body := s.ask("GET", "/t/demo/builds?"+query)
		for name, r := range all {
			if shown := strings.Contains(body, "/t/demo/build/"+r.UUID); shown != strings.Contains(want, name) {
				t.Errorf("%s: %s is shown: %v", query, name, shown)
			}
		}
	}
	for query, want := range map[string]int{"limit=1": 1, "limit=3&skip=0": 3, "skip=3": 1, "limit=2&skip=3": 1} {
		shown := 0
		_, body := s.ask("GET", "/t/demo/builds?"+query)
		for _, r := range all {
			if strings.Contains(body, `href="/t/demo/build/`+r.UUID) {
				shown++
			}
		}
		if shown != want {
			t.Errorf("%s: %d builds, want %d", query, shown, want)
		}
	}
	for _, path := range []string{"/t/demo/build/" + all["bad"].UUID, "/t/demo/buildset/" + all["bad"].Buildset} {
		s.want(200, "deploy-web", "GET", path, nil, nil)
	}
	s.want(400, "GREEN", "GET", "/t/demo/builds?exclude_result=GREEN", nil, nil)
}

// Whatever is asked of Zuul's API and is not there, any page of any origin may
// read so, as a line of text.
func TestZuulNotFound(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, path := range []string{
		"/api/", "/api/nothing", "/api/tenant/demo//builds", "/api/tenant//builds", "/api/tenant/demo/../builds", "/api//info", "/api/tenant/demo/nothing",
	} {
		resp, body := s.ask("GET", path)
		if resp.StatusCode != 404 || resp.Header.Get("Access-Control-Allow-Origin") != "*" || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %d %v %q", path, resp.StatusCode, resp.Header, body)
		}
	}
	if resp, _ := s.ask("GET", "/api/v1/nothing"); resp.StatusCode != 404 || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("our own: %d %v", resp.StatusCode, resp.Header)
	}
	// A build that is not there has no folder to be sent to.
	for _, path := range []string{"/logs/demo/nothing", "/logs/demo/x%2f..%2fy", "/logs/demo/" + newID()} {
		if resp, _ := s.ask("GET", path); resp.StatusCode != 404 {
			t.Errorf("%s: %d to %q", path, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
}
