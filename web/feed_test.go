package web

import (
	"encoding/json"
	"encoding/xml"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"vitrine"
)

// hostileTexts are texts that a record or an address may hold.
var hostileTexts = []string{
	`<script>alert(1)</script>`, `]]><!--&amp;"'`, "\u202egnitset\u202c", "\u2068\u2069\u2069", "\ufffe\uffff\ufdd0", strings.Repeat("W", 255),
	"\U0001f600\U0001f468\u200d\U0001f469", "e\u0301\u0301\u0301\u0301", "javascript:alert(1)", "%s%d\\u0000",
}

func testFeed(builds ...vitrine.Build) Feed {
	return Feed{Tenant: "opendev", PublicURL: "https://logs.example.org", Builds: builds}
}

func TestSentence(t *testing.T) {
	ok := testBuild(1, vitrine.Success, time.Hour, 123*time.Second)
	for want, change := range map[string]func(*vitrine.Build){
		"infra-prod-service-codesearch succeeded in 2 min 03 s: deployed change 894,201":                              func(*vitrine.Build) {},
		"infra-prod-service-codesearch timed out after 2 min 03 s: tried to deploy change 894,201":                    func(b *vitrine.Build) { b.Result = vitrine.TimedOut },
		"infra-prod-service-codesearch skipped, for change 894,201":                                                   func(b *vitrine.Build) { b.Result = "SKIPPED" },
		"infra-prod-service-codesearch succeeded in 2 min 03 s: tested change 894,201":                                func(b *vitrine.Build) { b.Pipeline = "check" },
		"infra-prod-service-codesearch succeeded in 2 min 03 s: deployed commit 9b1f9b1f9b":                           func(b *vitrine.Build) { b.Ref.Change = 0 },
		"infra-prod-service-codesearch succeeded in 2 min 03 s, for master of opendev/system-config, by a timer":      func(b *vitrine.Build) { b.Ref.Change, b.Pipeline = 0, "periodic" },
		"infra-prod-service-codesearch succeeded in 2 min 03 s, for opendev/system-config, by a timer":                func(b *vitrine.Build) { b.Ref.Change, b.Ref.Branch, b.Pipeline = 0, "", "periodic" },
		"infra-prod-service-codesearch succeeded in 2 min 03 s, for no change":                                        func(b *vitrine.Build) { b.Ref, b.Pipeline = vitrine.Ref{}, "" },
		"\u2068\ufffdevil\u2069 succeeded in 2 min 03 s: deployed change 894,201":                                     func(b *vitrine.Build) { b.JobName = "\u202eevil" },
		strings.Repeat("W", 40) + "…" + strings.Repeat("W", 20) + " succeeded in 2 min 03 s: deployed change 894,201": func(b *vitrine.Build) { b.JobName = strings.Repeat("W", 255) },
	} {
		b := ok
		change(&b)
		if got := testFeed().entry(b).Title; got != isolatedIfLong(want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

// isolatedIfLong isolates a name that was cut, as its ellipsis is no Latin letter.
func isolatedIfLong(s string) string {
	name, rest, ok := strings.Cut(s, " succeeded")
	if ok && strings.Contains(name, "…") {
		return isolate(name) + " succeeded" + rest
	}
	return s
}

// checkAtom holds a feed against what RFC 4287 demands, and returns it parsed.
func checkAtom(t *testing.T, body []byte) atomFeed {
	t.Helper()
	for dec := xml.NewDecoder(strings.NewReader(string(body))); ; {
		token, err := dec.Token()
		if token == nil {
			break
		} else if err != nil {
			t.Fatalf("%v in %q", err, body)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Space != "http://www.w3.org/2005/Atom" {
			t.Errorf("element %v: something of a build became markup", e.Name)
		}
	}
	var f atomFeed
	if err := xml.Unmarshal(body, &f); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	isTime := func(s string) bool { _, err := time.Parse(time.RFC3339, s); return err == nil }
	isIRI := func(s string) bool { u, err := url.Parse(s); return err == nil && u.IsAbs() }
	rels := func(links []atomLink) (rels []string) {
		for _, l := range links {
			if !isIRI(l.Href) || strings.HasPrefix(l.Href, "javascript:") {
				t.Errorf("link %v", l)
			}
			rels = append(rels, l.Rel)
		}
		return rels
	}
	if !isIRI(f.ID) || f.Title == "" || !isTime(f.Updated) || f.Author == "" || !slices.Equal(rels(f.Links), []string{"self", "alternate"}) {
		t.Errorf("feed %+v", f)
	}
	ids := make(map[string]bool)
	for _, e := range f.Entries {
		if r := rels(e.Links); len(r) < 1 || r[0] != "alternate" || !isIRI(e.ID) || ids[e.ID] || e.Title == "" || e.Summary == "" || !isTime(e.Updated) || e.Updated > f.Updated {
			t.Errorf("entry %+v", e)
		}
		ids[e.ID] = true
	}
	return f
}

// checkJSONFeed holds a feed against what JSON Feed 1.1 demands.
func checkJSONFeed(t *testing.T, body []byte) jsonFeed {
	t.Helper()
	var f jsonFeed
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		t.Fatal(err)
	}
	if f.Version != "https://jsonfeed.org/version/1.1" || f.Title == "" || f.Items == nil || !strings.HasPrefix(f.FeedURL, "https://") {
		t.Errorf("feed %+v", f)
	}
	for _, i := range f.Items {
		if i.ID == "" || i.ContentText == "" || !strings.HasPrefix(i.URL, "https://logs.example.org/t/opendev/build/") || strings.HasPrefix(i.ExternalURL, "javascript:") {
			t.Errorf("item %+v", i)
		}
	}
	return f
}

func TestFeed(t *testing.T) {
	b := testBuild(1, vitrine.Success, time.Hour, time.Minute)
	failed := testBuild(2, vitrine.Failure, 2*time.Hour, 90*time.Minute)
	f := testFeed(b, failed)
	f.Filter = url.Values{"service": {"codesearch"}, "result": {"SUCCESS", "FAILURE"}, "stranger": {"x"}, "text": {""}}
	body, err := f.Atom()
	if err != nil {
		t.Fatal(err)
	}
	a := checkAtom(t, body)
	e := a.Entries[0]
	if len(a.Entries) != 2 || a.Title != "Builds of opendev: service codesearch, result SUCCESS or FAILURE" || a.Updated != failed.EndTime.Format(time.RFC3339) ||
		a.ID != "https://logs.example.org/t/opendev/feed.atom?result=SUCCESS&result=FAILURE&service=codesearch" {
		t.Errorf("feed %+v", a)
	}
	if e.ID != "urn:uuid:11111111-1111-1111-1111-11111111110e" || e.Links[0].Href != "https://logs.example.org/t/opendev/build/"+b.UUID ||
		e.Links[1] != (atomLink{"related", "", "https://review.example.org/c/894201"}) || e.Updated != b.EndTime.Format(time.RFC3339) ||
		e.Summary != "service codesearch, project opendev/system-config, branch master, pipeline deploy, files 2 sealed and 1 public, result SUCCESS" {
		t.Errorf("entry %+v", e)
	}
	body, err = f.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if j := checkJSONFeed(t, body); len(j.Items) != 2 || j.Items[0].ID != e.ID || j.Items[0].Title != e.Title || !slices.Equal(j.Items[0].Tags, []string{"codesearch", "SUCCESS"}) {
		t.Errorf("feed %s", body)
	}
	// Without builds it is a feed all the same, and always the same.
	empty, err := testFeed().Atom()
	if err != nil || checkAtom(t, empty).Updated != "2020-01-01T00:00:00Z" {
		t.Errorf("%s, error %v", empty, err)
	}
	if empty, err = testFeed().JSON(); err != nil || len(checkJSONFeed(t, empty).Items) != 0 {
		t.Errorf("%s, error %v", empty, err)
	}
}

// Whatever a record or an address may say, both formats can be read, and say it
// as text.
func FuzzFeed(f *testing.F) {
	for i, text := range hostileTexts {
		f.Add(text, hostileTexts[(i+1)%len(hostileTexts)])
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		if vitrine.ValidText(text, vitrine.MaxString) != nil {
			text = "x"
		}
		b := testBuild(1, vitrine.Failure, time.Hour, time.Minute)
		b.JobName, b.Pipeline, b.ErrorDetail, b.Publisher = text, text, text, text
		b.Ref = vitrine.Ref{Project: text, Branch: text, NewRev: text, RefURL: text}
		feed := testFeed(b)
		feed.Filter = url.Values{"job_name": {value, text}, "project": {value}}
		body, err := feed.Atom()
		if err != nil {
			t.Fatal(err)
		}
		if a := checkAtom(t, body); len(a.Entries) != 1 || len(a.Entries[0].Categories) != 2 {
			t.Errorf("feed %s", body)
		}
		if body, err = feed.JSON(); err != nil {
			t.Fatal(err)
		}
		if j := checkJSONFeed(t, body); j.Items[0].Title != feed.entry(b).Title {
			t.Errorf("feed %s", body)
		}
	})
}
