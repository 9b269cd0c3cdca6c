package web

import (
	"cmp"
	"net/url"
	"slices"

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
	// Services are the names that the form offers.
	Services []string
}

func (BuildsPage) template() string { return "builds" }
func (BuildsPage) section() string  { return "builds" }
func (BuildsPage) title() string    { return "Builds" }

// A chip is a filter that is set, with the path of the list without it.
type chip struct{ Name, Value, Path string }

// filterWords are the names of [FilterParams] on a page.
var filterWords = map[string]string{"job_name": "job", "uuid": "build id", "from": "since", "to": "until"}

func filterWord(param string) string { return cmp.Or(filterWords[param], param) }

// Chips are the filters that are set.
func (d document) Chips(p BuildsPage) []chip {
	var chips []chip
	for _, name := range FilterParams {
		for i, v := range p.Filter[name] {
			if v == "" {
				continue
			}
			rest := make(url.Values)
			for n, vs := range p.Filter {
				rest[n] = vs
			}
			rest[name] = slices.Delete(slices.Clone(p.Filter[name]), i, i+1)
			rest.Del(ParamBefore)
			rest.Del(ParamAfter)
			c := chip{filterWord(name), v, BuildsPath(d.Tenant, rest)}
			if name == "result" {
				c.Value = cmp.Or(outcomes[vitrine.Result(v)].Word, v)
			}
			chips = append(chips, c)
		}
	}
	return chips
}

// A field is one filter of the form. Held are the values it has already, which
// the form sends again beside a new one.
type field struct {
	Name, Word, Hint string
	Held             []string
	Options          []option
}

type option struct{ Value, Text string }

// Fields are the filters that a form can add to.
func (d document) Fields(p BuildsPage) []field {
	hints := map[string]string{
		"job_name": "infra-prod-*", "project": "opendev/*", "branch": "master", "pipeline": "deploy",
		"change": "894201", "uuid": "32 hex digits",
	}
	var fields []field
	for _, name := range FilterParams {
		f := field{Name: name, Word: filterWord(name), Hint: hints[name], Held: p.Filter[name]}
		switch name {
		case "from", "to":
			continue // one value each: the form has them apart
		case "service":
			for _, s := range p.Services {
				f.Options = append(f.Options, option{s, s})
			}
		case "result":
			for _, r := range vitrine.Results {
				f.Options = append(f.Options, option{string(r), outcomes[r].Word})
			}
		}
		fields = append(fields, f)
	}
	return fields
}

// PageLink is the list with the same filters at another cursor.
func (d document) PageLink(p BuildsPage, param, cursor string) string {
	q := make(url.Values)
	for n, vs := range p.Filter {
		q[n] = vs
	}
	q.Del(ParamBefore)
	q.Del(ParamAfter)
	if cursor != "" {
		q.Set(param, cursor)
	}
	return BuildsPath(d.Tenant, q)
}
