package web

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"vitrine"
)

func (OverviewPage) feed() url.Values  { return nil }
func (p BuildsPage) feed() url.Values  { return p.Filter }
func (p ServicePage) feed() url.Values { return url.Values{"service": {p.Service.Name}} }
func (p JobPage) feed() url.Values     { return p.filter() }

// A Feed tells feed readers of builds that have ended. All its texts are plain:
// nothing of a build is ever markup.
type Feed struct {
	Tenant    string
	PublicURL string          // where readers reach the server, without a slash at the end
	Filter    url.Values      // what narrows it, by [FilterParams]
	Builds    []vitrine.Build // that have ended
}

// firstDay is when a feed without builds was updated, which has to be said: no
// record is older.
var firstDay = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// Updated is when the last of the builds ended.
func (f Feed) Updated() time.Time {
	updated := firstDay
	for _, b := range f.Builds {
		if b.EndTime.After(updated) {
			updated = b.EndTime
		}
	}
	return updated.UTC()
}

func (f Feed) title() string {
	title := "Builds of " + f.Tenant
	sep := ": "
	for _, name := range FilterParams {
		var values []string
		for _, v := range f.Filter[name] {
			if v != "" {
				values = append(values, isolateForeign(cut(v)))
			}
		}
		if len(values) > 3 {
			values = append(values[:3], "…")
		}
		if values != nil {
			title += sep + filterWord(name) + " " + strings.Join(values, " or ")
			sep = ", "
		}
	}
	return title
}

// An entry is a build as either format has it.
type entry struct {
	ID, Page, Title, Summary, RefURL string
	Tags                             []string
}

func (f Feed) entry(b vitrine.Build) entry {
	r := document{Layout: Layout{Tenant: f.Tenant}}.Row(b)
	e := entry{
		// A name for ever, wherever the server may move.
		ID:   fmt.Sprintf("urn:uuid:%s-%s-%s-%s-%s", b.UUID[:8], b.UUID[8:12], b.UUID[12:16], b.UUID[16:20], b.UUID[20:]),
		Page: f.PublicURL + BuildPath(f.Tenant, b.UUID), Title: r.sentence(), RefURL: webLink(b.Ref.RefURL),
	}
	for _, t := range []string{b.Service, string(b.Result)} {
		if t != "" {
			e.Tags = append(e.Tags, t)
		}
	}
	var facts []string
	for _, fact := range []struct{ word, value string }{
		{"service", b.Service}, {"project", b.Ref.Project}, {"branch", b.Ref.Branch}, {"pipeline", b.Pipeline}, {"error", b.ErrorDetail},
	} {
		if fact.value != "" {
			facts = append(facts, fact.word+" "+isolateForeign(fact.value))
		}
	}
	if b.Sealed+b.Public > 0 {
		facts = append(facts, "files "+count(b.Sealed)+" sealed and "+count(b.Public)+" public")
	}
	e.Summary = strings.Join(append(facts, "result "+string(b.Result)), ", ")
	return e
}

// sentence is a build in one line: deploy-web succeeded in 2 min 03 s: deployed
// change 894,201.
func (r row) sentence() string {
	s := isolateForeign(cut(r.JobName)) + " " + lower(r.Headline())
	verb := lower(r.Verb())
	if verb == "for" {
		s += ", for "
	} else {
		s += ": " + verb + " "
	}
	switch branch, project := isolateForeign(cut(r.Ref.Branch)), isolateForeign(cut(r.Ref.Project)); {
	case r.Ref.Change != 0:
		return s + "change " + count(r.Ref.Change)
	case !r.Timer():
		return s + "commit " + isolateForeign(r.Commit())
	case project == "":
		return s + "no change"
	case branch == "":
		return s + project + ", by a timer"
	default:
		return s + branch + " of " + project + ", by a timer"
	}
}

// isolateForeign is isolate where a text may have a writing direction of its own.
func isolateForeign(s string) string {
	if strings.IndexFunc(s, func(c rune) bool { return c > unicode.MaxLatin1 }) < 0 {
		return s
	}
	return isolate(s)
}

