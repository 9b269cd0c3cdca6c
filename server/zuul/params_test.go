package zuul_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vitrine"
)

// TestBuildFilters asks for builds in every way that Zuul's clients may. Build 2
// succeeded, 3 failed, 4 is a timer's, 6 was imported, 8 runs, 9 was interrupted.
func TestBuildFilters(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ids := make(map[int]int64)
	for _, r := range builds() {
		var n int
		fmt.Sscanf(r.UUID, "%x", &n)
		ids[n] = r.ID()
	}
	long := strings.Repeat("W", 256)
	for query, want := range map[string][]int{
		"":                                     {9, 8, 6, 4, 3, 2},
		"unknown=1":                            {9, 8, 6, 4, 3, 2},
		"project=opendev/zone":                 {4},
		"project=opendev/*":                    {9, 8, 6, 4, 3, 2},
		"project=opendev":                      {},
		"project=*zone&project=nothing":        {4},
		"project=*_*":                          {},
		"project=Opendev/zone":                 {},
		"pipeline=periodic":                    {4},
		"pipeline=p*c":                         {4},
		"branch=mas*":                          {9, 8, 6, 3, 2},
		"job_name=infra-prod-gitea":            {9, 3},
		"job_name=tox&job_name=*-check":        {6, 4},
		"job_name=" + strings.Repeat("*", 9):   {},
		"job_name=":                            {},
		"job_name=not:tox":                     {},
		"change=894201":                        {9, 8, 6, 3, 2},
		"change=abc":                           {},
		"change=abc&change=894201":             {9, 8, 6, 3, 2},
		"change=-1":                            {},
		"change=9999999999999999999999":        {},
		"patchset=3":                           {9, 8, 6, 3, 2},
		"patchset=4":                           {},
		"patchset=*":                           {},
		"ref=refs/heads/main":                  {4},
		"ref=refs/heads/*":                     {},
		"newrev=" + strings.Repeat("9b1f", 10): {9, 8, 6, 3, 2},
		"newrev=9b1f":                          {},
		"uuid=" + id(4):                        {4},
		"uuid=" + id(4) + "&uuid=" + id(3):     {4, 3},
		"uuid=00000000-0000-0000-0000-000000000004": {},
		"uuid=0000*":                                 {},
		"uuid=" + long:                               {},
		"nodeset=focal":                              {9, 8, 6, 3, 2},
		"nodeset=fo*":                                {},
		"result=SUCCESS":                             {4, 2},
		"result=FAILURE&result=TIMED_OUT":            {6, 3},
		"result=LOST":                                {9},
		"result=RUNNING":                             {},
		"result=success":                             {},
		"result=not:SUCCESS":                         {},
		"result=nonsense&result=FAILURE":             {3},
		"exclude_result=SUCCESS":                     {9, 6, 3}, // and not 8: null is not unlike anything
		"exclude_result=nonsense":                    {9, 6, 4, 3, 2},
		"exclude_result=SUCCESS&exclude_result=LOST": {6, 3},
		"result=SUCCESS&exclude_result=SUCCESS":      {},
		"complete=true":                              {9, 6, 4, 3, 2},
		"complete=TRUE":                              {9, 6, 4, 3, 2},
		"complete=1":                                 {8},
		"complete=false":                             {8},
		"complete=":                                  {8},
		"complete=false&result=SUCCESS":              {},
		"complete=false&exclude_result=SUCCESS":      {},
		"voting=1":                                   {9, 8, 6, 4, 2},
		"voting=0":                                   {3},
		"voting=false":                               {3},
		"voting=0&voting=1":                          {9, 8, 6, 4, 3, 2},
		"voting=maybe":                               {},
		"held=1":                                     {6},
		"held=0":                                     {9, 8, 4, 3, 2},
		"final=true":                                 {9, 8, 4, 3, 2},
		"final=1":                                    {6},
		"limit=2":                                    {9, 8},
		"limit=2&skip=1":                             {8, 6},
		"limit=%201%20":                              {9},
		"limit=0":                                    {},
		"skip=6":                                     {},
		"skip=9223372036854775808":                   {},
		"limit=9223372036854775808":                  {9, 8, 6, 4, 3, 2},
		"limit=9223372036854775807&skip=3":           {4, 3, 2},
		"idx_min=0&idx_max=0":                        {9, 8, 6, 4, 3, 2},
		fmt.Sprintf("idx_min=%d", ids[4]):            {9, 8, 6, 4},
		fmt.Sprintf("idx_max=%d", ids[4]):            {4, 3, 2},
		fmt.Sprintf("idx_max=%d", ids[4]-1):          {3, 2},
		fmt.Sprintf("idx_min=%d&idx_max=%d", ids[3], ids[4]): {4, 3},
		"idx_min=9223372036854775808":                        {},
		"idx_max=-1":                                         {},
		"idx_min=-1":                                         {9, 8, 6, 4, 3, 2},
		"project=%00":                                        {},
		"project=" + long:                                    {},
		"branch=%E2%80%AE":                                   {},
		"branch=%ff":                                         {},
		"tenant=other":                                       {9, 8, 6, 4, 3, 2},
		"project=opendev/zone&job_name=zone-check&pipeline=periodic&result=SUCCESS&voting=1&held=0&final=true&complete=true": {4},
		"project=" + url.QueryEscape(`' OR 1=1 --`): {},
	} {
		if got := s.uuids("builds?" + query); !slices.Equal(got, want) {
			t.Errorf("%.80s: %v, want %v", query, got, want)
		}
	}
}

