package web

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"vitrine"
)

// A document is what a template is executed on. Its methods join a page's data
// with what the layout knows: the tenant, for paths, and the time.
type document struct {
	Layout
	Page Page
}

// Title is the text of the title element.
func (d document) Title() string {
	if d.Tenant == "" {
		return d.Page.title() + " · vitrine"
	}
	return d.Page.title() + " · " + d.Tenant + " · vitrine"
}

// Wall reports whether the page may be as wide as a screen on a wall.
func (d document) Wall() bool {
	return d.Page.template() == "overview" || d.Page.template() == "gallery"
}

// A navLink is an entry of the navigation. Current is the value of aria-current.
type navLink struct{ Text, Path, Current string }

// Nav is the navigation with the current page, or the section it is in, marked.
func (d document) Nav() []navLink {
	links := []navLink{
		{"Overview", ServicesPath(d.Tenant), ""},
		{"Builds", BuildsPath(d.Tenant, nil), ""},
		{"Keyring", KeyringPath(d.Tenant), ""},
	}
	for i, l := range links {
		if strings.ToLower(l.Text) != d.Page.section() {
			continue
		}
		links[i].Current = "true"
		if d.Page.template() == d.Page.section() {
			links[i].Current = "page"
		}
	}
	return links
}

// Paths for templates, with the tenant filled in.

func (d document) HomePath() string              { return HomePath }
func (d document) BuildsPath() string            { return BuildsPath(d.Tenant, nil) }
func (d document) BuildPath(uuid string) string  { return BuildPath(d.Tenant, uuid) }
func (d document) JobPath(name string) string    { return JobPath(d.Tenant, name) }
func (d document) KeyringPath() string           { return KeyringPath(d.Tenant) }
func (d document) SearchPath() string            { return SearchPath(d.Tenant) }
func (d document) ServicesPath() string          { return ServicesPath(d.Tenant) }
func (d document) ServicePath(n string) string   { return ServicePath(d.Tenant, n) }
func (d document) SignersPath() string           { return AllowedSignersPath(d.Tenant, "") }
func (d document) BuildsetPath(id string) string { return BuildsetPath(d.Tenant, id) }

// BuildsWith is the list of builds whose parameter has the value.
func (d document) BuildsWith(param, value string) string {
	return BuildsPath(d.Tenant, url.Values{param: {value}})
}

// A when is a time in a list: relative, with the absolute one behind it.
type when struct{ Text, ISO, Title string }

// Ago is t as lists show it.
func (d document) Ago(t time.Time) when {
	return when{ago(d.Now, t), t.UTC().Format(time.RFC3339), moment(t)}
}

// At is t as the page of the thing shows it.
func (d document) At(t time.Time) when {
	return when{moment(t), t.UTC().Format(time.RFC3339), ""}
}

// On is the day of t.
func (d document) On(t time.Time) when {
	return when{day(t), t.UTC().Format(time.DateOnly), ""}
}

// Past reports whether t has passed.
func (d document) Past(t time.Time) bool { return t.Before(d.Now) }

// A strip is a history drawn small: a bar a build, oldest first, the newest at
// the right edge.
type strip struct {
	Label string
	Bars  []bar
	Empty int // units without a build, at the left
}

// A bar stands on the line at 26 units; what went wrong hangs below it, so
// that it is told by more than its colour.
type bar struct {
	X, Y, H int
	Kind    string
	Path    string
	Title   string
	Current bool
}

// Strip draws history, which is newest first, and marks the build with the
// uuid current.
func (d document) Strip(history []vitrine.Build, current string) strip {
	return d.strip(history, current, HistoryLength)
}

func (d document) strip(history []vitrine.Build, current string, length int) strip {
	s := bars(history, length)
	for i := range s.Bars {
		b := history[len(s.Bars)-1-i]
		v := &s.Bars[i]
		v.Path, v.Current = d.BuildPath(b.UUID), b.UUID == current
		v.Title = headline(b, d.Now) + " · " + moment(b.StartTime)
	}
	return s
}

// bars is a strip without links.
func bars(history []vitrine.Build, length int) strip {
	history = history[:min(len(history), length)]
	longest := time.Second
	succeeded := 0
	for _, b := range history {
		longest = max(longest, b.Duration())
		if outcomeOf(b).Kind == "ok" {
			succeeded++
		}
	}
	s := strip{
		Label: fmt.Sprintf("%d builds, %d succeeded", len(history), succeeded),
		Empty: 7 * (HistoryLength - len(history)),
	}
	for i, b := range slices.Backward(history) {
		v := bar{X: 7 * (HistoryLength - 1 - i), H: 6 + int(20*b.Duration()/longest), Kind: outcomeOf(b).Kind}
		if v.Kind == "none" {
			v.H = 3
		}
		v.Y = 26 - v.H
		if v.Kind == "bad" {
			v.H += 4
		}
		s.Bars = append(s.Bars, v)
	}
	return s
}

// Summary tells how a list of builds went, as a sentence.
func (d document) Summary(bs []vitrine.Build) string {
	if len(bs) == 0 {
		return "No builds yet"
	}
	n := make(map[string]int)
	for _, b := range bs {
		n[outcomeOf(b).Kind]++
	}
	if n["ok"] == len(bs) {
		if len(bs) == 1 {
			return "It succeeded"
		}
		return fmt.Sprintf("All %d succeeded", len(bs))
	}
	var parts []string
	for _, k := range []struct{ kind, word string }{
		{"ok", "succeeded"}, {"bad", "failed"}, {"run", "still running"}, {"lost", "lost or interrupted"}, {"none", "skipped or cancelled"},
	} {
		if n[k.kind] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[k.kind], k.word))
		}
	}
	return strings.Join(parts, ", ")
}
