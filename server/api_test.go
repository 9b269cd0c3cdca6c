package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"vitrine"
	"vitrine/client"
	"vitrine/storage"
)

// ask does a request and returns the answer with its body.
func (s *site) ask(method, path string, header ...string) (*http.Response, string) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // which follows no redirect
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

// commit publishes a build without artifacts that change has altered.
func (s *site) commit(change func(*vitrine.Record), end func(*vitrine.Record)) *vitrine.Record {
	s.t.Helper()
	r := s.started(change)
	token := s.begin(r)
	f := finished(r)
	if end != nil {
		end(f)
	}
	s.want(201, "", "PUT", api+"/"+r.UUID, token, signed(s.t, f, s.bridge))
	return f
}

// imported puts a build of another CI's history into the bucket, which the next
// refresh finds.
func (s *site) imported(change func(*vitrine.Record)) *vitrine.Record {
	s.t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	r := &vitrine.Record{
		Version: 1, Tenant: "demo", UUID: newID(), Buildset: newID(), JobName: "linters", Voting: true, Result: "NODE_FAILURE",
		StartTime: now.Add(-time.Hour), EndTime: now.Add(-time.Minute),
		Imported: &vitrine.Imported{Source: "https://zuul.example.org/api/tenant/x", Final: true,
			Links: []vitrine.Link{{Name: "docs", URL: "https://example.org/docs/", Metadata: json.RawMessage(`{"type":"docs"}`)}}},
	}
	if change != nil {
		change(r)
	}
	text, err := r.Marshal()
	if err != nil {
		s.t.Fatal(err)
	}
	o := storage.CreateOptions{Size: int64(len(text)), SHA256: sha256.Sum256(text)}
	if err := s.bucket.Create(context.Background(), vitrine.ImportedKey(r.StartTime, r.UUID), bytes.NewReader(text), o); err != nil {
		s.t.Fatal(err)
	}
	s.refresh()
	return r
}

// hostile is a text that a record may have and that means something to a
// terminal, a page, a feed or a picture.
const hostile = "<script>alert(1)</script>&amp;\"']]>\u202e\ufffe\U0001f600"

// filled is a site with a build of each kind that answers differ by.
func filledSite(t *testing.T) (s *site, published, job *vitrine.Record) {
	s = newSite(t)
	published = s.publish()
	s.begin(s.started(nil)) // runs
	if err := s.repo.ReadChanges(t.Context()); err != nil {
		t.Fatal(err)
	}
	job = s.commit(func(r *vitrine.Record) {
		r.Ref = vitrine.Ref{Project: hostile, Branch: hostile, Change: 894201, Patchset: "3", RefURL: "https://review.example.org/894201?a=b&c=<d>"}
		r.Pipeline, r.Buildset = "deploy", published.Buildset
		r.StartTime, r.Expires = r.StartTime.Add(time.Second), r.Expires.Add(time.Second) // in the list, it is the newest
	}, func(r *vitrine.Record) { r.Result, r.ErrorDetail = vitrine.Failure, hostile })
	s.imported(func(r *vitrine.Record) { r.JobName = "lint/" + hostile })
	return s, published, job
}

// A schema of the document, closed: what it does not name must not be there.
type document map[string]any

func (d document) expand(schema any, closed bool) any {
	m, ok := schema.(map[string]any)
	if !ok {
		return schema
	}
	if ref, ok := m["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		return d.expand(d["components"].(map[string]any)["schemas"].(map[string]any)[name], closed)
	}
	out := make(map[string]any)
	for key, v := range m {
		switch key {
		case "properties":
			properties := make(map[string]any)
			for name, p := range v.(map[string]any) {
				properties[name] = d.expand(p, true)
			}
			v = properties
		case "items":
			v = d.expand(v, true)
		case "allOf", "anyOf":
			var all []any
			for _, p := range v.([]any) {
				all = append(all, d.expand(p, false))
			}
			v = all
		}
		out[key] = v
	}
	if closed && (out["properties"] != nil || out["allOf"] != nil) {
		out["unevaluatedProperties"] = false
	}
	return out
}