// Buildset 101 has builds 2 and 3, 102 has 4, 103 has 6, and 104 has 8 and 9.
func TestBuildsetFilters(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for query, want := range map[string][]int{
		"":                          {104, 103, 102, 101},
		"project=opendev/zone":      {102},
		"project=*config":           {104, 103, 101},
		"pipeline=deploy":           {104, 103, 101},
		"branch=m*":                 {104, 103, 101},
		"change=894201":             {104, 103, 101},
		"change=x":                  {},
		"uuid=" + id(102):           {102},
		"uuid=" + id(4):             {},
		"result=SUCCESS":            {102, 101},
		"result=FAILURE":            {103},
		"exclude_result=FAILURE":    {102, 101},
		"complete=true":             {103, 102, 101},
		"complete=no":               {104},
		"job_name=tox":              {104, 103, 102, 101}, // not a parameter here
		"limit=1&skip=1":            {103},
		"limit=0":                   {},
		"limit=9223372036854775808": {104, 103, 102, 101},
	} {
		if got := s.uuids("buildsets?" + query); !slices.Equal(got, want) {
			t.Errorf("%.80s: %v, want %v", query, got, want)
		}
	}
}

func TestBuildTimes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for query, want := range map[string][]int{
		"":                                       {6, 4, 3, 2},
		"project=opendev/zone":                   {4},
		"project=opendev/*":                      {}, // exact here
		"job_name=tox&job_name=zone-check":       {6, 4},
		"ref=refs/heads/main":                    {4},
		"branch=master&pipeline=deploy":          {6, 3, 2},
		"final=true":                             {4, 3, 2},
		"final=no":                               {6},
		"exclude_result=SUCCESS":                 {6, 3},
		"start_time=2026-03-01T02:07:22":         {6, 4},
		"end_time=2026-03-01T02:07:22":           {4, 3, 2},
		"end_time=2026-03-01T02:07:21":           {3, 2},
		"end_time=2026-03-01%2002:07:21":         {3, 2},
		"start_time=2026-03-01T02:07:22.5":       {6},
		"start_time=2026-03-01T03:07:22%2B01:00": {6, 4},
		"start_time=2026-03-02":                  {},
		"limit=1&skip=1":                         {4},
	} {
		if got := s.uuids("build-times?" + query); !slices.Equal(got, want) {
			t.Errorf("%.80s: %v, want %v", query, got, want)
		}
	}
}

// A build of which no word came is complete, and lost.
func TestLost(t *testing.T) {
	t.Parallel()
	s := serve(t, newIndex(t, filepath.Join(t.TempDir(), "x"), time.Nanosecond, record(8, started), record(9)))
	_, body := s.do("GET", "/api/tenant/opendev/build/"+id(8))
	for _, part := range []string{`"result":"LOST"`, `"end_time":null`, `"duration":null`, `"log_url":null`, `"artifacts":[]`, `"error_detail":"no word`} {
		if !strings.Contains(body, part) {
			t.Errorf("no %s in %s", part, body)
		}
	}
	for query, want := range map[string][]int{"complete=true": {9, 8}, "complete=false": {}, "result=LOST": {8}, "exclude_result=LOST": {9}, "exclude_result=SUCCESS": {8}} {
		if got := s.uuids("builds?" + query); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
}

// What can't be asked is refused with a line of text, as is what is not there.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	many := strings.Repeat("&project=x", 10_001)
	different := ""
	for i := range 101 {
		different += fmt.Sprintf("&project=p%d", i)
	}
	for path, want := range map[string]string{
		"builds?idx_min=x":                           "400 idx_min, idx_max must be integers",
		"builds?idx_max=":                            "400 idx_min, idx_max must be integers",
		"buildsets?idx_max=1.5":                      "400 idx_min, idx_max must be integers",
		"builds?limit=many":                          "400 limit, skip must be integers",
		"builds?limit=-1":                            "400 limit, skip must be integers",
		"builds?skip=-1":                             "400 limit, skip must be integers",
		"builds?project=%zz":                         "400 the query can't be read",
		"builds?project=a;b":                         "400 the query can't be read",
		"builds?" + many[1:]:                         "400 the query can't be read",
		"builds?" + different[1:]:                    "400 101 values of project",
		"build-times?start_time=soon":                `400 start_time "soon"`,
		"badge?project=%zz":                          "400 the query can't be read",
		"badge?project=none":                         "404 No buildset found",
		"build/" + id(77):                            "404 Build not found",
		"build/" + id(2)[:31]:                        "404 Build not found",
		"build/%00":                                  "404 Build not found",
		"build/00000000-0000-0000-0000-000000000002": "404 Build not found",
		"buildset/" + id(2):                          "404 Buildset not found",
		"buildset/x":                                 "404 Buildset not found",
		"job/none":                                   "404 Job none does not exist.",
		"job/%3Cscript%3E":                           "404 Job <script> does not exist.",
		"project/a/b":                                "404 Project a/b does not exist.",
		"console-stream":                             "404 this history does not answer",
		"key/opendev/zone.pub":                       "404 this history does not answer",
		"project-ssh-key/zone.pub":                   "404 this history does not answer",
		"nothing":                                    "404 this history does not answer",
	} {
		resp, body := s.do("GET", "/api/tenant/opendev/"+path)
		if got := fmt.Sprintf("%d %s", resp.StatusCode, body); !strings.HasPrefix(got, want) || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" ||
			resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%.80s: %.200s, want %s; %v", path, got, want, resp.Header)
		}
	}
	for _, path := range []string{"builds", "build-times", "info", "status", "build/" + id(2)} {
		resp, body := s.do("GET", "/api/tenant/other/"+path)
		if resp.StatusCode != 404 || body != "Tenant other does not exist.\n" {
			t.Errorf("%s of another tenant: %d %s", path, resp.StatusCode, body)
		}
	}
	w := httptest.NewRecorder()
	handler(s.index, false).ServeHTTP(w, httptest.NewRequest("GET", "/api/tenant/opendev/builds", nil))
	if w.Code != 422 {
		t.Errorf("before the index is filled: %d", w.Code)
	}
}

