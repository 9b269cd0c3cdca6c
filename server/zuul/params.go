package zuul

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"vitrine"
	"vitrine/server/index"
)

const (
	defaultLimit = 50
	// maxLimit bounds the rows of an answer; Zuul has no bound.
	maxLimit = 10_000
	// maxStars and maxValues are what the index takes.
	maxStars  = 8
	maxValues = 100
)

// params are the query of a request, turned into one of the index bit by bit. A
// value that no build can have matches nothing, as in SQL, whatever else is asked.
type params struct {
	values  url.Values
	query   index.Query
	limit   int
	nothing bool // no build can match
	err     error
}

func parseParams(r *http.Request) *params {
	p := new(params)
	if p.values, p.err = url.ParseQuery(r.URL.RawQuery); p.err != nil {
		p.err = refuse(http.StatusBadRequest, "the query can't be read: a bad escape, a semicolon, or too many parameters")
	}
	return p
}

func (p *params) has(name string) bool { return len(p.values[name]) > 0 }

// list takes the values of a parameter that a build may have. All of those that
// repeat a parameter are or-ed.
func (p *params) list(name string, isPossible func(string) bool) []string {
	if !p.has(name) {
		return nil
	}
	var list []string
	seen := make(map[string]bool)
	for _, v := range p.values[name] {
		// A beginning "not:" would have a meaning for the index that it has not for Zuul.
		if v == "" || len(v) > vitrine.MaxString || strings.HasPrefix(v, "not:") || vitrine.ValidText(v, vitrine.MaxString) != nil || seen[v] || !isPossible(v) {
			continue
		}
		seen[v] = true
		list = append(list, v)
	}
	if len(list) == 0 {
		p.nothing = true
	}
	if len(list) > maxValues {
		p.err = refuse(http.StatusBadRequest, "%d values of %s: want at most %d", len(list), name, maxValues)
	}
	return list
}

// exact values stand for themselves.
func (p *params) exact(name string) []string {
	return p.list(name, func(v string) bool { return !strings.Contains(v, "*") }) // which no build has in such a field
}

// fuzzy values may have a *, which stands for any run of characters.
func (p *params) fuzzy(name string) []string {
	return p.list(name, func(v string) bool { return strings.Count(v, "*") <= maxStars })
}

func (p *params) uuids(name string) []string { return p.list(name, vitrine.ValidUUID) }

func (p *params) changes() []string {
	return p.list("change", func(v string) bool {
		n, err := strconv.ParseInt(v, 10, 64)
		return err == nil && n > 0
	})
}

// isWord reads a parameter that is true by one word, and false by all others; nil
// if it is not there.
func (p *params) isWord(name string) *bool {
	if !p.has(name) {
		return nil
	}
	is := strings.EqualFold(p.values.Get(name), "true")
	return &is
}

// flag reads a parameter that is 0 or 1; nil if either will do.
func (p *params) flag(name string) *bool {
	if !p.has(name) {
		return nil
	}
	var is, isNot bool
	for _, v := range p.values[name] {
		b, err := strconv.ParseBool(strings.ToLower(v))
		is, isNot = is || err == nil && b, isNot || err == nil && !b
	}
	if is == isNot {
		p.nothing = p.nothing || !is
		return nil
	}
	return &is
}

// results are what is said of results, and whether there is to be one. In SQL no
// comparison with null is true, not even that it is another result: whoever names
// a result, to have it or not, wants a build that has one.
func (p *params) results() (list []string, complete *bool) {
	isKnown := func(v string) bool { return vitrine.Result(v).Known() }
	list, complete = p.list("result", isKnown), p.isWord("complete")
	if p.has("exclude_result") || list != nil {
		p.nothing = p.nothing || complete != nil && !*complete
		has := true
		complete = &has
	}
	for _, v := range p.values["exclude_result"] {
		if isKnown(v) && !slices.Contains(list, "not:"+v) {
			list = append(list, "not:"+v)
		}
	}
	return list, complete
}