func (d document) schema(t *testing.T, path, status, mediaType string) *jsonschema.Schema {
	t.Helper()
	at := any(map[string]any(d))
	for _, key := range []string{"paths", path, "get", "responses", status} {
		at = at.(map[string]any)[key]
	}
	if ref, ok := at.(map[string]any)["$ref"].(string); ok {
		at = d["components"].(map[string]any)["responses"].(map[string]any)[strings.TrimPrefix(ref, "#/components/responses/")]
	}
	for _, key := range []string{"content", mediaType, "schema"} {
		at = at.(map[string]any)[key]
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	err := c.AddResource("https://vitrine.example.org/schema.json", d.expand(at, true))
	if err == nil {
		var schema *jsonschema.Schema
		if schema, err = c.Compile("https://vitrine.example.org/schema.json"); err == nil {
			return schema
		}
	}
	t.Fatalf("%s %s: %v", path, status, err)
	return nil
}

func checkSchema(t *testing.T, schema *jsonschema.Schema, path, body string) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		t.Errorf("%s: %v\n%.3000s", path, err, body)
	}
}

// Real answers are what the document says, with nothing beside it (a field that
// is not documented is as wrong as one that is missing), and every list is one.
func TestAnswersFitTheDocument(t *testing.T) {
	s, published, failed := filledSite(t)
	var doc document
	_, body := s.ask("GET", "/api/v1/openapi.json")
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	const tenant = "/api/v1/tenant/{tenant}"
	examples := map[string][]string{
		"/api/v1":                    {"/api/v1"},
		"/api/v1/openapi.json":       {"/api/v1/openapi.json"},
		tenant:                       {""},
		tenant + "/builds":           {"/builds", "/builds?limit=1", "/builds?service=none", "/builds?result=RUNNING", "/builds?job_name=lint*"},
		tenant + "/builds/{uuid}":    {"/builds/" + published.UUID, "/builds/" + failed.UUID},
		tenant + "/buildsets/{uuid}": {"/buildsets/" + published.Buildset},
		tenant + "/jobs":             {"/jobs", "/jobs?limit=1"},
		tenant + "/jobs/{name}":      {"/jobs/deploy-web", "/jobs/deploy-mail", "/jobs/deploy-web?from=2026-01-01&to=2026-01-01"},
		tenant + "/services":         {"/services"},
		tenant + "/services/{name}":  {"/services/web", "/services/mail"},
		tenant + "/keyring":          {"/keyring"},
		tenant + "/names":            {"/names"},
	}
	_, list := s.ask("GET", api+"?limit=1000")
	var page vitrine.BuildPage
	if err := json.Unmarshal([]byte(list), &page); err != nil || len(page.Builds) != 4 {
		t.Fatalf("%d builds, error %v", len(page.Builds), err)
	}
	for _, b := range page.Builds {
		examples[tenant+"/builds/{uuid}"] = append(examples[tenant+"/builds/{uuid}"], "/builds/"+b.UUID)
	}
	checked := 0
	for template, item := range doc["paths"].(map[string]any) {
		get, ok := item.(map[string]any)["get"].(map[string]any)
		if !ok {
			continue
		}
		content, _ := get["responses"].(map[string]any)["200"].(map[string]any)["content"].(map[string]any)
		if content["application/json"] == nil || strings.HasSuffix(template, "{record}") {
			continue
		}
		if len(examples[template]) == 0 {
			t.Errorf("no answer of %s is checked", template)
		}
		schema := doc.schema(t, template, "200", "application/json")
		for _, path := range examples[template] {
			if !strings.HasPrefix(path, "/api") {
				path = "/api/v1/tenant/demo" + path
			}
			resp, body := s.ask("GET", path)
			if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %d, headers %v, %.500s", path, resp.StatusCode, resp.Header, body)
				continue
			}
			checkSchema(t, schema, path, body)
			if strings.Contains(body, "null") && path != "/api/v1/openapi.json" {
				t.Errorf("%s: there is a null in %s", path, body)
			}
			checked++
		}
	}
	if checked < 20 {
		t.Errorf("%d answers checked", checked)
	}
}

