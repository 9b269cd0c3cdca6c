package server_test

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"vitrine"
)

// Feeds tell of the builds that have ended, of any filter.
func TestFeeds(t *testing.T) {
	s, published, failed := filledSite(t)
	for filter, want := range map[string][]string{
		"":                            {failed.UUID, published.UUID, "imported"},
		"?service=web":                {failed.UUID, published.UUID},
		"?service=web&result=SUCCESS": {published.UUID},
		"?result=FAILURE&limit=1&before=nonsense": {failed.UUID},
		"?job_name=none": nil,
	} {
		resp, body := s.ask("GET", "/t/demo/feed.atom"+filter)
		var atom struct {
			ID      string `xml:"id"`
			Entries []struct {
				ID   string `xml:"id"`
				Link []struct {
					Href string `xml:"href,attr"`
				} `xml:"link"`
			} `xml:"entry"`
		}
		if err := xml.Unmarshal([]byte(body), &atom); err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/atom+xml; charset=utf-8" {
			t.Fatalf("%s: %d %v, headers %v, %s", filter, resp.StatusCode, err, resp.Header, body)
		}
		if len(atom.Entries) != len(want) || !strings.HasPrefix(atom.ID, "https://vitrine.example.org/t/demo/feed.atom") {
			t.Errorf("%s: %d entries of %s, want %v", filter, len(atom.Entries), atom.ID, want)
		}
		for _, uuid := range want {
			if uuid != "imported" && !strings.Contains(body, "https://vitrine.example.org/t/demo/build/"+uuid) {
				t.Errorf("%s: build %s is not in %s", filter, uuid, body)
			}
		}
		if strings.Contains(body, "<script>") || strings.Contains(body, "\ufffe") {
			t.Errorf("%s: a text is markup, or no XML, in %s", filter, body)
		}
		resp, body = s.ask("GET", "/t/demo/feed.json"+filter)
		var feed struct{ Items []struct{ ID, URL string } }
		if err := json.Unmarshal([]byte(body), &feed); err != nil || resp.Header.Get("Content-Type") != "application/feed+json" || len(feed.Items) != len(want) {
			t.Errorf("%s: error %v, headers %v, %s", filter, err, resp.Header, body)
		}
	}
	resp, _ := s.ask("GET", "/t/demo/feed.atom")
	modified, err := http.ParseTime(resp.Header.Get("Last-Modified"))
	if err != nil || modified.Before(published.StartTime) {
		t.Errorf("last modified %q", resp.Header.Get("Last-Modified"))
	}
	if again, _ := s.ask("GET", "/t/demo/feed.atom", "If-Modified-Since", resp.Header.Get("Last-Modified")); again.StatusCode != 304 {
		t.Errorf("since then: %d", again.StatusCode)
	}
	if earlier, _ := s.ask("GET", "/t/demo/feed.atom", "If-Modified-Since", modified.Add(-time.Second).Format(http.TimeFormat)); earlier.StatusCode != 200 {
		t.Errorf("since the second before: %d", earlier.StatusCode)
	}
	s.want(400, "result", "GET", "/t/demo/feed.atom?result=GREEN", nil, nil)
	s.want(404, "", "GET", "/t/other/feed.json", nil, nil)
}

func TestBadges(t *testing.T) {
	s, _, _ := filledSite(t)
	label := func(text string) string { return url.QueryEscape(text) }
	for query, want := range map[string]string{
		"?job_name=deploy-web":                            "<title>deploy-web: Failed after",
		"?job_name=deploy-web&result=SUCCESS":             "<title>deploy-web: Succeeded in",
		"?service=web&label=%20production%0A%20":          "<title>production: Failed after",
		"?service=web&label=" + label("<script>&"):        "<title>&lt;script&gt;&amp;: Failed",
		"?service=mail":                                   "<title>mail: No builds</title>",
		"?job_name=" + label("<b>*"):                      "<title>&lt;b&gt;*: No builds</title>",
		"?job_name=lint*":                                 "No node",
		"?branch=none&label=" + strings.Repeat("W", 3000): "<title>" + strings.Repeat("W", 40) + ": No builds</title>",
		"?branch=none":                                    "<title>demo: No builds</title>",
	} {
		resp, body := s.ask("GET", "/t/demo/badge.svg"+query)
		h := resp.Header
		if resp.StatusCode != 200 || h.Get("Content-Type") != "image/svg+xml" || h.Get("Cache-Control") != "no-cache" ||
			h.Get("Content-Security-Policy") != "sandbox; default-src 'none'" || h.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
			t.Errorf("%s: %d, headers %v", query, resp.StatusCode, h)
		}
		if err := xml.Unmarshal([]byte(body), new(struct{})); err != nil || !strings.Contains(body, want) || strings.Contains(body, "<script>") {
			t.Errorf("%s: error %v, want %q in %s", query, err, want, body)
		}
	}
}

// A build that runs is the latest, but has no files and no outcome yet.
func TestLatest(t *testing.T) {
	s := newSite(t)
	s.want(404, "no build of that kind", "GET", "/t/demo/latest", nil, nil)
	published := s.publish()
	at := func(after time.Duration) func(*vitrine.Record) {
		return func(r *vitrine.Record) {
			r.StartTime, r.Expires = r.StartTime.Add(after), r.Expires.Add(after)
		}
	}
	failed := s.commit(at(time.Second), func(r *vitrine.Record) { r.Result = vitrine.Failure })
	running := s.started(at(2 * time.Second))
	s.begin(running)
	build, artifacts := "/t/demo/build/", api+"/"+published.UUID+"/artifacts/"
	for path, want := range map[string]string{
		"/latest":                build + running.UUID,
		"/latest?result=FAILURE": build + failed.UUID,
		"/latest?job_name=deploy-*&service=web&limit=3": build + running.UUID,
		"/latest-success":                             build + published.UUID,
		"/latest-success?result=FAILURE":              build + published.UUID,
		"/latest-success/artifacts/x.png?service=web": artifacts + "x.png",
		"/latest-success/artifacts/a,b+c.log":         artifacts + "a%2Cb+c.log.zst.age",
		"/latest-success/artifacts/a,b+c.log.zst.age": artifacts + "a%2Cb+c.log.zst.age",
		"/latest/artifacts/x.png?result=SUCCESS":      artifacts + "x.png",
	} {
		resp, _ := s.ask("GET", "/t/demo"+path)
		if resp.StatusCode != 303 || resp.Header.Get("Location") != want || resp.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %d to %q, headers %v; want %q", path, resp.StatusCode, resp.Header.Get("Location"), resp.Header, want)
		}
	}
	s.want(200, sealedBody, "GET", "/t/demo/latest-success/artifacts/a,b+c.log", nil, nil)
	s.want(200, "png", "GET", "/t/demo/latest-success/artifacts/x.png", nil, nil)
	s.want(404, "has no artifact", "GET", "/t/demo/latest/artifacts/x.png", nil, nil) // the one that failed has none
	s.want(404, "has no artifact", "GET", "/t/demo/latest-success/artifacts/..%2fx.png", nil, nil)
	s.want(404, "no build of that kind", "GET", "/t/demo/latest-success?service=mail", nil, nil)
	s.want(400, "result", "GET", "/t/demo/latest?result=GREEN", nil, nil)
}