// number reads a whole number of any size, cut to 64 bits, as far as Python reads
// it; ok is false if it is none.
func (p *params) number(name string, otherwise int64) (n int64, ok bool) {
	if !p.has(name) {
		return otherwise, true
	}
	n, err := strconv.ParseInt(strings.TrimSpace(p.values.Get(name)), 10, 64)
	return n, err == nil || errors.Is(err, strconv.ErrRange)
}

// page reads skip and limit.
func (p *params) page() {
	limit, ok := p.number("limit", defaultLimit)
	skip, ok2 := p.number("skip", 0)
	if !ok || !ok2 || limit < 0 || skip < 0 {
		p.err = refuse(http.StatusBadRequest, "limit, skip must be integers, and not negative")
		return
	}
	p.limit = int(min(limit, maxLimit))
	p.nothing = p.nothing || limit == 0 || skip > index.MaxSkip
	p.query.Skip = int(min(skip, index.MaxSkip))
}

// ids reads idx_min and idx_max; 0 is no bound.
func (p *params) ids() {
	first, ok := p.number("idx_min", 0)
	last, ok2 := p.number("idx_max", 0)
	if !ok || !ok2 {
		p.err = refuse(http.StatusBadRequest, "idx_min, idx_max must be integers")
	}
	p.nothing = p.nothing || last < 0 || first == math.MaxInt64
	p.query.MinID, p.query.MaxID = max(first, 0), max(last, 0)
}

// times are the forms that a bound of build-times may have.
var times = []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", time.RFC3339, time.DateOnly}

func (p *params) time(name string) time.Time {
	if !p.has(name) {
		return time.Time{}
	}
	v := p.values.Get(name)
	for _, form := range times {
		if t, err := time.Parse(form, v); err == nil {
			return t.UTC()
		}
	}
	p.err = refuse(http.StatusBadRequest, "%s %.60q: want a time such as 2026-03-01T02:11:09", name, v)
	return time.Time{}
}

// buildParams are those of a list of builds.
func buildParams(r *http.Request) *params {
	p := parseParams(r)
	if p.err != nil {
		return p
	}
	p.query = index.Query{
		Project: p.fuzzy("project"), Pipeline: p.fuzzy("pipeline"), Branch: p.fuzzy("branch"), Job: p.fuzzy("job_name"),
		Change: p.changes(), Patchset: p.exact("patchset"), Ref: p.exact("ref"), NewRev: p.exact("newrev"),
		UUID: p.uuids("uuid"), Nodeset: p.exact("nodeset"),
		Voting: p.flag("voting"), Held: p.flag("held"), Final: p.isWord("final"),
	}
	p.query.Result, p.query.Complete = p.results()
	p.page()
	p.ids()
	return p
}

// buildsetParams are those of a list of buildsets.
func buildsetParams(r *http.Request) *params {
	p := parseParams(r)
	if p.err != nil {
		return p
	}
	p.query = index.Query{
		Project: p.fuzzy("project"), Pipeline: p.fuzzy("pipeline"), Branch: p.fuzzy("branch"),
		Change: p.changes(), Patchset: p.exact("patchset"), Ref: p.exact("ref"), NewRev: p.exact("newrev"),
		Buildset: p.uuids("uuid"),
	}
	p.query.Result, p.query.Complete = p.results()
	p.page()
	p.ids()
	return p
}

// timesParams are those of build-times, of which none has a *. since and until
// bound the end.
func timesParams(r *http.Request) (p *params, since, until time.Time) {
	p = parseParams(r)
	if p.err != nil {
		return p, since, until
	}
	p.query = index.Query{
		Project: p.exact("project"), Pipeline: p.exact("pipeline"), Branch: p.exact("branch"), Job: p.exact("job_name"),
		Ref: p.exact("ref"), Final: p.isWord("final"),
	}
	p.query.Result, _ = p.results() // all have one
	p.page()
	return p, p.time("start_time"), p.time("end_time")
}
