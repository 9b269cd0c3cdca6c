package web

import (
	"cmp"
	"slices"
	"time"

	"vitrine"
)

// A JobPage is one job with its last builds, newest first.
type JobPage struct {
	Name    string
	Service string // that owns it; may be empty
	Builds  []vitrine.Build
}

func (JobPage) template() string { return "job" }
func (JobPage) section() string  { return "builds" }
func (p JobPage) title() string  { return isolate(cut(p.Name)) }

// Usual is the median time that the builds which succeeded took, or empty.
func (d document) Usual(bs []vitrine.Build) string {
	var took []time.Duration
	for _, b := range bs {
		if outcomeOf(b).Kind == "ok" {
			took = append(took, b.Duration())
		}
	}
	if len(took) < 2 {
		return ""
	}
	slices.SortFunc(took, cmp.Compare[time.Duration])
	return duration(took[len(took)/2])
}