// Every error under /api/v1 is a problem document, whoever asks and however.
func TestProblems(t *testing.T) {
	s := newSite(t)
	var doc document
	_, body := s.ask("GET", "/api/v1/openapi.json")
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	schema := doc.schema(t, "/api/v1", "default", "application/problem+json")
	for _, test := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/api/v1/nothing", 404, ""},
		{"GET", "/api/v1/", 404, ""},
		{"GET", "/api/v1/tenant", 404, ""},
		{"GET", "/api/v1/tenant/demo/nothing", 404, ""},
		{"GET", "/api/v1/tenant/other", 404, ""},
		{"GET", "/api/v1/tenant/other/builds", 404, ""},
		{"GET", api + "/none", 404, ""},
		{"GET", api + "/" + strings.Repeat("0", 32), 404, ""},
		{"GET", "/api/v1/tenant/demo/jobs/" + "none", 404, ""},
		{"GET", "/api/v1/tenant/demo/services/none", 404, ""},
		{"GET", "/api/v1/tenant/demo/buildsets/none", 404, ""},
		{"GET", "/api/v1/tenant/demo/allowed_signers?commit=none", 404, ""},
		{"GET", api + "?result=GREEN", 400, ""},
		{"GET", api + "?before=x", 400, ""},
		{"GET", "/api/v1/tenant/demo/jobs?limit=0", 400, ""},
		{"GET", "/api/v1/tenant/demo/jobs?limit=501", 400, ""},
		{"GET", "/api/v1/tenant/demo/services/web?from=2026-01-02&to=2026-01-01", 400, ""},
		{"GET", "/api/v1/tenant/demo/jobs/deploy-web?from=2020-01-01&to=2026-01-01", 400, ""},
		{"GET", "/api/v1/tenant/demo/jobs/deploy-web?from=today", 400, ""},
		{"DELETE", "/api/v1", 405, "GET"},
		{"POST", "/api/v1/openapi.json", 405, "GET"},
		{"DELETE", api, 405, "GET"},
		{"PATCH", api + "/" + strings.Repeat("0", 32), 405, "PUT"},
		{"PUT", "/api/v1/tenant/demo/keyring", 405, "GET"},
		{"POST", api, 400, ""},
	} {
		resp, body := s.ask(test.method, test.path, "Accept", "text/html,application/xhtml+xml")
		name := test.method + " " + test.path
		if resp.StatusCode != test.status || resp.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(resp.Header.Get("Allow"), test.allow) || test.allow == "" && resp.Header.Get("Allow") != "" {
			t.Errorf("%s: %d, headers %v", name, resp.StatusCode, resp.Header)
		}
		checkSchema(t, schema, name, body)
		if want := fmt.Sprintf(`"status":%d`, test.status); !strings.Contains(body, want) || !strings.Contains(body, resp.Header.Get("X-Request-Id")) {
			t.Errorf("%s: %s", name, body)
		}
	}
	if resp, body := s.ask("HEAD", "/api/v1/nothing"); resp.StatusCode != 404 || body != "" {
		t.Errorf("HEAD: %d %q", resp.StatusCode, body)
	}
}

// What has not changed is not sent again; HEAD tells the same as GET; and pages
// of other origins may read all of it.
func TestConditional(t *testing.T) {
	s, published, _ := filledSite(t)
	paths := []string{"/t/demo/feed.atom", "/t/demo/feed.json", "/t/demo/badge.svg", "/t/demo/badge.svg?service=none"}
	for _, path := range []string{"", "/openapi.json", "/tenant/demo", "/tenant/demo/builds", "/tenant/demo/builds/" + published.UUID,
		"/tenant/demo/builds/" + published.UUID + "/build.json", "/tenant/demo/builds/" + published.UUID + "/build.json.sig",
		"/tenant/demo/buildsets/" + published.Buildset, "/tenant/demo/jobs", "/tenant/demo/jobs/deploy-web", "/tenant/demo/services",
		"/tenant/demo/services/web", "/tenant/demo/keyring", "/tenant/demo/names", "/tenant/demo/allowed_signers"} {
		paths = append(paths, "/api/v1"+path)
	}
	for _, path := range paths {
		for _, coding := range []string{"identity", "gzip"} {
			resp, body := s.ask("GET", path, "Accept-Encoding", coding)
			tag := resp.Header.Get("ETag")
			if resp.StatusCode != 200 || len(tag) < 20 || tag[0] != '"' || resp.Header.Get("Cache-Control") != "no-cache" || body == "" {
				t.Errorf("%s: %d, headers %v", path, resp.StatusCode, resp.Header)
				continue
			}
			if resp.Header.Get("Content-Encoding") == "gzip" && !strings.Contains(resp.Header.Get("Vary"), "Accept-Encoding") {
				t.Errorf("%s: compressed, and varies by %q", path, resp.Header.Get("Vary"))
			}
			again, nothing := s.ask("GET", path, "Accept-Encoding", coding, "If-None-Match", `"other", `+tag)
			if again.StatusCode != 304 || nothing != "" || again.Header.Get("ETag") != tag {
				t.Errorf("%s again: %d %q, headers %v", path, again.StatusCode, nothing, again.Header)
			}
			if part, same := s.ask("GET", path, "Accept-Encoding", coding, "Range", "bytes=1-2", "If-Range", tag); part.StatusCode != 200 || same != body {
				t.Errorf("a range of %s: %d %q", path, part.StatusCode, same)
			}
			if other, _ := s.ask("GET", path, "Accept-Encoding", coding, "If-None-Match", `"other"`); other.StatusCode != 200 {
				t.Errorf("%s with another tag: %d", path, other.StatusCode)
			}
			head, nothing := s.ask("HEAD", path, "Accept-Encoding", coding)
			if head.StatusCode != 200 || nothing != "" || head.Header.Get("ETag") != tag {
				t.Errorf("HEAD %s: %d %q, headers %v", path, head.StatusCode, nothing, head.Header)
			}
		}
		if resp, _ := s.ask("GET", path); !strings.Contains(path, "badge") && resp.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: headers %v", path, resp.Header)
		}
	}
	resp, _ := s.ask("OPTIONS", "/api/v1/tenant/demo/builds", "Origin", "https://example.org", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "If-None-Match")
	if resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), "If-None-Match") ||
		strings.Contains(resp.Header.Get("Access-Control-Allow-Methods"), "P") {
		t.Errorf("preflight: %d, headers %v", resp.StatusCode, resp.Header)
	}
	if resp, _ := s.ask("POST", api); resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a page of another origin may read what is written: %v", resp.Header)
	}
	// What changed is sent.
	before, _ := s.ask("GET", api)
	s.publish()
	if after, _ := s.ask("GET", api, "If-None-Match", before.Header.Get("ETag")); after.StatusCode != 200 {
		t.Errorf("after a build: %d", after.StatusCode)
	}
}