// A megabyte of a query is read, or refused, like any other.
func TestLongQuery(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, query := range []string{"project=" + strings.Repeat("x", 1_000_000), "project=" + strings.Repeat("*", 1_000_000), strings.Repeat("a&", 500_000)} {
		w := httptest.NewRecorder()
		handler(s.index, true).ServeHTTP(w, httptest.NewRequest("GET", "/api/tenant/opendev/builds?"+query, nil))
		if w.Code != 400 && (w.Code != 200 || w.Body.String() != "[]\n") {
			t.Errorf("%.20s: %d %.100s", query, w.Code, w.Body)
		}
	}
}

// FuzzBuilds holds that no query makes the server fail, and that none that names
// something finds more than all there is.
func FuzzBuilds(f *testing.F) {
	x := newIndex(f, filepath.Join(f.TempDir(), "x"), 50*365*24*time.Hour, builds()...)
	h := handler(x, true)
	for _, seed := range []string{"project=a*&change=1&limit=3", "result=SUCCESS&complete=true&idx_min=5", "voting=1&held=0&final=x&skip=2", "uuid=*&exclude_result=not:x",
		"start_time=2026-03-01&end_time=x", "limit=9223372036854775808&skip=-0", "%zz;&&=", "branch=%00%ff", "nodeset=***&ref=not:&newrev=*&patchset=+"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"builds", "buildsets", "build-times", "badge"} {
			r := httptest.NewRequest("GET", "/api/tenant/opendev/"+path, nil)
			r.URL.RawQuery = query
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code >= 500 {
				t.Errorf("%s?%s: %d %s", path, query, w.Code, w.Body)
			}
		}
	})
}

// Names with everything in them come out as they went in.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	for i, name := range []string{`<script>alert(1)</script>`, `"\`, "\u202egnp.exe", strings.Repeat("W", 255), "👩‍👩‍👧‍👦", `a/b?c#d%2e`, "a*b", "not:a", "..", "a//b"} {
		s := serve(t, newIndex(t, filepath.Join(t.TempDir(), "x"), 0, record(2, func(r *vitrine.Record) {
			r.JobName, r.Pipeline, r.Ref.Project, r.Ref.Branch, r.Nodeset, r.ErrorDetail, r.EventID = name, name, name, name, name, name, name
		})))
		if got := s.uuids("builds"); !slices.Equal(got, []int{2}) {
			t.Errorf("%d: %v", i, got)
		}
		if strings.HasPrefix(name, "not:") || strings.Contains(name, "..") || strings.Contains(name, "//") {
			continue // which can't be asked for in that way
		}
		for _, path := range []string{"builds?job_name=" + url.QueryEscape(name) + "&project=" + url.QueryEscape(name)} {
			if got := s.uuids(path); !slices.Equal(got, []int{2}) {
				t.Errorf("%d, %s: %v", i, path, got)
			}
		}
		for _, path := range []string{"job/", "project/"} {
			resp, body := s.do("GET", "/api/tenant/opendev/"+path+strings.ReplaceAll(url.PathEscape(name), "%2F", "/"))
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%d, %s: %d %s", i, path, resp.StatusCode, body)
			}
		}
	}
}
