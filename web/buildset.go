package web

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"vitrine"
)

const (
	maxLanes = 250 // builds of a buildset that its page draws
	maxRefs  = 20
	maxTicks = 6
)

// A BuildsetPage is the builds of one event.
type BuildsetPage struct {
	UUID   string
	Builds []vitrine.Build // in any order; shown by start
	// More says that the buildset has builds beyond these.
	More bool
}

func (BuildsetPage) template() string { return "buildset" }
func (BuildsetPage) section() string  { return "builds" }
func (p BuildsetPage) title() string  { return "Buildset " + id(p.UUID) }

// scripts: a buildset of which a build has no end may go on while somebody looks.
func (p BuildsetPage) scripts() []string {
	if slices.ContainsFunc(p.Builds, func(b vitrine.Build) bool { return b.EndTime.IsZero() }) {
		return []string{"live.js"}
	}
	return nil
}

// Running are the builds that have not ended, as far as a listener may ask for.
func (p BuildsetPage) Running() []string {
	var uuids []string
	for _, b := range p.Builds {
		if b.State == vitrine.Running && len(uuids) < 50 {
			uuids = append(uuids, b.UUID)
		}
	}
	return uuids
}

// A lane is a build in a buildset's timeline, in hundredths of its length.
type lane struct {
	row
	X, Width, End float64
	After         string // the start of the first build
}

// A tick is a mark of the time axis.
type tick struct {
	X    float64
	Text string
}

// A timeline is the builds of a buildset against time.
type timeline struct {
	Lanes []lane
	Cut   int // builds that are not drawn
	Ticks []tick
	// Cause is the build whose state tells how the whole stands: one that runs,
	// or else one that failed, got lost, succeeded.
	Cause      row
	Start, End time.Time
	Took       string
	Worked     string // by all builds together
	Refs       []row  // a build of each change or commit, of the first ones
	RefsCut    int
	Sealed     int // artifacts
	Public     int
	Bytes      int64
}

// axis is what of the width bars take: marks at their ends take the rest.
const axis = 97

// Timeline orders the builds by their start. A build that has not ended
// reaches to now, one that got lost to the end of the others. Where there are
// too many, those that succeeded are left out before the others.
func (d document) Timeline(bs []vitrine.Build) timeline {
	bs = slices.Clone(bs)
	slices.SortStableFunc(bs, func(a, b vitrine.Build) int { return a.StartTime.Compare(b.StartTime) })
	var t timeline
	t.span(bs, d.Now)
	total := max(t.End.Sub(t.Start), time.Second)
	t.Took = duration(total)
	t.ticks(total)
	t.sum(d, bs)

	room := maxLanes
	for _, b := range bs {
		if outcomeOf(b).Kind != "ok" {
			room--
		}
	}
	for _, b := range bs {
		r := d.Row(b)
		if r.Outcome.Kind == "ok" {
			if room--; room < 0 {
				t.Cut++
				continue
			}
		} else if len(t.Lanes) >= maxLanes {
			t.Cut++
			continue
		}
		end := b.EndTime
		if end.IsZero() {
			end = t.End
		}
		l := lane{row: r, X: axis * float64(b.StartTime.Sub(t.Start)) / float64(total), After: "+" + duration(b.StartTime.Sub(t.Start))}
		l.Width = max(0.4, axis*float64(end.Sub(b.StartTime))/float64(total))
		l.End = min(l.X+l.Width, axis)
		t.Lanes = append(t.Lanes, l)
	}
	for _, kind := range []string{"none", "ok", "lost", "bad", "run"} {
		for _, b := range bs {
			if outcomeOf(b).Kind == kind {
				t.Cause = d.Row(b)
			}
		}
	}
	return t
}

// span finds the first start and the last end.
func (t *timeline) span(bs []vitrine.Build, now time.Time) {
	for _, b := range bs {
		if t.Start.IsZero() || b.StartTime.Before(t.Start) {
			t.Start = b.StartTime
		}
		end := b.EndTime
		if b.State == vitrine.Running {
			end = now
		}
		for _, e := range []time.Time{b.StartTime, end} {
			if e.After(t.End) {
				t.End = e
			}
		}
	}
}

// sum adds up what the builds took and published, and for what they ran.
func (t *timeline) sum(d document, bs []vitrine.Build) {
	var worked time.Duration
	seen := make(map[vitrine.Ref]bool) // of which only what names it
	for _, b := range bs {
		worked += b.Duration()
		t.Sealed, t.Public, t.Bytes = t.Sealed+b.Sealed, t.Public+b.Public, t.Bytes+b.Bytes
		name := vitrine.Ref{Project: b.Ref.Project, Change: b.Ref.Change, Patchset: b.Ref.Patchset}
		if b.Ref.Change == 0 {
			name = vitrine.Ref{Project: b.Ref.Project, Branch: b.Ref.Branch, NewRev: b.Ref.NewRev}
		}
		if seen[name] {
			continue
		}
		seen[name] = true
		if len(t.Refs) < maxRefs {
			t.Refs = append(t.Refs, d.Row(b))
		} else {
			t.RefsCut++
		}
	}
	t.Worked = duration(worked)
}

// steps are the distances that a time axis may have between its marks.
var steps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour,
}

func (t *timeline) ticks(total time.Duration) {
	i, _ := slices.BinarySearchFunc(steps, total/maxTicks, cmp.Compare[time.Duration])
	step := steps[min(i, len(steps)-1)]
	for step < total/maxTicks { // builds of one event may lie days apart
		step *= 2
	}
	for at := time.Duration(0); at <= total*19/20; at += step {
		t.Ticks = append(t.Ticks, tick{axis * float64(at) / float64(total), tickText(at)})
	}
}

// tickText is a time since the start, in as few words as it takes.
func tickText(at time.Duration) string {
	switch {
	case at < time.Minute:
		return fmt.Sprintf("%d s", at/time.Second)
	case at < time.Hour && at%time.Minute == 0:
		return fmt.Sprintf("%d min", at/time.Minute)
	case at < 48*time.Hour && at%time.Hour == 0:
		return fmt.Sprintf("%d h", at/time.Hour)
	case at%(24*time.Hour) == 0:
		return fmt.Sprintf("%d d", at/(24*time.Hour))
	}
	return duration(at)
}
