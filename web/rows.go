package web

import (
	"math"
	"strconv"
	"strings"

	"vitrine"
)

// A row is a build as lists and pages show it.
type row struct {
	vitrine.Build
	Outcome outcome
	Path    string
	Started when
	Took    string // empty if there is nothing to tell
	Bar     int    // 0 to 44 units, the root of the time it took against an hour
	Cause   string // what it ran for, where the job goes without saying
	d       document
}

// Row is one build.
func (d document) Row(b vitrine.Build) row {
	r := row{Build: b, Outcome: outcomeOf(b), Path: d.BuildPath(b.UUID), Started: d.Ago(b.StartTime), d: d}
	switch {
	case b.State == vitrine.Running:
		r.Took = duration(d.Now.Sub(b.StartTime))
	case !b.EndTime.IsZero() && (r.Outcome.Kind != "none" || b.Duration() > 0):
		r.Took = duration(b.Duration())
	}
	if b.Duration() > 0 {
		r.Bar = min(44, max(2, int(44*math.Sqrt(b.Duration().Hours()))))
	}
	return r
}

// A rowGroup is a part of a list, with the day that its builds began on if the
// list says so.
type rowGroup struct {
	Day  string
	Rows []row
}

// Rows are the builds of a list.
func (d document) Rows(bs []vitrine.Build) []rowGroup {
	g := rowGroup{Rows: make([]row, len(bs))}
	for i, b := range bs {
		g.Rows[i] = d.Row(b)
	}
	return []rowGroup{g}
}

// JobRows are the builds of a list whose job goes without saying: each is told by
// what it ran for.
func (d document) JobRows(bs []vitrine.Build) []rowGroup {
	groups := d.Rows(bs)
	for i := range groups[0].Rows {
		r := &groups[0].Rows[i]
		switch {
		case r.Ref.Change != 0:
			r.Cause = r.Verb() + " change " + count(r.Ref.Change)
		case r.Timer():
			r.Cause = "By a timer"
		default:
			r.Cause = r.Verb() + " commit " + r.Commit()
		}
	}
	return groups
}

// DayRows are the builds of a list, newest first, by day. The first group has no
// heading if it is of today, and none has where days are short: a heading for
// every few rows would be in the way.
func (d document) DayRows(bs []vitrine.Build) []rowGroup {
	var groups []rowGroup
	last := day(d.Now)
	for _, b := range bs {
		if today := day(b.StartTime); len(groups) == 0 || today != last {
			g := rowGroup{}
			if today != last {
				g.Day = b.StartTime.UTC().Format("Monday, 2 January 2006")
			}
			groups, last = append(groups, g), today
		}
		g := &groups[len(groups)-1]
		g.Rows = append(g.Rows, d.Row(b))
	}
	if len(groups)*fewADay > len(bs) {
		return d.Rows(bs)
	}
	return groups
}

// fewADay is how many builds a day must have on average for headings.
const fewADay = 4

func (r row) Headline() string { return headline(r.Build, r.d.Now) }
func (r row) Verb() string     { return verb(r.Build) }
func (r row) JobPath() string  { return r.d.JobPath(r.JobName) }

// ChangePath is the list of the change's builds.
func (r row) ChangePath() string {
	return r.d.BuildsWith("change", strconv.FormatInt(r.Ref.Change, 10))
}
func (r row) ServicePath() string { return r.d.ServicePath(r.Service) }

// Timer reports whether nothing but the clock asked for the build.
func (r row) Timer() bool {
	return r.Ref.Change == 0 && (r.Ref.NewRev == "" || strings.HasPrefix(r.Pipeline, "periodic"))
}

// Commit is the commit that was built, short; its whole is Ref.NewRev.
func (r row) Commit() string { return id(r.Ref.NewRev) }

// id is a commit or a build's id, short enough for a row and long enough to
// find it again.
func id(s string) string {
	if len(s) > 10 && strings.Trim(s, "0123456789abcdef") == "" {
		return s[:10]
	}
	return cut(s)
}
