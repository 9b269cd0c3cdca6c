package web

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"time"

	"vitrine"
)

// A Day counts the builds that began on one day in UTC and ended alike.
type Day struct {
	Day    time.Time // midnight
	Result vitrine.Result
	Builds int
	Took   time.Duration // in sum
}

// A plot is drawn without a viewBox: across, places are percents, and down they
// are units that no screen scales, so that words stay readable on a phone. Its
// marks keep within the margin.
const plotHeight, plotMargin = 168, 8

// A plotTick is a line across a plot and its word.
type plotTick struct {
	Y    float64
	Text string
}

// place is where a value between 0 and top stands in a plot.
func place(value, top float64) float64 {
	return hundredths(plotHeight - plotMargin - (plotHeight-2*plotMargin)*min(max(value/top, 0), 1))
}

func hundredths(f float64) float64 { return math.Round(100*f) / 100 }

// plotTicks is how many ticks a scale has above 0.
const plotTicks = 5

// durationScale are round ticks from 0 to no less than longest.
func durationScale(longest time.Duration) []time.Duration {
	step := steps[len(steps)-1]
	for _, s := range steps {
		if longest <= plotTicks*s {
			step = s
			break
		}
	}
	for longest > plotTicks*step && step < math.MaxInt64/(4*plotTicks) {
		step *= 2
	}
	ticks := []time.Duration{0}
	for t := step; ; t += step {
		if ticks = append(ticks, t); t >= longest || len(ticks) > plotTicks {
			return ticks
		}
	}
}

// countStep is a round distance of ticks for counts up to most, of which there
// are at most plotTicks.
func countStep(most int) int {
	for step := 1; ; step *= 10 {
		for _, s := range []int{step, 2 * step, 5 * step} {
			if most/s <= plotTicks || s > math.MaxInt/100 {
				return s
			}
		}
	}
}

// A durationPlot shows how long builds took: a mark a build, oldest first.
type durationPlot struct {
	Height int
	Label  string
	Ticks  []plotTick
	Marks  []plotMark
	Width  float64 // of each mark's share, in percent
	Usual  string  // the median of what succeeded; empty if that is nothing
	Middle float64 // where Usual is
	Builds int
	From   when
	To     when
	Above  int // marks that took longer than the scale tells
}

// outlying times as long as nine in ten builds took is where a scale ends.
const outlying = 3

// A plotMark is a build in a plot.
type plotMark struct {
	Above   bool    // stands at the plot's upper edge, as it took longer
	Left, X float64 // of its share and of its middle, in percent
	Y       float64
	Kind    string
	Path    string
	Title   string
}

// Durations plots builds, which are newest first.
func (d document) Durations(bs []vitrine.Build) durationPlot {
	p := durationPlot{Height: plotHeight, Width: hundredths(100 / float64(max(len(bs), 1)))}
	took := func(b vitrine.Build) time.Duration {
		if b.State == vitrine.Running {
			return max(0, d.Now.Sub(b.StartTime))
		}
		return max(0, b.Duration())
	}
	all := make([]time.Duration, len(bs))
	for i, b := range bs {
		all[i] = took(b)
	}
	slices.Sort(all)
	longest := time.Duration(0)
	if n := len(all); n > 0 {
		longest = all[n-1]
		if most := outlying * all[(n-1)*9/10]; most > 0 {
			longest = min(longest, most) // one that hung would flatten the rest
		}
	}
	scale := durationScale(longest)
	top := float64(scale[len(scale)-1])
	for _, t := range scale {
		p.Ticks = append(p.Ticks, plotTick{place(float64(t), top), tickText(t)})
	}
	for i, b := range bs {
		r := d.Row(b)
		share := 100 / float64(len(bs))
		left := share * float64(len(bs)-1-i)
		above := float64(took(b)) > top
		if above {
			p.Above++
		}
		p.Marks = append(p.Marks, plotMark{
			Above: above,
			Left:  hundredths(left), X: hundredths(left + share/2), Y: place(float64(took(b)), top), Kind: r.Outcome.Kind, Path: r.Path,
			Title: r.Headline() + " · " + moment(b.StartTime),
		})
	}
	slices.Reverse(p.Marks)
	if usual, ok := median(bs); ok {
		p.Usual, p.Middle = duration(usual), place(float64(usual), top)
	}
	if len(bs) > 0 {
		p.From, p.To = d.On(bs[len(bs)-1].StartTime), d.On(bs[0].StartTime)
	}
	p.Label = fmt.Sprintf("How long the last %d builds took, oldest first", len(bs))
	p.Builds = len(bs)
	return p
}

// median is that of the times that the builds which succeeded took, if there are
// any.
func median(bs []vitrine.Build) (time.Duration, bool) {
	var took []time.Duration
	for _, b := range bs {
		if outcomeOf(b).Kind == "ok" {
			took = append(took, b.Duration())
		}
	}
	if len(took) == 0 {
		return 0, false
	}
	slices.Sort(took)
	return took[len(took)/2], true
}

// A tally counts builds by the kind of their outcome.
type tally struct{ OK, Bad, Lost, None int }

func (t *tally) add(kind string, n int) {
	switch kind {
	case "ok":
		t.OK += n
	case "bad":
		t.Bad += n
	case "lost":
		t.Lost += n
	default:
		t.None += n
	}
}

// Ran counts those that ran, to whatever end.
func (t tally) Ran() int { return t.OK + t.Bad + t.Lost }

