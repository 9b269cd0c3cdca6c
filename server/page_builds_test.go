package server_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"vitrine"
)

// history adds a finished build of deploy-web to the bucket, as a publisher elsewhere
// would; refresh finds it.
func (s *site) history(start time.Time, change func(*vitrine.Record)) *vitrine.Record {
	s.t.Helper()
	r := finished(s.started(func(r *vitrine.Record) { r.StartTime = start.UTC().Truncate(time.Second) }))
	if change != nil {
		change(r)
	}
	s.put(r.Key(), signed(s.t, r, s.bridge))
	return r
}

// visit asks without following, and returns where it is sent to and the page.
func (s *site) visit(method, path string) (status int, to, page string) {
	s.t.Helper()
	q, err := http.NewRequest(method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Location"), string(body)
}

// rowsOf are the ids of the builds that a page lists, in its order.
func rowsOf(t *testing.T, page string) (ids []string) {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(page))
	for tt := z.Next(); tt != html.ErrorToken; tt = z.Next() {
		if tok := z.Token(); tok.Data == "tr" {
			for _, a := range tok.Attr {
				if id, ok := strings.CutPrefix(a.Val, "b-"); ok && a.Key == "id" {
					ids = append(ids, id)
				}
			}
		}
	}
	return ids
}

// What a form sends ends at the address that people share.
func TestBuildsForm(t *testing.T) {
	s := newSite(t)
	s.publish()
	for form, want := range map[string]string{
		"job_name=&result=&text=":                              "/t/demo/builds",
		"job_name=a&job_name=b&branch=":                        "/t/demo/builds?job_name=a&job_name=b",
		"job_name=a&job_name=b&not=job_name":                   "/t/demo/builds?job_name=a&job_name=not%3Ab",
		"job_name=a&job_name=&not=job_name":                    "/t/demo/builds?job_name=a",
		"result=SKIPPED&not=result&change=1":                   "/t/demo/builds?change=1&result=not%3ASKIPPED",
		"result=LOST&result=SKIPPED&not=result":                "/t/demo/builds?result=not%3ALOST&result=not%3ASKIPPED",
		"job_name=not:a&not=job_name":                          "/t/demo/builds?job_name=not%3Aa",
		"voting=true&not=voting&not=before&before=x&stranger=": "/t/demo/builds?voting=1",
		"at=2026-10-01&job_name=a":                             "/t/demo/builds?before=1790899200-00000000000000000000000000000000&job_name=a",
		"at=2199-10-01":                                        "/t/demo/builds",
		"at=":                                                  "/t/demo/builds",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			if status, to, _ := s.visit(method, "/t/demo/builds?"+form); status != 303 || to != want {
				t.Errorf("%s %s: %d to %s, want %s", method, form, status, to, want)
			}
		}
	}
}

// A wrong value gets an error page that names it, says what is allowed, and leads
// back to the list without it.
func TestBuildsErrors(t *testing.T) {
	s := newSite(t)
	s.publish()
	for query, want := range map[string][2]string{
		"result=GREEN&job_name=a&before=x":            {"No result is called \u2068GREEN", `href="/t/demo/builds?job_name=a"`},
		"change=1&change=2x":                          {"change &#34;2x&#34;: want the number", `href="/t/demo/builds?change=1"`},
		"at=soon&job_name=a":                          {"at &#34;soon&#34;", `href="/t/demo/builds?job_name=a"`},
		"job_name=a&before=xx":                        {"xx", `href="/t/demo/builds?job_name=a"`},
		"job_name=" + strings.Repeat("%E2%80%AE", 99): {"at most 255 bytes", `href="/t/demo/builds"`},
	} {
		status, _, page := s.visit("GET", "/t/demo/builds?"+query)
		if status != 400 || !strings.Contains(page, want[0]) || !strings.Contains(page, want[1]) {
			t.Errorf("%s: %d, want %q and %q in\n%s", query, status, want[0], want[1], page[strings.Index(page, "<main"):])
		}
		if status, _, page := s.visit("HEAD", "/t/demo/builds?"+query); status != 400 || page != "" {
			t.Errorf("HEAD %s: %d %q", query, status, page)
		}
	}
	// An address beyond all bounds is refused before it is read (T-WEB-7).
	resp, err := http.Get(s.url + "/t/demo/builds?text=" + strings.Repeat("x", 2<<20))
	if err == nil {
		resp.Body.Close()
	}
	if err == nil && resp.StatusCode/100 != 4 {
		t.Errorf("2 MB of query: %d", resp.StatusCode)
	}
}

