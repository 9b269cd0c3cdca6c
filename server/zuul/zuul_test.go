package zuul_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/server/index"
	"vitrine/server/zuul"
)

var update = flag.Bool("update", false, "rewrite the golden answers in testdata")

var day = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

func id(n int) string { return fmt.Sprintf("%032x", n) }

// record is a build that began n minutes after day, in buildset n/2.
func record(n int, change ...func(*vitrine.Record)) *vitrine.Record {
	r := &vitrine.Record{
		Version: 1, Tenant: "opendev", Service: "codesearch", UUID: id(n), Buildset: id(100 + n/2), JobName: "infra-prod-codesearch",
		Result: vitrine.Success, Voting: true, Pipeline: "deploy", EventID: "a1b2", Nodeset: "focal",
		Ref: vitrine.Ref{Project: "opendev/system-config", Branch: "master", Change: 894201, Patchset: "3",
			Ref: "refs/changes/01/894201/3", NewRev: strings.Repeat("9b1f", 10), RefURL: "https://review.example.org/894201"},
		StartTime: day.Add(time.Duration(n) * time.Minute), EndTime: day.Add(time.Duration(n)*time.Minute + 202*time.Second),
		Keyring: vitrine.Keyring{Commit: strings.Repeat("c41d", 10), URL: "https://git.example.org/keyring"},
		Readers: []vitrine.Reader{{Name: "alice", Fingerprints: []string{"SHA256:x"}}},
		Artifacts: []vitrine.Artifact{
			file("ansible.log.zst.age", "text/plain"), file("screenshots/a@2.png", "image/png"), file("job-output.json", "application/json"),
		},
		Publisher: "bridge", Expires: day.AddDate(0, 6, 0),
	}
	for _, f := range change {
		f(r)
	}
	return r
}

func file(path, mediaType string) vitrine.Artifact {
	return vitrine.Artifact{Name: path, Path: path, Size: 4096, SHA256: strings.Repeat("5a", 32), Sealed: strings.HasSuffix(path, ".age"),
		MediaType: mediaType, PlainSize: 9000, Metadata: map[string]string{"note": "<b>"}}
}

func started(r *vitrine.Record) {
	r.Result, r.ErrorDetail, r.EndTime, r.Artifacts = "", "", time.Time{}, nil
}

// imported makes a record one of another CI's.
func imported(r *vitrine.Record) {
	r.Service, r.Keyring, r.Publisher, r.Expires = "", vitrine.Keyring{}, "", time.Time{}
	r.Readers, r.SkippedReaders, r.Artifacts = nil, nil, nil
	r.Imported = &vitrine.Imported{
		Source: "https://zuul.example.org/api/tenant/t", LogURL: "https://logs.example.org/a/", Held: true,
		Links: []vitrine.Link{
			{Name: "Zuul Manifest", URL: "https://logs.example.org/a/zuul-manifest.json", Metadata: json.RawMessage(`{"type":"zuul_manifest"}`)},
			{Name: "Docs", URL: "https://logs.example.org/a/docs/"},
		},
	}
}

// builds are one of each kind.
func builds() []*vitrine.Record {
	return []*vitrine.Record{
		record(2),
		record(3, func(r *vitrine.Record) {
			r.JobName, r.Result, r.ErrorDetail, r.Voting = "infra-prod-gitea", vitrine.Failure, "host review03 unreachable", false
		}),
		record(4, func(r *vitrine.Record) { // a timer's, of which next to nothing is known
			r.Ref = vitrine.Ref{Project: "opendev/zone", Ref: "refs/heads/main"}
			r.EventID, r.Nodeset, r.Artifacts, r.Pipeline, r.JobName = "", "", nil, "periodic", "zone-check"
		}),
		record(6, imported, func(r *vitrine.Record) { r.JobName, r.Result = "tox", vitrine.TimedOut }),
		record(8, started),
		record(9, started, func(r *vitrine.Record) { r.JobName = "infra-prod-gitea" }), // interrupted
	}
}

type site struct {
	t     *testing.T
	index *index.Index
	url   string
}

