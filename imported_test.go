package vitrine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"vitrine"
)

func importedRecord(change ...func(*vitrine.Record)) *vitrine.Record {
	start := time.Date(2024, 3, 1, 2, 0, 0, 0, time.UTC)
	r := &vitrine.Record{
		Version: vitrine.RecordVersion, Tenant: "main", UUID: strings.Repeat("ab", 16), Buildset: strings.Repeat("cd", 16),
		JobName: "deploy", Result: vitrine.Success, Voting: true, StartTime: start, EndTime: start.Add(time.Minute),
		Imported: &vitrine.Imported{Source: "https://zuul.example.org/api/tenant/main", LogURL: "https://logs.example.org/1/", Final: true,
			Links: []vitrine.Link{{Name: "Docs", URL: "https://logs.example.org/1/docs/index.html?a=<b>", Metadata: json.RawMessage(`{"type":"docs","n":[1,{"a":"<b>"}]}`)}}},
	}
	for _, f := range change {
		f(r)
	}
	return r
}

func TestImportedRecord(t *testing.T) {
	r := importedRecord()
	text, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := vitrine.ParseRecord(text)
	if err != nil {
		t.Fatal(err)
	}
	if !again.IsImported() || again.IsStarted() || again.Key() != vitrine.ImportedKey(r.StartTime, r.UUID) {
		t.Errorf("imported %v, started %v, key %s", again.IsImported(), again.IsStarted(), again.Key())
	}
}

func TestImportedRefused(t *testing.T) {
	deep := func(n int) json.RawMessage {
		return json.RawMessage(strings.Repeat(`{"a":`, n) + "{}" + strings.Repeat("}", n))
	}
	metadata := func(m json.RawMessage) func(r *vitrine.Record) {
		return func(r *vitrine.Record) { r.Imported.Links[0].Metadata = m }
	}
	for _, test := range []struct {
		name   string
		change func(*vitrine.Record)
		want   string // empty: it is fine
	}{
		{"as it is", func(r *vitrine.Record) {}, ""},
		{"with a service", func(r *vitrine.Record) { r.Service = "codesearch" }, ""},
		{"without metadata", metadata(nil), ""},
		{"running", func(r *vitrine.Record) { r.Result, r.EndTime = "", time.Time{} }, "result"},
		{"publisher", func(r *vitrine.Record) { r.Publisher = "bridge" }, "publisher"},
		{"keyring", func(r *vitrine.Record) { r.Keyring.Commit = strings.Repeat("a", 40) }, "keyring"},
		{"expiry", func(r *vitrine.Record) { r.Expires = r.EndTime }, "expiry"},
		{"service", func(r *vitrine.Record) { r.Service = "Code Search" }, "service"},
		{"no source", func(r *vitrine.Record) { r.Imported.Source = "" }, "source"},
		{"script", func(r *vitrine.Record) { r.Imported.LogURL = "javascript:alert(1)" }, "log_url"},
		{"user", func(r *vitrine.Record) { r.Imported.Links[0].URL = "https://u:p@example.org/" }, "links"},
		{"nameless", func(r *vitrine.Record) { r.Imported.Links[0].Name = "" }, "name"},
		{"many links", func(r *vitrine.Record) { r.Imported.Links = make([]vitrine.Link, vitrine.MaxLinks+1) }, "more than"},
		{"no object", metadata(json.RawMessage(`[]`)), "object"},
		{"null", metadata(json.RawMessage(`null`)), "object"},
		{"no JSON", metadata(json.RawMessage(`{`)), "JSON"},
		{"two values", metadata(json.RawMessage(`{}{}`)), "JSON"},
		{"large", metadata(json.RawMessage(fmt.Sprintf(`{"a":[%s1]}`, strings.Repeat("1,", vitrine.MaxLinkMetadata/2)))), "large"},
		{"deepest", metadata(deep(vitrine.MaxLinkDepth - 1)), ""},
		{"too deep", metadata(deep(vitrine.MaxLinkDepth)), "deep"},
		{"much too deep", metadata(deep(1300)), "deep"},
		{"terminal", metadata(json.RawMessage(`{"a":"\u001b[2J"}`)), "control"},
	} {
		_, err := importedRecord(test.change).Marshal()
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.want != "" && (!errors.Is(err, vitrine.ErrRecord) || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want something of %q", test.name, err, test.want)
		}
	}
}