// All counts all.
func (t tally) All() int { return t.Ran() + t.None }

// Kind is the worst there is: what a day is told by.
func (t tally) Kind() string {
	switch {
	case t.Bad > 0:
		return "bad"
	case t.Lost > 0:
		return "lost"
	case t.OK > 0:
		return "ok"
	}
	return "none"
}

// Words are the tally as a sentence.
func (t tally) Words() string {
	words := ""
	for _, part := range []struct {
		n    int
		word string
	}{{t.OK, "succeeded"}, {t.Bad, "failed"}, {t.Lost, "lost or interrupted"}, {t.None, "skipped or cancelled"}} {
		if part.n > 0 {
			if words != "" {
				words += ", "
			}
			words += count(part.n) + " " + part.word
		}
	}
	if words == "" {
		return "no builds"
	}
	return words
}

// Rate is how many of those that ran succeeded, in percent, or empty if none ran.
// All and none are told by 100 and 0 alone.
func (t tally) Rate() string {
	switch {
	case t.Ran() == 0:
		return ""
	case t.OK > 0 && 100*t.OK < t.Ran():
		return "< 1 %"
	case t.OK == t.Ran():
		return "100 %"
	}
	return strconv.Itoa(min(99, int(math.Round(100*float64(t.OK)/float64(t.Ran()))))) + " %"
}

// tallySince counts the builds of days that are not before since.
func tallySince(days []Day, since time.Time) tally {
	var t tally
	for _, day := range days {
		if !day.Day.Before(since) {
			t.add(kindOf(day.Result), day.Builds)
		}
	}
	return t
}

// kindOf is the kind of outcome of a build that ended with a result.
func kindOf(r vitrine.Result) string {
	if o, ok := outcomes[r]; ok {
		return o.Kind
	}
	return "none"
}

// An outcomePlot shows how builds ended, day by day or week by week: what
// succeeded stands on the line, what did not hangs below it.
type outcomePlot struct {
	Height int
	Label  string
	Unit   string // day or week
	Ticks  []plotTick
	Bars   []outcomeBar
	Width  float64 // of a bar, in percent
	Zero   float64 // where the line is
	From   when
	To     when
}

// An outcomeBar is one day or week.
type outcomeBar struct {
	tally
	First, Last  time.Time // days
	Left, X      float64   // of its share and of the bar, in percent
	OKY, OKH     float64
	BadY, BadH   float64
	LostY, LostH float64
	Path, Title  string
}

// Outcomes plots days, oldest first, from one to another, both included. By weeks
// they are seven days each, of which the last ends with the last day. The filter
// is for the lists that the bars lead to.
func (d document) Outcomes(days []Day, from, to time.Time, weeks bool, filter url.Values) outcomePlot {
	p := outcomePlot{Height: plotHeight, Unit: "day", From: d.On(from), To: d.On(to)}
	length := 1
	if weeks {
		p.Unit, length = "week", 7
	}
	n := max(1, (int(to.Sub(from)/(24*time.Hour))+length)/length)
	p.Bars = make([]outcomeBar, n)
	for i := range p.Bars {
		last := to.AddDate(0, 0, -length*(n-1-i))
		p.Bars[i].First, p.Bars[i].Last = last.AddDate(0, 0, 1-length), last
	}
	for _, day := range days {
		i := n - 1 - int(to.Sub(day.Day)/(24*time.Hour))/length
		if i >= 0 && i < n && !day.Day.After(to) {
			p.Bars[i].add(kindOf(day.Result), day.Builds)
		}
	}
	up, down := 0, 0
	for _, b := range p.Bars {
		up, down = max(up, b.OK), max(down, b.Bad+b.Lost)
	}
	step := countStep(up + down)
	up, down = (up+step-1)/step*step, (down+step-1)/step*step
	if up+down == 0 {
		up = step
	}
	unit := float64(plotHeight-2*plotMargin) / float64(up+down)
	p.Zero = hundredths(plotMargin + unit*float64(up))
	for v := -down; v <= up; v += step {
		p.Ticks = append(p.Ticks, plotTick{hundredths(p.Zero - unit*float64(v)), count(max(v, -v))})
	}
	share := 100 / float64(n)
	p.Width = hundredths(share * 0.8)
	for i := range p.Bars {
		b := &p.Bars[i]
		b.Left, b.X = hundredths(share*float64(i)), hundredths(share*(float64(i)+0.1))
		b.OKH, b.BadH, b.LostH = hundredths(unit*float64(b.OK)), hundredths(unit*float64(b.Bad)), hundredths(unit*float64(b.Lost))
		b.OKY, b.BadY, b.LostY = hundredths(p.Zero-b.OKH), p.Zero, hundredths(p.Zero+b.BadH)
		narrowed := url.Values{"from": {b.First.Format(time.DateOnly)}, "to": {b.Last.Format(time.DateOnly)}}
		for name, values := range filter {
			narrowed[name] = values
		}
		b.Path = BuildsPath(d.Tenant, narrowed)
		b.Title = b.When() + ": " + b.Words()
	}
	p.Label = fmt.Sprintf("How builds ended, %s by %s", p.Unit, p.Unit)
	return p
}

// When is the day of the bar, or the days.
func (b outcomeBar) When() string {
	if b.First.Equal(b.Last) {
		return day(b.First)
	}
	return day(b.First) + " to " + day(b.Last)
}