// The client reads what the server says.
func TestClientReads(t *testing.T) {
	s, published, failed := filledSite(t)
	c, err := client.New(s.url, "demo")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	fail := func(what string, err error, got any) {
		t.Helper()
		t.Errorf("%s: error %v, got %+v", what, err, got)
	}
	if b, err := c.Build(ctx, published.UUID); err != nil || len(b.Artifacts) != 2 || b.Signature.State != "verified" || len(b.People) != 1 || b.Next+b.Previous == "" {
		fail("build", err, b)
	}
	if set, err := c.Buildset(ctx, published.Buildset); err != nil || len(set) != 2 || set[1].UUID != failed.UUID {
		fail("buildset", err, set)
	}
	if o, err := c.Overview(ctx); err != nil || o.Services != 2 || o.DayEnded != 2 || o.DaySucceeded != 1 {
		fail("overview", err, o)
	}
	if list, err := c.Services(ctx); err != nil || len(list) != 2 || list[0].Name != "mail" || len(list[1].Builds) != 3 {
		fail("services", err, list)
	}
	if w, err := c.Service(ctx, "web"); err != nil || w.Retention != 30*24*3600 || len(w.Readers) != 1 || len(w.Histories) != 1 || len(w.Days) != 2 || !w.ChangesRead || len(w.Changes) == 0 {
		fail("service", err, w)
	}
	if j, err := c.Job(ctx, "deploy-web"); err != nil || j.Ran != 2 || j.Succeeded != 1 || j.LastSuccess == nil || j.LastSuccess.UUID != published.UUID || j.Service != "web" {
		fail("job", err, j)
	}
	if j, err := c.Job(ctx, "lint/"+hostile); err != nil || len(j.Builds) != 1 || j.LastSuccess != nil {
		fail("job with a slash", err, j)
	}
	first, err := c.Jobs(ctx, "", 1)
	if err != nil || len(first.Jobs) != 1 || first.Jobs[0].Name != "deploy-web" || first.Next != "deploy-web" {
		fail("jobs", err, first)
	}
	if rest, err := c.Jobs(ctx, first.Next, 1); err != nil || len(rest.Jobs) != 1 || rest.Jobs[0].Name != "lint/"+hostile || rest.Next != "" {
		fail("jobs after the first", err, rest)
	}
	if k, err := c.Keyring(ctx); err != nil || len(k.People) != 1 || len(k.Services) != 2 || k.Commit == "" || k.Problem != "" {
		fail("keyring", err, k)
	}
	if n, err := c.Names(ctx); err != nil || len(n.Jobs) != 2 || len(n.Services) != 1 || len(n.Results) != len(vitrine.Results) {
		fail("names", err, n)
	}
}
