package server_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/server"
	"vitrine/server/index"
)

func TestHeadersEverywhere(t *testing.T) {
	s := newSite(t)
	r := s.publish()
	for _, path := range []string{"/", "/t/demo/builds", "/t/demo/build/" + r.UUID, "/t/demo/nothing", "/nothing", "/static/x", "/healthz", "/readyz",
		api, api + "/x", api + "/" + r.UUID + "/artifacts/x.png", api + "/" + r.UUID + "/artifacts/a,b+c.log.zst.age"} {
		resp, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		csp := resp.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || resp.Header.Get("X-Content-Type-Options") != "nosniff" ||
			resp.Header.Get("Referrer-Policy") != "no-referrer" || resp.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: headers %v", path, resp.Header)
		}
	}
	for path, want := range map[string][2]string{
		"x.png":             {"image/png", "inline; filename=\"x.png\""},
		"a,b+c.log.zst.age": {"application/octet-stream", "attachment; filename=\"a,b+c.log.zst.age\""},
	} {
		resp, err := http.Get(s.url + api + "/" + r.UUID + "/artifacts/" + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.Header.Get("Content-Type") != want[0] || resp.Header.Get("Content-Disposition") != want[1] || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: headers %v", path, resp.Header)
		}
	}
}

func TestBadRequests(t *testing.T) {
	s := newSite(t)
	s.publish()
	for path, want := range map[string]int{
		"/t/demo/builds?from=yesterday": 400, "/t/demo/builds?before=xx": 400, "/t/demo/builds?result=GREEN": 400, "/t/demo/builds?result=LOST&result=RUNNING": 200, "/t/demo": 200, "/t/demo/": 200, api + "?limit=0": 400, api + "?limit=1000000": 400, api + "?before=%00": 400,
		"/t/demo/build/xyz": 404, "/t/other/builds": 404, "/t/demo/service/none": 404, "/t/demo/job/none": 404, "/t/demo/buildset/none": 404,
		"/%2e%2e/": 404, "//": 404, "/static/": 404, "/static/..%2f..%2fetc": 404, api + "/x/build.json": 404,
	} {
		got, _ := s.do("GET", path, nil, nil)
		if got != want {
			t.Errorf("%s: got %d, want %d", path, got, want)
		}
	}
	if got, _ := s.do("DELETE", api, nil, nil); got != 404 && got != 405 {
		t.Errorf("DELETE: got %d", got)
	}
	_, text := s.do("GET", api+"?limit=0", nil, nil)
	var p vitrine.Problem
	if err := json.Unmarshal([]byte(text), &p); err != nil || p.Status != 400 || !strings.Contains(p.Detail, "limit") {
		t.Errorf("problem %q, error %v", text, err)
	}
}

// A hostile name stays in its line of the log (T-8.7), and no token gets there.
func TestLog(t *testing.T) {
	s := newSite(t)
	r := s.publish()
	s.do("GET", "/t/demo/job/x%0A%7B%22level%22:%22forged%22%7D", map[string]string{"X-Request-Id": "forged"}, nil)
	token := s.begin(s.started(nil))
	for line := range strings.SplitSeq(strings.TrimSpace(s.log.String()), "\n") {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry["level"] == "forged" || entry["id"] == "forged" {
			t.Errorf("line %q, error %v", line, err)
		}
	}
	if !strings.Contains(s.log.String(), r.UUID) || strings.Contains(s.log.String(), strings.TrimPrefix(token["Authorization"], "Bearer ")) {
		t.Errorf("log %s", s.log)
	}
}

func TestSearch(t *testing.T) {
	s := newSite(t)
	r := s.publish()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for q, want := range map[string]string{
		"web": "/t/demo/service/web", r.UUID[:12]: "/t/demo/build/" + r.UUID, r.Buildset: "/t/demo/buildset/" + r.Buildset,
		"894%2C201": "/t/demo/builds?change=894201", "deploy": "/t/demo/job/deploy-web", "": "/t/demo/builds",
		"%2F%2Fevil.example": "/t/demo/builds?text=%2F%2Fevil.example",
	} {
		resp, err := client.Get(s.url + "/t/demo/search?q=" + q)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Location"); resp.StatusCode != 303 || got != want {
			t.Errorf("%q: %d to %q, want %q", q, resp.StatusCode, got, want)
		}
	}
}

func TestReady(t *testing.T) {
	s := newSite(t)
	s.want(200, "ok", "GET", "/healthz", nil, nil)
	s.want(200, "ok", "GET", "/readyz", nil, nil)
	x, err := index.Open(context.Background(), filepath.Join(t.TempDir(), "i"), index.Options{Tenant: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	fresh, err := server.New(server.Config{Tenant: "demo", Bucket: s.bucket, Index: x, Keyring: s.repo, PublicURL: "http://x", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/": 503, "/t/demo/keyring": 503} {
		w := httptest.NewRecorder()
		fresh.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want {
			t.Errorf("%s before the first refresh: %d, want %d", path, w.Code, want)
		}
	}
	// A keyring that becomes invalid is named, and the last good one stays.
	s.commitKeyring(map[string]string{"services/web.yaml": "jobs: []\n"}, "broken", time.Now())
	if err := s.server.Refresh(context.Background()); err == nil {
		t.Error("a broken keyring was taken")
	}
	s.want(200, `"status":"degraded"`, "GET", "/readyz", nil, nil)
	s.want(200, "web.yaml", "GET", "/readyz", nil, nil)
	s.want(200, "web", "GET", "/t/demo/service/web", nil, nil)
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []server.Config{{Tenant: "", PublicURL: "http://x"}, {Tenant: "a/b", PublicURL: "http://x"}, {Tenant: "a", PublicURL: "x"}, {Tenant: "a", PublicURL: "ftp://x"}} {
		if _, err := server.New(c); err == nil {
			t.Errorf("New(%q, %q) succeeded", c.Tenant, c.PublicURL)
		}
	}
}
