package web

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"vitrine"
)

// A BuildsPage is the list of builds, newest first.
type BuildsPage struct {
	// Filter holds what narrows the list, by the names in [FilterParams].
	Filter url.Values
	Builds []vitrine.Build
	// Newer and Older are the cursors of the pages beside this one, empty where
	// there is none.
	Newer, Older string
	// Newest says that the page begins with the newest build, so that newer ones
	// can be told of. First is then the cursor of that build, empty without any.
	Newest bool
	First  string
	// Suggest holds names that the form offers, by the names in [FilterParams].
	Suggest map[string][]string
}

func (BuildsPage) template() string  { return "builds" }
func (BuildsPage) section() string   { return "builds" }
func (BuildsPage) title() string     { return "Builds" }
func (BuildsPage) scripts() []string { return []string{"live.js", "builds.js"} }

// A chip is a filter that is set, with the path of the list without it.
type chip struct {
	Name, Value string
	Not         bool
	Path        string
}

// Has says that a build has what the chip asks for.
func (c chip) Has() string {
	switch c.Name {
	case "search":
		return "has in its job or project"
	case "since", "until":
		return "began " + c.Name
	}
	return "has " + c.Name
}

// Label is the chip as one text.
func (c chip) Label() string {
	if c.Not {
		return c.Name + " not " + isolate(cut(c.Value))
	}
	return c.Name + " " + isolate(cut(c.Value))
}

// filterWords are the names of [FilterParams] on a page.
var filterWords = map[string]string{
	"job_name": "job", "text": "search", "newrev": "commit", "uuid": "build id", "buildset": "buildset id", "from": "since", "to": "until",
}

func filterWord(param string) string { return cmp.Or(filterWords[param], param) }

// Chips are the filters that are set.
func (d document) Chips(p BuildsPage) []chip {
	var chips []chip
	for _, name := range FilterParams {
		for i, v := range p.Filter[name] {
			if v == "" {
				continue
			}
			rest := p.narrowed()
			rest[name] = slices.Delete(slices.Clone(p.Filter[name]), i, i+1)
			c := chip{Name: filterWord(name), Path: BuildsPath(d.Tenant, rest)}
			c.Value, c.Not = strings.CutPrefix(v, Not)
			switch name {
			case "text":
				c.Value, c.Not = v, false
			case "result":
				c.Value = resultWord(c.Value)
			case "voting", "held", "final":
				c.Value = cmp.Or(map[string]string{"1": "yes", "0": "no"}[v], v)
			}
			chips = append(chips, c)
		}
	}
	return chips
}

// resultWord is a result in the words of the list.
func resultWord(result string) string {
	if result == ResultRunning {
		return "Running"
	}
	return cmp.Or(outcomes[vitrine.Result(result)].Word, result)
}

// narrowed is a copy of the page's filter that may be changed, without a cursor.
func (p BuildsPage) narrowed() url.Values {
	q := make(url.Values)
	for _, name := range FilterParams {
		if values := p.Filter[name]; len(values) > 0 {
			q[name] = values
		}
	}
	return q
}

// A filterGroup is a button of the form with the fields behind it.
type filterGroup struct {
	Word   string
	Fields []field
}

// A field adds to one filter of the form, or sets it if that has one value only.
type field struct {
	Name, Word, Hint string
	Type             string // of the input, if there are no Options
	Value            string // that it has
	Not              bool   // whether it can exclude
	Options          []option
	Results          []option // of which several may be chosen
	Suggest          []string
}

type option struct {
	Value, Text string
	Chosen      bool
	Kind        string // of a result: its mark
}

// rareFilters are behind one button: most people never need them.
var rareFilters = []string{"patchset", "ref", "newrev", "nodeset", "voting", "held", "final", "uuid", "buildset"}

// frequentFilters have a button each, those that most people need first.
var frequentFilters = []string{"job_name", "result", "service", "project", "branch", "change", "pipeline"}

