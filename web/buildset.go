package web

import (
	"slices"
	"time"

	"vitrine"
)

// A BuildsetPage is the builds of one event.
type BuildsetPage struct {
	UUID   string
	Builds []vitrine.Build // in any order; shown by start
}

func (BuildsetPage) template() string { return "buildset" }
func (BuildsetPage) section() string  { return "builds" }
func (p BuildsetPage) title() string  { return "Buildset " + id(p.UUID) }

// A lane is a build in a buildset's timeline, in hundredths of its length.
type lane struct {
	row
	X, Width float64
}

// A timeline is the builds of a buildset against time.
type timeline struct {
	Lanes []lane
	// Cause is the build whose state tells how the whole stands: one that runs,
	// or else one that failed, got lost, succeeded.
	Cause      row
	Start, End time.Time
	Took       string
}

// Timeline orders the builds by their start. A build that has not ended
// reaches to now, one that got lost to the end of the others.
func (d document) Timeline(bs []vitrine.Build) timeline {
	bs = slices.Clone(bs)
	slices.SortStableFunc(bs, func(a, b vitrine.Build) int { return a.StartTime.Compare(b.StartTime) })
	var t timeline
	for _, b := range bs {
		if t.Start.IsZero() || b.StartTime.Before(t.Start) {
			t.Start = b.StartTime
		}
		end := b.EndTime
		if b.State == vitrine.Running {
			end = d.Now
		}
		for _, e := range []time.Time{b.StartTime, end} {
			if e.After(t.End) {
				t.End = e
			}
		}
	}
	total := max(t.End.Sub(t.Start), time.Second)
	t.Took = duration(total)
	for _, b := range bs {
		end := b.EndTime
		if end.IsZero() {
			end = t.End
		}
		t.Lanes = append(t.Lanes, lane{
			row:   d.Row(b),
			X:     100 * float64(b.StartTime.Sub(t.Start)) / float64(total),
			Width: max(0.6, 100*float64(end.Sub(b.StartTime))/float64(total)),
		})
	}
	for _, kind := range []string{"none", "ok", "lost", "bad", "run"} {
		for _, l := range t.Lanes {
			if l.Outcome.Kind == kind {
				t.Cause = l.row
			}
		}
	}
	return t
}
