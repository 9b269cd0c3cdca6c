package web

import (
	"math"
	"strings"
	"time"

	"vitrine"
)

// A row is a build as lists and pages show it.
type row struct {
	vitrine.Build
	Outcome outcome
	Path    string
	Started when
	Took    string // empty if there is nothing to tell
	Bar     int    // 0 to 44 units, the root of the time it took against the longest in the list
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
	return r
}

// Rows are the builds of a list.
func (d document) Rows(bs []vitrine.Build) []row {
	longest := time.Second
	for _, b := range bs {
		longest = max(longest, b.Duration())
	}
	rows := make([]row, len(bs))
	for i, b := range bs {
		rows[i] = d.Row(b)
		if b.Duration() > 0 {
			rows[i].Bar = max(2, int(44*math.Sqrt(float64(b.Duration())/float64(longest))))
		}
	}
	return rows
}

func (r row) Headline() string    { return headline(r.Build, r.d.Now) }
func (r row) Verb() string        { return verb(r.Build) }
func (r row) JobPath() string     { return r.d.JobPath(r.JobName) }
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