// Groups are the buttons of the form.
func (d document) Groups(p BuildsPage) []filterGroup {
	var groups []filterGroup
	for _, name := range frequentFilters {
		f := p.field(name)
		groups = append(groups, filterGroup{f.Word, []field{f}})
	}
	more := filterGroup{Word: "more"}
	for _, name := range rareFilters {
		more.Fields = append(more.Fields, p.field(name))
	}
	return append(groups, filterGroup{"dates", []field{p.field("from"), p.field("to")}}, filterGroup{"search", []field{p.field("text")}}, more)
}

var filterHints = map[string]string{
	"text": "part of a job’s or project’s name", "service": "codesearch", "job_name": "infra-prod-*", "project": "opendev/*",
	"branch": "master", "pipeline": "deploy", "change": "894201", "patchset": "3", "ref": "refs/heads/master",
	"newrev": "9b1f0c77e2*", "nodeset": "ubuntu-*", "uuid": "3f0c9a51d2*", "buildset": "32 hex digits",
}

func (p BuildsPage) field(name string) field {
	f := field{Name: name, Word: filterWord(name), Hint: filterHints[name], Type: "text", Suggest: p.Suggest[name]}
	if slices.Contains(SingleParams, name) {
		f.Value = p.Filter.Get(name)
	} else {
		f.Not = true
	}
	switch name {
	case "from", "to":
		f.Type = "date"
	case "voting", "held", "final":
		f.Options = []option{{Value: "1", Text: "yes", Chosen: f.Value == "1"}, {Value: "0", Text: "no", Chosen: f.Value == "0"}}
	case "result":
		f.Results = resultOptions(p.Filter["result"])
	case "service":
		for _, s := range f.Suggest {
			f.Options = append(f.Options, option{Value: s, Text: s})
		}
		f.Suggest = nil
	}
	return f
}

// resultOptions are all results, those of a filter chosen.
func resultOptions(chosen []string) []option {
	list := []option{{ResultRunning, resultWord(ResultRunning), slices.Contains(chosen, ResultRunning), "run"}}
	for _, r := range vitrine.Results {
		list = append(list, option{string(r), resultWord(string(r)), slices.Contains(chosen, string(r)), kindOf(r)})
	}
	return list
}

// A pair is a parameter that a form sends again.
type pair struct{ Name, Value string }

// Held are the filters that the form adds to; those that it sets anew are not
// among them.
func (p BuildsPage) Held() []pair {
	return slices.DeleteFunc(p.All(), func(q pair) bool {
		return slices.Contains(SingleParams, q.Name) || q.Name == "result" && !strings.HasPrefix(q.Value, Not)
	})
}

// All are all filters.
func (p BuildsPage) All() []pair {
	var pairs []pair
	for _, name := range FilterParams {
		for _, v := range p.Filter[name] {
			if v != "" {
				pairs = append(pairs, pair{name, v})
			}
		}
	}
	return pairs
}

// PageLink is the list with the same filters at another cursor.
func (d document) PageLink(p BuildsPage, param, cursor string) string {
	q := p.narrowed()
	if cursor != "" {
		q.Set(param, cursor)
	}
	return BuildsPath(d.Tenant, q)
}

// Events is where the page hears of changes; empty if it shows older builds.
func (d document) Events(p BuildsPage) string {
	if !p.Newest {
		return ""
	}
	q := p.narrowed()
	q.Set(ParamAfter, p.First)
	for _, b := range p.Builds {
		if b.State == vitrine.Running {
			q.Add(ParamRunning, b.UUID)
		}
	}
	return EventsPath(d.Tenant, q)
}

// Back is the list without the value that was wrong, or empty.
func (d document) Back(p ErrorPage) string {
	if p.Rest == nil || d.Tenant == "" {
		return ""
	}
	return BuildsPath(d.Tenant, p.Rest)
}
