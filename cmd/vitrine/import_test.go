package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"

	"vitrine"
	"vitrine/server/index"
	api "vitrine/server/zuul"
	"vitrine/storage"
	"vitrine/zuul"
)

// A fakeZuul has a list of builds, newest first.
type fakeZuul struct {
	mu       sync.Mutex
	builds   []map[string]any
	requests atomic.Int32
	// before answers in the place of the list if it returns true.
	before func(w http.ResponseWriter, r *http.Request) bool
}

func (z *fakeZuul) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	z.requests.Add(1)
	if z.before != nil && z.before(w, r) {
		return
	}
	if r.URL.Path != "/api/tenant/t/builds" {
		http.NotFound(w, r)
		return
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit"))
	newest := len(z.builds)
	if v := q.Get("idx_max"); v != "" {
		newest, _ = strconv.Atoi(v)
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, "[")
	sep := ""
	for _, b := range z.builds[len(z.builds)-newest:] { // ids are without a gap
		wanted := len(q["job_name"]) == 0
		for _, glob := range q["job_name"] {
			ok, _ := path.Match(glob, fmt.Sprint(b["job_name"]))
			wanted = wanted || ok
		}
		if !wanted {
			continue
		}
		if limit--; limit < 0 {
			break
		}
		text, _ := json.Marshal(b)
		fmt.Fprintf(w, "%s%s", sep, text)
		sep = ","
	}
	fmt.Fprint(w, "]")
}

// made makes up n builds, one every step before end; change may alter each.
func (z *fakeZuul) made(n int, end time.Time, step time.Duration, change func(i int, b map[string]any)) *fakeZuul {
	for i := n; i > 0; i-- { // the newest first
		start := end.Add(-time.Duration(n-i+1) * step).UTC()
		b := map[string]any{
			"_id": i, "uuid": fmt.Sprintf("%032x", i), "job_name": fmt.Sprintf("deploy-%d", i%3), "result": "SUCCESS", "held": false, "final": true, "voting": true,
			"start_time": start.Format("2006-01-02T15:04:05"), "end_time": start.Add(time.Minute).Format("2006-01-02T15:04:05"),
			"log_url": fmt.Sprintf("https://logs.example.org/%d", i), "nodeset": "jammy", "error_detail": nil,
			"artifacts": []any{map[string]any{"name": "Zuul Manifest", "url": fmt.Sprintf("https://logs.example.org/%d/zuul-manifest.json", i), "metadata": map[string]any{"type": "zuul_manifest"}}},
			"ref":       map[string]any{"project": "opendev/system-config", "branch": "master", "change": 1000 + i, "patchset": "1", "ref": "refs/changes/x", "oldrev": nil, "newrev": nil, "ref_url": "https://review.example.org/" + strconv.Itoa(i)},
			"pipeline":  "deploy", "event_id": fmt.Sprintf("%032x", i/4), "event_timestamp": start.Format("2006-01-02T15:04:05"), "buildset": map[string]any{"uuid": fmt.Sprintf("%032x", 1<<40+i/4)},
		}
		if change != nil {
			change(i, b)
		}
		z.builds = append(z.builds, b)
	}
	return z
}

// A place is a history to import into.
type place struct {
	bucket storage.Bucket
	x      *index.Index
}

func newPlace(t testing.TB) place {
	t.Helper()
	return place{storage.NewMemory(), openIndex(t)}
}