func TestBuildsPages(t *testing.T) {
	s := newSite(t)
	now := time.Now()
	// No older than a refresh looks back, whatever the time of the day.
	begin := func(i int) time.Time { return now.Add(-time.Duration(i)*40*time.Minute - time.Minute) }
	var all []string // newest first
	for i := range 60 {
		all = append(all, s.history(begin(i), nil).UUID)
	}
	s.refresh()
	_, _, first := s.visit("GET", "/t/demo/builds?job_name=deploy-*")
	got := rowsOf(t, first)
	if fmt.Sprint(got) != fmt.Sprint(all[:50]) {
		t.Fatalf("the first page has %d builds, or others", len(got))
	}
	link := func(page, rel string) string {
		t.Helper()
		before, _, ok := strings.Cut(page, `" rel="`+rel+`"`)
		if !ok {
			t.Fatalf("no link %s", rel)
		}
		return strings.ReplaceAll(before[strings.LastIndex(before, `"`)+1:], "&amp;", "&")
	}
	if strings.Contains(first, `rel="prev"`) || !strings.Contains(first, `data-events="/t/demo/builds/events?after=`) {
		t.Error("the first page leads to newer builds, or does not listen")
	}
	_, _, second := s.visit("GET", link(first, "next"))
	if got := rowsOf(t, second); fmt.Sprint(got) != fmt.Sprint(all[50:]) || strings.Contains(second, "data-events") || !strings.Contains(second, "job_name=deploy-") {
		t.Errorf("the second page has %d builds, or listens, or lost the filter", len(got))
	}
	// Back at the newest, the address has no cursor any more.
	if status, to, _ := s.visit("GET", link(second, "prev")); status != 303 || to != "/t/demo/builds?job_name=deploy-%2A" {
		t.Errorf("%d to %q", status, to)
	}
	// A day leads to the builds that began on it, or before.
	day := now.UTC().Add(-30 * time.Hour).Format(time.DateOnly)
	_, to, _ := s.visit("GET", "/t/demo/builds?at="+day)
	_, _, page := s.visit("GET", to)
	got = rowsOf(t, page)
	end, err := time.Parse(time.DateOnly, day)
	if err != nil {
		t.Fatal(err)
	}
	end = end.AddDate(0, 0, 1)
	for i, uuid := range all {
		if began := begin(i).UTC().Truncate(time.Second); began.Before(end) {
			if len(got) == 0 || got[0] != uuid || !strings.Contains(page, `rel="prev"`) {
				t.Errorf("the page of %s begins with %v, want %s", day, got[:min(len(got), 1)], uuid)
			}
			break
		}
	}
	_, _, page = s.visit("GET", "/t/demo/builds?before=1600000000-00000000000000000000000000000000&job_name=deploy-web")
	if !strings.Contains(page, "ends before this page") || !strings.Contains(page, `href="/t/demo/builds?job_name=deploy-web"`) {
		t.Errorf("a page beyond the end: %s", page)
	}
	_, _, page = s.visit("GET", "/t/demo/builds?job_name=deploy-web&branch=none")
	if !strings.Contains(page, "No build matches all of these filters") || !strings.Contains(page, `<a href="/t/demo/builds?branch=none">without job`) {
		t.Errorf("no match: %s", page)
	}
	// Zuul's own address for a later page.
	_, _, page = s.visit("GET", "/t/demo/builds?job_name=deploy-web&skip=55&limit=50")
	if got := rowsOf(t, page); len(got) != 5 || got[0] != all[55] {
		t.Errorf("skip: %d builds", len(got))
	}
}

// A search leads straight to the thing, if there is just one.
func TestSearchLeads(t *testing.T) {
	s := newSite(t)
	now := time.Now().Add(-time.Hour)
	ref := func(change int64, patchset, commit string) func(*vitrine.Record) {
		return func(r *vitrine.Record) {
			r.Ref = vitrine.Ref{Project: "opendev/config", Branch: "master", Change: change, Patchset: patchset, NewRev: commit}
		}
	}
	one := s.history(now, ref(894201, "3", strings.Repeat("9b1f", 10)))
	s.history(now, ref(894202, "1", strings.Repeat("abcd", 10)))
	two := s.history(now, ref(894202, "2", strings.Repeat("abcd", 9)+"0000"))
	s.refresh()
	build := func(r *vitrine.Record) string { return "/t/demo/build/" + r.UUID }
	for q, want := range map[string]string{
		"":                         "/t/demo/builds",
		"894201":                   build(one),
		" 894,201 ":                build(one),
		"#894201":                  build(one),
		"894201,3":                 build(one),
		"894202":                   "/t/demo/builds?change=894202",
		"894202/2":                 build(two),
		"894203":                   "/t/demo/builds?change=894203",
		"9b1f9b1":                  build(one),
		strings.Repeat("9B1F", 10): build(one),
		"abcdabcd":                 "/t/demo/builds?newrev=abcdabcd%2A",
		one.UUID:                   build(one),
		one.UUID[:9]:               build(one),
		one.Buildset:               "/t/demo/buildset/" + one.Buildset,
		"deploy-web":               "/t/demo/job/deploy-web",
		"DEPLOY-w":                 "/t/demo/job/deploy-web",
		"web":                      "/t/demo/service/web",
		"mail":                     "/t/demo/service/mail",
		"opendev":                  "/t/demo/builds?project=opendev%2Fconfig",
		"opendev/config":           "/t/demo/builds?project=opendev%2Fconfig",
		"e":                        "/t/demo/builds?text=e",
		"deploy-*":                 "/t/demo/builds?job_name=deploy-%2A",
		"deplox*":                  "/t/demo/builds?text=deplox", // no job is named so
		"we*":                      "/t/demo/builds?text=we",
		"mai*":                     "/t/demo/service/mail",
		"nothing like it":          "/t/demo/builds?text=nothing+like+it",
		"<b>\u202e":                "/t/demo/builds?text=%3Cb%3E%E2%80%AE",
		"//evil.example/":          "/t/demo/builds?text=%2F%2Fevil.example%2F",
		"deadbeef":                 "/t/demo/builds?text=deadbeef",
		"0":                        "/t/demo/builds?text=0",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			if status, to, _ := s.visit(method, "/t/demo/search?q="+url.QueryEscape(q)); status != 303 || to != want {
				t.Errorf("%s %q: %d to %q, want %q", method, q, status, to, want)
			}
		}
	}
	for _, q := range []string{strings.Repeat("x", 256), "\xff"} {
		if status, _, _ := s.visit("GET", "/t/demo/search?q="+url.QueryEscape(q)); status != 400 {
			t.Errorf("%.20q: %d, want 400", q, status)
		}
	}
}
