package server

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vitrine"
	"vitrine/web"
)

// The document has every route of the API, and no other.
func TestOpenAPIRoutes(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	parameter := regexp.MustCompile(`\{[^}]*\}`)
	var documented []string
	for path, item := range doc.Paths {
		for method := range item {
			if method != "parameters" {
				documented = append(documented, strings.ToUpper(method)+" "+parameter.ReplaceAllString(path, "*"))
			}
		}
	}
	s := &Server{Config: Config{Tenant: "demo", PublicURL: "https://vitrine.example.org"}}
	colon := regexp.MustCompile(`:[a-z]+`)
	var routed []string
	for _, r := range s.routes().Routes() {
		if !isAPI(r.Path) || r.Method == http.MethodHead {
			continue
		}
		path := colon.ReplaceAllString(r.Path, "*")
		if r.Method == "PUT" && strings.HasSuffix(path, "/parts/*") {
			path += "/*" // NUMBER/PATH: one pattern to the router
		}
		routed = append(routed, r.Method+" "+path)
	}
	slices.Sort(documented)
	slices.Sort(routed)
	if !slices.Equal(documented, routed) || len(routed) < 20 {
		t.Errorf("documented:\n  %s\nrouted:\n  %s", strings.Join(documented, "\n  "), strings.Join(routed, "\n  "))
	}
}

// The document's words for a result, and its filters, are the program's.
func TestOpenAPIWords(t *testing.T) {
	var doc struct {
		Components struct {
			Schemas struct {
				Result struct{ Enum []string }
			}
			Parameters map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	var results, filters []string
	for _, r := range vitrine.Results {
		results = append(results, string(r))
	}
	if !slices.Equal(doc.Components.Schemas.Result.Enum, results) {
		t.Errorf("results %v, want %v", doc.Components.Schemas.Result.Enum, results)
	}
	for name := range doc.Components.Parameters {
		if f, ok := strings.CutPrefix(name, "filter_"); ok {
			filters = append(filters, f)
		}
	}
	want := slices.Clone(web.FilterParams)
	slices.Sort(filters)
	slices.Sort(want)
	if !slices.Equal(filters, want) {
		t.Errorf("filters %v, want %v", filters, want)
	}
}