func newIndex(t testing.TB, path string, lostAfter time.Duration, records ...*vitrine.Record) *index.Index {
	t.Helper()
	x, err := index.Open(t.Context(), path, index.Options{Tenant: "opendev", LostAfter: lostAfter})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	for _, r := range records {
		text, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		e := index.Entry{Record: text, Signature: []byte("signature")}
		if r.IsImported() {
			e.Signature = nil
		}
		if err := x.Add(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

func handler(x *index.Index, loaded bool) http.Handler {
	return zuul.Handler(zuul.Config{
		Tenant: "opendev", Index: x, Log: slog.New(slog.DiscardHandler),
		LogURL: func(uuid string) string { return "https://vitrine.example.org/logs/opendev/" + uuid + "/" },
		Loaded: func() bool { return loaded },
	})
}

func serve(t *testing.T, x *index.Index) *site {
	h := httptest.NewServer(handler(x, true))
	t.Cleanup(h.Close)
	return &site{t, x, h.URL}
}

// newSite serves a history in which builds 8 and 9 will run for fifty years.
func newSite(t *testing.T) *site {
	t.Helper()
	x := newIndex(t, filepath.Join(t.TempDir(), "x"), 50*365*24*time.Hour, builds()...)
	mark := vitrine.Mark{Version: 1, UUID: id(9), Time: day.Add(time.Hour), Partial: []vitrine.PartialArtifact{{Path: "console.log.zst.age", Size: 65752}}}
	text, err := mark.Marshal()
	if err == nil {
		err = x.Mark(t.Context(), vitrine.InterruptedKind, text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, x)
}

func (s *site) do(method, path string) (*http.Response, string) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(body)
}

// uuids are the builds or buildsets that an address below the tenant lists, as
// the numbers they were made from.
func (s *site) uuids(path string) []int {
	s.t.Helper()
	resp, body := s.do("GET", "/api/tenant/opendev/"+path)
	var list []struct{ UUID string }
	if err := json.Unmarshal([]byte(body), &list); err != nil || list == nil || resp.StatusCode != 200 {
		s.t.Fatalf("%s: %d %.200s, %v", path, resp.StatusCode, body, err)
	}
	numbers := []int{}
	for _, e := range list {
		var n int
		if _, err := fmt.Sscanf(e.UUID, "%x", &n); err != nil {
			s.t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// answers are all addresses that have an answer, by the name of their golden file.
var answers = map[string]string{
	"root": "/api", "connections": "/api/connections", "components": "/api/components", "info": "/api/info", "tenants": "/api/tenants", "tenant-info": "/api/tenant/opendev/info",
	"builds": "/api/tenant/opendev/builds", "buildsets": "/api/tenant/opendev/buildsets", "build-times": "/api/tenant/opendev/build-times",
	"build": "/api/tenant/opendev/build/" + id(2), "build-failed": "/api/tenant/opendev/build/" + id(3), "build-bare": "/api/tenant/opendev/build/" + id(4),
	"build-imported": "/api/tenant/opendev/build/" + id(6), "build-running": "/api/tenant/opendev/build/" + id(8), "build-interrupted": "/api/tenant/opendev/build/" + id(9),
	"buildset": "/api/tenant/opendev/buildset/" + id(101), "buildset-running": "/api/tenant/opendev/buildset/" + id(104),
	"status": "/api/tenant/opendev/status", "status-change": "/api/tenant/opendev/status/change/894201,3", "tenant-status": "/api/tenant/opendev/tenant-status",
	"jobs": "/api/tenant/opendev/jobs", "job": "/api/tenant/opendev/job/infra-prod-codesearch",
	"projects": "/api/tenant/opendev/projects", "project": "/api/tenant/opendev/project/opendev/system-config",
	"pipelines": "/api/tenant/opendev/pipelines", "labels": "/api/tenant/opendev/labels", "nodes": "/api/tenant/opendev/nodes",
	"autohold": "/api/tenant/opendev/autohold", "semaphores": "/api/tenant/opendev/semaphores", "config-errors": "/api/tenant/opendev/config-errors",
	"system-events": "/api/tenant/opendev/system-events",
}

// TestGolden holds every answer, null for null.
func TestGolden(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, path := range answers {
		resp, body := s.do("GET", path)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json; charset=utf-8" || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d, %v: %s", path, resp.StatusCode, resp.Header, body)
			continue
		}
		var v any
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatalf("%s: %v in %s", path, err, body)
		}
		indented, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got, golden := string(indented)+"\n", filepath.Join("testdata", name+".json")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs from %s; if that is meant, run go test -update and read the diff. Got:\n%s", path, golden, got)
		}
	}
}

// The shapes of Zuul's answers, as its clients decode them. A type that ends in ?
// may be null, a name that ends in ? may be missing, and no other name may be there.
var (
	refShape = map[string]any{"project": "string", "branch": "string?", "change": "int?", "patchset": "string?", "ref": "string",
		"oldrev": "string?", "newrev": "string?", "ref_url": "string?"}
	artifactShape = map[string]any{"name": "string", "url": "url", "metadata?": "object"}
	nestedShape   = map[string]any{"_id": "int", "uuid": "string", "job_name": "string", "result": "string?", "held": "bool", "start_time": "time?", "end_time": "time?",
		"duration": "number?", "voting": "bool", "log_url": "folder?", "nodeset": "string?", "error_detail": "string?", "final": "bool",
		"artifacts": []any{artifactShape}, "provides": []any{map[string]any{"name": "string"}}, "ref": refShape}
	listedShape = with(nestedShape, map[string]any{"pipeline": "string", "event_id": "string?", "event_timestamp": "time?", "buildset": map[string]any{"uuid": "string"}})
	buildShape  = with(listedShape, map[string]any{"buildset": map[string]any{"uuid": "string", "refs": []any{refShape}}})
	setShape    = map[string]any{"_id": "int", "uuid": "string", "result": "string?", "message": "string?", "pipeline": "string", "event_id": "string?", "event_timestamp": "time?",
		"first_build_start_time": "time?", "last_build_end_time": "time?", "refs": []any{refShape}}
	timesShape = map[string]any{"_id": "int", "uuid": "string", "job_name": "string", "result": "string?", "start_time": "time?", "end_time": "time", "duration": "number",
		"final": "bool", "project": "string", "branch": "string?", "pipeline": "string", "ref": "string"}
	infoShape = map[string]any{"capabilities": map[string]any{"job_history": "bool", "auth": map[string]any{"realms": "object", "default_realm": "string?", "read_protected": "bool"}},
		"stats": map[string]any{"url": "string?", "prefix": "string?", "type": "string"}, "websocket_url": "string?"}
)

func with(m, more map[string]any) map[string]any {
	out := make(map[string]any)
	for _, from := range []map[string]any{m, more} {
		for k, v := range from {
			out[k] = v
		}
	}
	return out
}

// checkShape says where a value is not of a shape.
func checkShape(v, shape any) string {
	switch shape := shape.(type) {
	case []any:
		list, ok := v.([]any)
		if !ok {
			return " is no array"
		}
		for i, e := range list {
			if bad := checkShape(e, shape[0]); bad != "" {
				return fmt.Sprintf("[%d]%s", i, bad)
			}
		}
	case map[string]any:
		m, ok := v.(map[string]any)
		if !ok {
			return " is no object"
		}
		known := make(map[string]bool)
		for name, want := range shape {
			name, optional := strings.CutSuffix(name, "?")
			known[name] = true
			if e, ok := m[name]; !ok && !optional {
				return "." + name + " is missing"
			} else if bad := checkShape(e, want); ok && bad != "" {
				return "." + name + bad
			}
		}
		for name := range m {
			if !known[name] {
				return "." + name + " is too much"
			}
		}
	case string:
		kind, nullable := strings.CutSuffix(shape, "?")
		if v == nil {
			if nullable {
				return ""
			}
			return " is null"
		}
		text, isText := v.(string)
		number, isNumber := v.(json.Number)
		_, isBool := v.(bool)
		_, isObject := v.(map[string]any)
		_, isTime := time.Parse("2006-01-02T15:04:05", text)
		_, isInt := number.Int64()
		ok := map[string]bool{
			"string": isText, "bool": isBool, "object": isObject, "number": isNumber, "int": isNumber && isInt == nil,
			"time": isText && isTime == nil, "url": strings.HasPrefix(text, "https://"),
			"folder": strings.HasPrefix(text, "https://") && strings.HasSuffix(text, "/"),
		}[kind]
		if !ok {
			return fmt.Sprintf(" is %v, not a %s", v, shape)
		}
	}
	return ""
}

// TestShapes decodes every answer strictly.
func TestShapes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	empty := []any{"nothing"}
	jobVariant := map[string]any{"name": "string", "description": "string?", "parent": "string?", "branches": []any{"string"}, "tags": []any{"string"},
		"nodeset": "string?", "timeout": "int?", "variables": "object", "voting": "bool", "abstract": "bool", "final": "bool"}
	project := map[string]any{"name": "string", "canonical_name": "string", "connection_name": "string", "type": "string"}
	queue := map[string]any{"length": "int"}
	shapes := map[string]any{
		"root": "object", "info": map[string]any{"info": infoShape}, "tenant-info": map[string]any{"info": with(infoShape, map[string]any{"tenant": "string"})},
		"tenants": []any{map[string]any{"name": "string"}}, "builds": []any{listedShape}, "buildsets": []any{setShape}, "build-times": []any{timesShape},
		"build": buildShape, "build-failed": buildShape, "build-bare": buildShape, "build-imported": buildShape, "build-running": buildShape, "build-interrupted": buildShape,
		"buildset": with(setShape, map[string]any{"builds": []any{nestedShape}}), "buildset-running": with(setShape, map[string]any{"builds": []any{nestedShape}}),
		"status": map[string]any{"pipelines": empty, "trigger_event_queue": queue, "management_event_queue": queue, "last_reconfigured": "int", "zuul_version": "string"},
		"jobs":   []any{map[string]any{"name": "string", "description": "string?", "tags": empty, "variants": []any{map[string]any{"parent": "string?"}}}},
		"job":    []any{jobVariant}, "projects": []any{project}, "project": with(project, map[string]any{"configs": empty}),
		"pipelines":     []any{map[string]any{"name": "string", "triggers": []any{map[string]any{"driver": "string"}}}},
		"tenant-status": map[string]any{"config_error_count": "int"},
		"connections":   empty, "components": map[string]any{}, "status-change": empty, "labels": empty, "nodes": empty, "autohold": empty, "semaphores": empty, "config-errors": empty, "system-events": empty,
	}
	if len(shapes) != len(answers) {
		t.Errorf("%d shapes for %d answers", len(shapes), len(answers))
	}
	for name, shape := range shapes {
		_, body := s.do("GET", answers[name])
		d := json.NewDecoder(strings.NewReader(body))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		if bad := checkShape(v, shape); bad != "" {
			t.Errorf("%s%s: %s", name, bad, body)
		}
		if list, ok := v.([]any); ok && len(list) == 0 && shape.([]any)[0] != "nothing" {
			t.Errorf("%s: no elements to check", name)
		}
	}
}