// lower is s with its first letter in lower case.
func lower(s string) string {
	c, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(c)) + s[n:]
}

type atomFeed struct {
	XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
	ID      string      `xml:"id"`
	Title   string      `xml:"title"`
	Updated string      `xml:"updated"`
	Author  string      `xml:"author>name"`
	Links   []atomLink  `xml:"link"`
	Entries []atomEntry `xml:"entry"`
}

type atomEntry struct {
	ID         string         `xml:"id"`
	Title      string         `xml:"title"`
	Updated    string         `xml:"updated"`
	Published  string         `xml:"published"`
	Links      []atomLink     `xml:"link"`
	Categories []atomCategory `xml:"category"`
	Summary    string         `xml:"summary"`
}

type atomLink struct {
	Rel  string `xml:"rel,attr"`
	Type string `xml:"type,attr,omitempty"`
	Href string `xml:"href,attr"`
}

type atomCategory struct {
	Term string `xml:"term,attr"`
}

// Atom is the feed as RFC 4287 has it.
func (f Feed) Atom() ([]byte, error) {
	self := f.PublicURL + FeedPath(f.Tenant, "atom", f.Filter)
	a := atomFeed{
		ID: self, Title: f.title(), Updated: f.Updated().Format(time.RFC3339), Author: f.Tenant,
		Links: []atomLink{
			{"self", "application/atom+xml", self},
			{"alternate", "text/html", f.PublicURL + BuildsPath(f.Tenant, f.Filter)},
		},
	}
	for _, b := range f.Builds {
		e := f.entry(b)
		ended := b.EndTime.UTC().Format(time.RFC3339)
		entry := atomEntry{ID: e.ID, Title: e.Title, Updated: ended, Published: ended, Summary: e.Summary,
			Links: []atomLink{{"alternate", "text/html", e.Page}}}
		if e.RefURL != "" {
			entry.Links = append(entry.Links, atomLink{"related", "", e.RefURL})
		}
		for _, t := range e.Tags {
			entry.Categories = append(entry.Categories, atomCategory{t})
		}
		a.Entries = append(a.Entries, entry)
	}
	// What XML can't hold, encoding/xml replaces.
	body, err := xml.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("write feed: %w", err)
	}
	return append([]byte(xml.Header), append(body, '\n')...), nil
}

type jsonFeed struct {
	Version     string       `json:"version"`
	Title       string       `json:"title"`
	HomePageURL string       `json:"home_page_url"`
	FeedURL     string       `json:"feed_url"`
	Authors     []jsonAuthor `json:"authors"`
	Language    string       `json:"language"`
	Items       []jsonItem   `json:"items"`
}

type jsonAuthor struct {
	Name string `json:"name"`
}

type jsonItem struct {
	ID            string   `json:"id"`
	URL           string   `json:"url"`
	ExternalURL   string   `json:"external_url,omitempty"`
	Title         string   `json:"title"`
	ContentText   string   `json:"content_text"`
	DatePublished string   `json:"date_published"`
	Tags          []string `json:"tags,omitempty"`
}

// JSON is the feed as JSON Feed 1.1 has it.
func (f Feed) JSON() ([]byte, error) {
	j := jsonFeed{
		Version: "https://jsonfeed.org/version/1.1", Title: f.title(), HomePageURL: f.PublicURL + BuildsPath(f.Tenant, f.Filter),
		FeedURL: f.PublicURL + FeedPath(f.Tenant, "json", f.Filter), Authors: []jsonAuthor{{f.Tenant}}, Language: "en", Items: []jsonItem{},
	}
	for _, b := range f.Builds {
		e := f.entry(b)
		j.Items = append(j.Items, jsonItem{ID: e.ID, URL: e.Page, ExternalURL: e.RefURL, Title: e.Title, ContentText: e.Summary,
			DatePublished: b.EndTime.UTC().Format(time.RFC3339), Tags: e.Tags})
	}
	body, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("write feed: %w", err)
	}
	return append(body, '\n'), nil
}