func openIndex(t testing.TB) *index.Index {
	t.Helper()
	x, err := index.Open(t.Context(), filepath.Join(t.TempDir(), "index.sqlite"), index.Options{Tenant: "main"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

func (p place) importFrom(t testing.TB, h http.Handler, o importOptions) (importReport, error) {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	c, err := zuul.NewClient(server.URL, "t")
	if err != nil {
		t.Fatal(err)
	}
	o.tenant = "main"
	if o.progress == nil {
		o.progress = func(int, time.Time) {}
	}
	o.passed = func(string, error) {}
	return importBuilds(t.Context(), c, p.bucket, p.x, o)
}

// count is how many builds the index has.
func (p place) count(t testing.TB) (n int) {
	t.Helper()
	for q := (index.Query{Limit: index.MaxLimit}); ; {
		page, err := p.x.Builds(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		n += len(page.Builds)
		if q.Before = page.Older; q.Before == "" {
			return n
		}
	}
}

// all is the whole history, by the index, newest first.
func (p place) all(t testing.TB) (builds []vitrine.Build) {
	t.Helper()
	for q := (index.Query{Limit: index.MaxLimit}); ; {
		page, err := p.x.Builds(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range page.Builds {
			whole, _, err := p.x.Build(t.Context(), b.UUID)
			if err != nil {
				t.Fatal(err)
			}
			builds = append(builds, whole)
		}
		if q.Before = page.Older; q.Before == "" {
			return builds
		}
	}
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var lately = time.Now().UTC().Truncate(time.Second)

// Importing twice is importing once, and an index made anew says the same.
func TestImportTwice(t *testing.T) {
	t.Parallel()
	p, z := newPlace(t), new(fakeZuul).made(700, lately, time.Hour, nil)
	report, err := p.importFrom(t, z, importOptions{})
	if err != nil || report.Imported != 700 || report.Known != 0 || report.Ended != endReached {
		t.Fatalf("%+v, %v", report, err)
	}
	once := p.all(t)
	if len(once) != 700 || once[0].Imported.Links[0].URL != "https://logs.example.org/700/zuul-manifest.json" || once[0].Imported.LogURL != "https://logs.example.org/700/" ||
		once[0].Ref.Change != 1700 || once[0].Pipeline != "deploy" || once[0].Service != "" || !once[0].Final() {
		t.Errorf("%d builds, the first %+v", len(once), once[0])
	}
	report, err = p.importFrom(t, z, importOptions{full: true})
	if err != nil || report.Imported != 0 || report.Known != 700 {
		t.Errorf("again: %+v, %v", report, err)
	}
	if twice := p.all(t); asJSON(t, twice) != asJSON(t, once) {
		t.Error("the second import changed the history")
	}
	anew := place{p.bucket, openIndex(t)}
	synced, err := anew.x.Sync(t.Context(), p.bucket, time.Time{})
	if err != nil || synced.Added != 700 || len(synced.Problems) > 0 || asJSON(t, anew.all(t)) != asJSON(t, once) {
		t.Errorf("made anew: %+v, %v", synced, err)
	}
	// An index that is empty is filled before, from what the bucket has.
	fresh := place{p.bucket, openIndex(t)}
	if report, err := fresh.importFrom(t, z, importOptions{}); err != nil || report.Imported != 0 || report.Known != 700 {
		t.Errorf("with an empty index: %+v, %v", report, err)
	}
}

// The next import takes what is new, and what ran during the last, and then ends.
func TestImportAgain(t *testing.T) {
	t.Parallel()
	p, z := newPlace(t), new(fakeZuul).made(1700, lately, 20*time.Minute, nil)
	ran := z.builds[200]
	older := slices.Delete(slices.Clone(z.builds[100:]), 100, 101) // which ran then
	all := z.builds
	z.builds = older
	renumber := func() {
		for i, b := range z.builds {
			b["_id"] = len(z.builds) - i
		}
	}
	renumber()
	if report, err := p.importFrom(t, z, importOptions{}); err != nil || report.Imported != 1599 {
		t.Fatalf("%+v, %v", report, err)
	}
	z.builds = all
	renumber()
	z.requests.Store(0)
	report, err := p.importFrom(t, z, importOptions{})
	if err != nil || report.Imported != 101 || report.Ended != endKnown {
		t.Errorf("%+v, %v", report, err)
	}
	if n := z.requests.Load(); n > 5 {
		t.Errorf("%d requests", n)
	}
	if _, _, err := p.x.Build(t.Context(), ran["uuid"].(string)); err != nil {
		t.Error(err)
	}
	report, err = p.importFrom(t, z, importOptions{full: true})
	if err != nil || report.Imported != 0 || report.Known != 1700 || report.Ended != endReached {
		t.Errorf("in full: %+v, %v", report, err)
	}
}

func TestImportBounds(t *testing.T) {
	t.Parallel()
	z := new(fakeZuul).made(2000, lately, time.Hour, nil)
	for _, test := range []struct {
		name     string
		o        importOptions
		imported int
		stored   int
		ended    string
		requests int32
	}{
		{"since", importOptions{since: lately.Add(-100 * time.Hour)}, 100, 100, endSince, 2},
		{"job", importOptions{jobs: []string{"deploy-1"}}, 667, 667, endReached, 9},
		{"jobs", importOptions{jobs: []string{"deploy-1", "*-2"}}, 1334, 1334, endReached, 9},
		{"dry run", importOptions{dryRun: true}, 2000, 0, endReached, 9},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			z.requests.Store(0)
			report, err := p.importFrom(t, z, test.o)
			if err != nil || report.Imported != test.imported || report.Ended != test.ended || p.count(t) != test.stored || z.requests.Load() > test.requests {
				t.Errorf("%+v, %v; %d stored, %d requests", report, err, p.count(t), z.requests.Load())
			}
		})
	}
}

// Nothing about a strange build stops an import; it is counted and named.
func TestImportStrange(t *testing.T) {
	t.Parallel()
	hostile := "\x1b]0;x\a<script>\u202e\u2028" + strings.Repeat("W", 3000) + "\n"
	changes := map[int]struct {
		change map[string]any
		why    string // empty: it is imported
	}{
		1:  {map[string]any{"start_time": "2019-12-31T23:59:59"}, string(tooEarly)},
		2:  {map[string]any{"start_time": "2199-01-01T00:00:00", "end_time": "2199-01-01T00:00:00"}, string(tooLate)},
		3:  {map[string]any{"uuid": "not-one"}, string(badUUID)},
		4:  {map[string]any{"job_name": ""}, string(noJob)},
		5:  {map[string]any{"result": nil}, string(notEnded)},
		6:  {map[string]any{"start_time": nil, "end_time": nil, "event_timestamp": nil}, string(noTime)},
		7:  {map[string]any{"artifacts": "x"}, string(notBuild)},
		8:  {map[string]any{"start_time": nil, "result": "SKIPPED"}, ""},
		9:  {map[string]any{"start_time": nil, "end_time": nil}, ""},
		10: {map[string]any{"end_time": "2020-01-01T00:00:00"}, ""},
		11: {map[string]any{"result": "BEYOND\x1b[2J", "error_detail": nil}, ""},
		12: {map[string]any{"job_name": hostile, "error_detail": hostile, "pipeline": hostile, "event_id": hostile, "nodeset": hostile,
			"ref": map[string]any{"project": hostile, "branch": hostile, "change": -5, "patchset": hostile, "ref": hostile, "ref_url": "javascript:alert(1)"}}, ""},
		13: {map[string]any{"log_url": "https://u:secret@logs.example.org/", "artifacts": []any{
			map[string]any{"name": hostile, "url": "https://logs.example.org/a", "metadata": map[string]any{hostile: hostile, "a": map[string]any{"b": []any{1e300, nil, hostile}}}},
			map[string]any{"name": "", "url": "javascript:alert(1)"}, map[string]any{"name": "", "url": "../relative"},
			map[string]any{"name": "", "url": "https://logs.example.org/b", "metadata": nil}}}, ""},
		14: {map[string]any{"buildset": nil, "pipeline": nil, "event_id": nil, "held": nil, "final": nil, "voting": nil, "artifacts": nil}, ""},
		15: {map[string]any{"uuid": "F0000000-0000-0000-0000-00000000000F"}, ""},
	}
	p := newPlace(t)
	z := new(fakeZuul).made(40, lately, time.Hour, func(i int, b map[string]any) {
		for name, value := range changes[i].change {
			b[name] = value
		}
	})
	report, err := p.importFrom(t, z, importOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if report.Imported != 40-7 || len(report.Builds) != 7 || report.LinksLeftOut != 2 || report.UnknownResults["BEYOND [2J"] != 1 {
		t.Errorf("%+v", report)
	}
	for n, c := range changes {
		if c.why != "" && report.PassedOver[c.why] != 1 {
			t.Errorf("build %d: not passed over as %q: %v", n, c.why, report.PassedOver)
		}
	}
	builds := make(map[string]vitrine.Build)
	for _, b := range p.all(t) {
		builds[b.UUID] = b
	}
	if len(builds) != 33 {
		t.Errorf("%d builds", len(builds))
	}
	get := func(n int) vitrine.Build { return builds[fmt.Sprintf("%032x", n)] }
	if b := get(8); !b.StartTime.Equal(b.EndTime) || b.Result != "SKIPPED" {
		t.Errorf("skipped: %s to %s, %s", b.StartTime, b.EndTime, b.Result)
	}
	if b := get(10); !b.StartTime.Equal(b.EndTime) {
		t.Errorf("ended before its start: %s to %s", b.StartTime, b.EndTime)
	}
	if b := get(11); b.Result != "ERROR" || b.ErrorDetail != "result BEYOND [2J:" {
		t.Errorf("unknown result: %s, %q", b.Result, b.ErrorDetail)
	}
	if b := get(12); !strings.HasSuffix(b.JobName, "W…") || len(b.JobName) != vitrine.MaxString || b.Ref.Change != 0 || b.Ref.RefURL != "" {
		t.Errorf("hostile: %+v", b.Record)
	}
	if b := get(13); b.Imported.LogURL != "" || len(b.Imported.Links) != 2 || b.Imported.Links[1].Name != "artifact" || b.Imported.Links[1].Metadata != nil {
		t.Errorf("links: %+v", b.Imported)
	}
	if b := get(14); b.Buildset != b.UUID || !b.Final() || !b.Voting || b.Held() {
		t.Errorf("nulls: %+v", b.Record)
	}
	if _, there := builds["f000000000000000000000000000000f"]; !there {
		t.Error("a uuid with dashes is not there")
	}
}

// What broke off leaves whole builds, and the same import again finishes it.
func TestImportBrokenOff(t *testing.T) {
	t.Parallel()
	p, z := newPlace(t), new(fakeZuul).made(1600, lately, time.Hour, nil)
	z.before = func(w http.ResponseWriter, r *http.Request) bool {
		if z.requests.Load() == 3 {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	}
	report, err := p.importFrom(t, z, importOptions{})
	if err == nil || !strings.Contains(err.Error(), "403") || report.Ended != "" || report.Imported != 999 {
		t.Fatalf("%+v, %v", report, err)
	}
	if n := p.count(t); n != 999 {
		t.Errorf("%d builds are there", n)
	}
	// One that got into the bucket and not into the index, and that the source tells
	// otherwise now.
	before := slices.Clone(z.builds)
	lost := newPlace(t)
	lost.bucket = p.bucket
	z.builds = before[1200:1201]
	z.builds[0]["_id"] = 1
	if report, err := lost.importFrom(t, z, importOptions{}); err != nil || report.Imported != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	before[1200]["_id"], before[1200]["held"] = 400, true
	z.builds = before
	report, err = p.importFrom(t, z, importOptions{full: true})
	if err != nil || report.Known != 999 || report.Imported != 601 || p.count(t) != 1600 {
		t.Errorf("%+v, %v; %d builds", report, err, p.count(t))
	}
	if b, _, err := p.x.Build(t.Context(), before[1200]["uuid"].(string)); err != nil || b.Held() {
		t.Errorf("what was stored was replaced: held %v, %v", b.Held(), err)
	}
}

func TestImportInterrupted(t *testing.T) {
	t.Parallel()
	p, z := newPlace(t), new(fakeZuul).made(2000, lately, time.Hour, nil)
	server := httptest.NewServer(z)
	defer server.Close()
	c, err := zuul.NewClient(server.URL, "t")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	report, err := importBuilds(ctx, c, p.bucket, p.x, importOptions{tenant: "main", progress: func(int, time.Time) { cancel() }, passed: func(string, error) {}})
	if err == nil || !strings.Contains(err.Error(), "interrupted") || report.Imported == 0 || report.Imported >= 1000 {
		t.Errorf("%+v, %v", report, err)
	}
}

// A build that was published counts, whichever came first.
func TestImportPublished(t *testing.T) {
	t.Parallel()
	p, z := newPlace(t), new(fakeZuul).made(3, lately, time.Hour, nil)
	real := &vitrine.Record{
		Version: vitrine.RecordVersion, Tenant: "main", Service: "web", UUID: fmt.Sprintf("%032x", 2), JobName: "deploy-2", Result: vitrine.Failure,
		Buildset: fmt.Sprintf("%032x", 9), StartTime: lately.Add(-time.Hour), EndTime: lately, Keyring: vitrine.Keyring{Commit: strings.Repeat("a", 40)}, Publisher: "bridge",
	}
	text, err := real.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.x.Add(t.Context(), index.Entry{Record: text, Signature: []byte("s")}); err != nil {
		t.Fatal(err)
	}
	// Add alone: the index is not whole, and the bucket knows nothing of it.
	report, err := p.importFrom(t, z, importOptions{})
	if err != nil || report.Imported != 2 || report.Known != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	if b, _, err := p.x.Build(t.Context(), real.UUID); err != nil || b.IsImported() {
		t.Errorf("imported: %v, %v", b.IsImported(), err)
	}
}

// A source that can't be read says so; see package zuul for all its ways.
func TestImportNoZuul(t *testing.T) {
	t.Parallel()
	for _, h := range []http.HandlerFunc{
		func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>") },
		func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
		func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.2:1/", http.StatusFound)
		},
	} {
		p := newPlace(t)
		if report, err := p.importFrom(t, h, importOptions{}); err == nil || report.Imported > 0 || report.Ended != "" {
			t.Errorf("%+v, %v", report, err)
		}
	}
}

func TestOneLine(t *testing.T) {
	for _, test := range []struct {
		in   string
		max  int
		want string
	}{
		{"plain", 5, "plain"}, {"plains", 5, "pl…"}, {"ééé", 5, "é…"}, {" a\nb\t", 9, "a b"}, {"a\xffb", 9, "a\uFFFDb"}, {"", 5, ""},
	} {
		got := oneLine(test.in, test.max)
		if got != test.want || len(got) > test.max || !utf8.ValidString(got) {
			t.Errorf("%q to %d: %q, want %q", test.in, test.max, got, test.want)
		}
	}
}

// Whatever a source says of a build, it is passed over for a reason, or makes a
// record that is its own inverse.
func FuzzImportRecord(f *testing.F) {
	for _, b := range new(fakeZuul).made(2, lately, time.Hour, nil).builds {
		text, err := json.Marshal(b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"uuid":"00000000000000000000000000000001","job_name":"\u001b\u2028","result":"X","start_time":"2024-01-01T00:00:00","artifacts":[{"url":"http://a","metadata":{"a":{"a":[{"\u0000":1e999}]}}}]}`))
	tr := translation{tenant: "main", source: "https://zuul.example.org/api/tenant/t", now: lately, service: func(string) string { return "" }}
	f.Fuzz(func(t *testing.T, text []byte) {
		var b zuul.Build
		if json.Unmarshal(text, &b) != nil {
			return
		}
		out, err := tr.record(&b)
		var why passedOver
		if err != nil {
			if !errors.As(err, &why) {
				t.Errorf("%v", err)
			}
			return
		}
		r, err := vitrine.ParseRecord(out.text)
		if err != nil || !r.IsImported() || r.Key() != out.record.Key() {
			t.Errorf("%v\n%s", err, out.text)
		}
	})
}

// scriptZuul is the script command zuul FILE: it serves a Zuul whose tenant demo
// has the builds in the file, and sets ZUUL.
func scriptZuul(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile(args[0])
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/api/tenant/demo/builds":
			http.NotFound(w, r)
		case r.FormValue("skip") != "" || r.FormValue("idx_max") != "": // all are on one page
			fmt.Fprint(w, "[]")
		default:
			fmt.Fprint(w, text)
		}
	}))
	ts.Defer(server.Close)
	ts.Setenv("ZUUL", server.URL)
}

// BenchmarkImport imports 100,000 builds into a bucket in a directory; it tells
// builds a second and the memory at the end.
func BenchmarkImport(b *testing.B) {
	const builds = 100_000
	z := new(fakeZuul).made(builds, lately, time.Minute, nil)
	for b.Loop() {
		bucket, err := storage.OpenBucket(b.Context(), b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		p := place{bucket, openIndex(b)}
		report, err := p.importFrom(b, z, importOptions{})
		if err != nil || report.Imported != builds {
			b.Fatalf("%+v, %v", report, err)
		}
		b.ReportMetric(builds/time.Since(began).Seconds(), "builds/s")
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.Sys)/(1<<20), "MiB") // with the source's list
		began = time.Now()
		if report, err := p.importFrom(b, z, importOptions{}); err != nil || report.Imported > 0 {
			b.Fatalf("%+v, %v", report, err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/again")
	}
}

// What was imported, or published, and is shown in Zuul's shape can be imported
// from there: all that the shape has survives, and so it does the next time.
func TestImportRoundTrip(t *testing.T) {
	t.Parallel()
	first := newPlace(t)
	if _, err := first.importFrom(t, new(fakeZuul).made(1200, lately, time.Second/2, func(i int, b map[string]any) {
		// Pages end within a second, and ids are shared.
		b["uuid"] = fmt.Sprintf("%06x%026x", i%7, i)
		b["final"], b["held"], b["voting"] = i%5 != 0, i%7 == 0, i%3 != 0
		b["error_detail"] = fmt.Sprintf("<b>detail</b> %d", i)
	}), importOptions{}); err != nil {
		t.Fatal(err)
	}
	published := &vitrine.Record{
		Version: vitrine.RecordVersion, Tenant: "main", Service: "web", UUID: fmt.Sprintf("%032x", 1<<50), JobName: "deploy-web", Result: vitrine.Failure,
		Buildset: fmt.Sprintf("%032x", 9), StartTime: lately.Add(-time.Hour), EndTime: lately, Keyring: vitrine.Keyring{Commit: strings.Repeat("a", 40)}, Publisher: "bridge",
		Artifacts: []vitrine.Artifact{
			{Name: "log", Path: "log.txt.zst.age", Size: 5, SHA256: strings.Repeat("b", 64), Sealed: true, PlainSize: 1},
			{Name: "shot", Path: "shot.png", Size: 5, SHA256: strings.Repeat("c", 64), MediaType: "image/png", PlainSize: 5},
		},
	}
	text, err := published.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.x.Add(t.Context(), index.Entry{Record: text, Signature: []byte("s")}); err != nil {
		t.Fatal(err)
	}
	again := func(from place) place {
		server := httptest.NewServer(api.Handler(api.Config{
			Tenant: "main", Index: from.x, Log: slog.New(slog.DiscardHandler), Loaded: func() bool { return true },
			LogURL: func(uuid string) string { return "https://vitrine.example.org/t/main/logs/" + uuid + "/" },
		}))
		defer server.Close()
		c, err := zuul.NewClient(server.URL, "main")
		if err != nil {
			t.Fatal(err)
		}
		to := newPlace(t)
		report, err := importBuilds(t.Context(), c, to.bucket, to.x, importOptions{tenant: "main", progress: func(int, time.Time) {}, passed: func(string, error) {}})
		if err != nil || report.Imported != 1201 || len(report.Builds) > 0 {
			t.Fatalf("%+v, %v", report, err)
		}
		return to
	}
	// The address that it was read from differs, of course.
	said := func(p place) string {
		all := p.all(t)
		for i := range all {
			all[i].Imported.Source = "https://example.org/"
		}
		return asJSON(t, all)
	}
	second := again(first)
	b, _, err := second.x.Build(t.Context(), published.UUID)
	folder := "https://vitrine.example.org/t/main/logs/" + published.UUID + "/"
	if err != nil || b.Imported.LogURL != folder || !slices.ContainsFunc(b.Imported.Links, func(l vitrine.Link) bool { return l.URL == folder+"shot.png" }) {
		t.Errorf("published: %+v, %v", b.Imported, err)
	}
	third := again(second)
	if a, b := said(second), said(third); a != b {
		t.Errorf("%.2000s\n%.2000s", a, b)
	}
	for _, b := range first.all(t) {
		if b.UUID == published.UUID {
			continue
		}
		a, _, err := second.x.Build(t.Context(), b.UUID)
		if err != nil {
			t.Fatal(err)
		}
		a.Imported.Source = b.Imported.Source
		if asJSON(t, a) != asJSON(t, b) {
			t.Errorf("%s\n%s", asJSON(t, b), asJSON(t, a))
		}
	}
}

// Every command line of docs/import.md works as it stands there.
func TestImportDocs(t *testing.T) {
	z := new(fakeZuul).made(20, lately, time.Hour, nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = strings.Replace(r.URL.Path, "/tenant/openstack/", "/tenant/t/", 1)
		z.ServeHTTP(w, r)
	}))
	defer server.Close()
	keys, err := makeDemoKeyring(filepath.Join(t.TempDir(), "demo"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../docs/import.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("VITRINE_TENANT", "")
	t.Setenv("VITRINE_KEYRING", "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	lines := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "vitrine import ") {
			continue
		}
		lines++
		line = strings.NewReplacer("https://zuul.opendev.org", server.URL, "/var/lib/vitrine", t.TempDir(), "/srv/ops/keyring", keys.keyring, "'", "").Replace(line)
		if code := run(t.Context(), strings.Fields(line)[1:]); code != 0 {
			t.Errorf("%s: exit code %d", line, code)
		}
	}
	if lines < 5 || z.requests.Load() < int32(lines) {
		t.Errorf("%d command lines, %d requests", lines, z.requests.Load())
	}
}
