package web

import (
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"vitrine"
)

func TestDurationScale(t *testing.T) {
	for longest, want := range map[time.Duration]string{
		0:                           "0 s, 1 s",
		time.Second:                 "0 s, 1 s",
		48 * time.Second:            "0 s, 10 s, 20 s, 30 s, 40 s, 50 s",
		3*time.Minute + time.Second: "0 s, 1 min, 2 min, 3 min, 4 min",
		100 * time.Second:           "0 s, 30 s, 1 min, 1 min 30 s, 2 min",
		80 * time.Minute:            "0 s, 30 min, 1 h, 1 h 30 min",
		11 * time.Hour:              "0 s, 3 h, 6 h, 9 h, 12 h",
		80 * 24 * time.Hour:         "0 s, 16 d, 32 d, 48 d, 64 d, 80 d",
	} {
		var words []string
		for _, d := range durationScale(longest) {
			words = append(words, tickText(d))
		}
		if got := strings.Join(words, ", "); got != want {
			t.Errorf("%v: %s, want %s", longest, got, want)
		}
	}
	for _, longest := range []time.Duration{-time.Hour, math.MaxInt64, math.MaxInt64 / 2} {
		if n := len(durationScale(longest)); n < 2 || n > plotTicks+2 {
			t.Errorf("%v: %d ticks", longest, n)
		}
	}
}

func TestCountStep(t *testing.T) {
	for most, want := range map[int]int{0: 1, 1: 1, 5: 1, 6: 2, 11: 2, 12: 5, 99: 20, 1000: 200, 12345: 5000, math.MaxInt: 0} {
		if got := countStep(most); got != want && want != 0 || got < 1 {
			t.Errorf("%d: %d, want %d", most, got, want)
		}
	}
}

// Whatever the builds are, each has its mark within the plot.
func TestDurationsStayInside(t *testing.T) {
	d := document{Layout: testLayout}
	equal := []vitrine.Build{testBuild(1, vitrine.Success, time.Hour, time.Minute), testBuild(2, vitrine.Success, 2*time.Hour, time.Minute)}
	backwards := testBuild(3, vitrine.Failure, time.Hour, -time.Hour)
	future := testState(4, vitrine.Running)
	future.StartTime = testNow.Add(time.Hour)
	for name, builds := range map[string][]vitrine.Build{
		"none": nil, "one": equal[:1], "equal": equal, "no time": {testBuild(5, vitrine.Success, time.Hour, 0)},
		"ends before it starts": {backwards}, "starts later": {future, testState(6, vitrine.Lost)},
		"a century": {testBuild(7, vitrine.Success, time.Hour, 100*365*24*time.Hour)},
	} {
		p := d.Durations(builds)
		if len(p.Marks) != len(builds) || len(p.Ticks) < 2 {
			t.Errorf("%s: %d marks, %d ticks", name, len(p.Marks), len(p.Ticks))
		}
		for _, m := range p.Marks {
			if !(m.Y >= plotMargin && m.Y <= plotHeight-plotMargin && m.X >= 0 && m.X <= 100) || m.Title == "" || m.Path == "" {
				t.Errorf("%s: mark %+v", name, m)
			}
		}
		if (p.Usual != "") != (len(builds) > 0 && outcomeOf(builds[0]).Kind == "ok") {
			t.Errorf("%s: usually %q", name, p.Usual)
		}
	}
	if p := d.Durations(equal); p.Marks[0].Path != BuildPath("opendev", equal[1].UUID) || p.Marks[0].X >= p.Marks[1].X {
		t.Errorf("the oldest is not the first: %+v", p.Marks)
	}
}

func TestOutcomes(t *testing.T) {
	d := document{Layout: testLayout}
	today := testNow.Truncate(24 * time.Hour)
	days := []Day{
		{today.AddDate(0, 0, -100), vitrine.Success, 99, 0}, // too early
		{today.AddDate(0, 0, -6), vitrine.Success, 4, 0},
		{today, vitrine.Success, 2, 0}, {today, vitrine.Failure, 3, 0}, {today, vitrine.LostResult, 1, 0}, {today, "SKIPPED", 5, 0},
		{today.AddDate(0, 0, 1), vitrine.Failure, 99, 0}, // tomorrow
	}
	filter := url.Values{"job_name": {"a&b"}}
	p := d.Outcomes(days, today.AddDate(0, 0, -6), today, false, filter)
	last := p.Bars[len(p.Bars)-1]
	if len(p.Bars) != 7 || p.Bars[0].OK != 4 || p.Bars[1].All() != 0 || last.tally != (tally{2, 3, 1, 5}) {
		t.Errorf("days: %+v", p.Bars)
	}
	if last.OKY+last.OKH != p.Zero || last.BadY != p.Zero || last.LostY <= last.BadY || last.LostY+last.LostH > plotHeight {
		t.Errorf("the line is at %v: %+v", p.Zero, last)
	}
	if want := "/t/opendev/builds?from=2026-11-22&job_name=a%26b&to=2026-11-22"; last.Path != want {
		t.Errorf("path %s, want %s", last.Path, want)
	}
	if want := "22 Nov 2026: 2 succeeded, 3 failed, 1 lost or interrupted, 5 skipped or cancelled"; last.Title != want {
		t.Errorf("title %s, want %s", last.Title, want)
	}
	weeks := d.Outcomes(days, today.AddDate(0, 0, 1-YearDays), today, true, filter)
	last = weeks.Bars[len(weeks.Bars)-1]
	if len(weeks.Bars) != 52 || last.OK != 6 || last.When() != "16 Nov 2026 to 22 Nov 2026" || weeks.Bars[0].First != today.AddDate(0, 0, 1-YearDays) {
		t.Errorf("weeks: %d, %+v", len(weeks.Bars), last)
	}
	for _, bar := range d.Outcomes(nil, today, today, false, nil).Bars {
		if bar.All() != 0 || math.IsNaN(bar.OKY) {
			t.Errorf("without builds: %+v", bar)
		}
	}
}

func TestRate(t *testing.T) {
	for _, tt := range []struct {
		tally tally
		want  string
	}{
		{tally{}, ""}, {tally{None: 3}, ""}, {tally{OK: 1}, "100 %"}, {tally{Bad: 2}, "0 %"}, {tally{OK: 999, Bad: 1}, "99 %"},
		{tally{OK: 1, Lost: 999}, "< 1 %"}, {tally{OK: 2, Bad: 1, None: 9}, "67 %"}, {tally{OK: 30, Bad: 2}, "94 %"},
	} {
		if got := tt.tally.Rate(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.tally, got, tt.want)
		}
	}
}

func TestSentenceOfJob(t *testing.T) {
	build := func(r vitrine.Result) vitrine.Build { return testBuild(1, r, time.Hour, 3*time.Minute) }
	many := func(n int, r vitrine.Result) (bs []vitrine.Build) {
		for range n {
			bs = append(bs, build(r))
		}
		return bs
	}
	d := document{Layout: testLayout}
	for _, tt := range []struct {
		page JobPage
		want string
	}{
		{JobPage{}, "No builds yet"},
		{JobPage{Builds: []vitrine.Build{testState(1, vitrine.Running)}}, "Runs for the first time"},
		{JobPage{Builds: many(2, "SKIPPED")}, "Never ran to an end"},
		{JobPage{Builds: many(1, vitrine.Success)}, "Succeeded 57 min ago; its first build"},
		{JobPage{Builds: many(1, vitrine.Failure)}, "Failed 57 min ago; its first build"},
		{JobPage{Builds: many(3, vitrine.Failure)}, "Failed 57 min ago; none of its last 3 builds succeeded"},
		{JobPage{Builds: many(3, vitrine.Success)}, "Succeeded 57 min ago; succeeds every time"},
		{JobPage{Builds: append(many(3, vitrine.Success), build(vitrine.TimedOut))}, "Succeeded 57 min ago; succeeds 75 % of the time"},
		// More is known of the days than of the builds; but not for a branch.
		{JobPage{Builds: many(3, vitrine.Success), Days: []Day{{testNow, vitrine.Success, 99, 0}, {testNow, vitrine.Failure, 1, 0}}}, "Succeeded 57 min ago; succeeds 99 % of the time"},
		{JobPage{Builds: many(3, vitrine.Success), Branch: "x", Days: []Day{{testNow, vitrine.Failure, 99, 0}}}, "Succeeded 57 min ago; succeeds every time"},
	} {
		if got := d.Sentence(tt.page); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestCalendar(t *testing.T) {
	d := document{Layout: testLayout}
	for month, want := range map[string]struct {
		weeks, column int // of the 1st, from Monday
		next          bool
	}{"2026-11": {6, 6, false}, "2026-02": {5, 6, true}, "2027-02": {4, 0, false}, "2024-02": {5, 3, true}} {
		at, _ := time.Parse(MonthFormat, month)
		c := d.Calendar(ServicePage{Service: Service{Name: "x"}, Month: at})
		if len(c.Weeks) != want.weeks || c.Weeks[0][want.column].Number != 1 || (c.Next != "") != want.next {
			t.Errorf("%s: %d weeks, %+v, next %q", month, len(c.Weeks), c.Weeks[0], c.Next)
		}
	}
	p := ServicePage{Service: Service{Name: "x"}, Month: testNow, MonthDays: []Day{
		{time.Date(2026, 10, 31, 0, 0, 0, 0, time.UTC), vitrine.Success, 7, 0}, {time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), vitrine.Success, 7, 0},
		{time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), vitrine.Success, 2, 0}, {time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), vitrine.Failure, 1, 0},
	}}
	c := d.Calendar(p)
	sunday := c.Weeks[3][6]
	if c.All() != 3 || sunday.All() != 3 || sunday.Kind() != "bad" || !sunday.Today || sunday.Path != "/t/opendev/builds?from=2026-11-22&service=x&to=2026-11-22" {
		t.Errorf("%+v in %+v", sunday, c.tally)
	}
}

func TestFrequency(t *testing.T) {
	for _, tt := range []struct {
		n, days int
		want    string
	}{{142, 30, "4.7 a day"}, {30, 30, "1 a day"}, {10, 30, "2.3 a week"}, {2, 90, "0.7 a month"}} {
		if got := frequency(tt.n, tt.days, frequencyUnit(tt.n, tt.days)); got != tt.want {
			t.Errorf("%d in %d: %s, want %s", tt.n, tt.days, got, tt.want)
		}
	}
}

// A snippet is the same page's link in both languages, and no name ends it early.
func TestShare(t *testing.T) {
	d := document{Layout: testLayout}
	s := d.ShareJob(JobPage{Name: `a&copy)]"<b>`, Branch: "x y"})
	if strings.ContainsAny(strings.Trim(s.Markdown, "[]()!"), `"<>`) || strings.Count(s.Markdown, "](") != 2 {
		t.Errorf("Markdown %s", s.Markdown)
	}
	if strings.Contains(s.HTML, "a&copy") || strings.Count(s.HTML, `"`) != 6 || strings.Count(s.HTML, "<") != 3 {
		t.Errorf("HTML %s", s.HTML)
	}
	for _, part := range []string{"https://logs.example.org/t/opendev/job/a&copy%29%5D%22%3Cb%3E?branch=x+y", "https://logs.example.org/t/opendev/badge.svg?branch=x+y&job_name="} {
		if !strings.Contains(s.Markdown, part) {
			t.Errorf("Markdown %s lacks %s", s.Markdown, part)
		}
	}
}

// The wall names those in trouble by their last build that has ended, and keeps
// its order.
func TestTroubled(t *testing.T) {
	bad, good := testBuild(1, vitrine.Failure, time.Hour, time.Minute), testBuild(2, vitrine.Success, time.Hour, time.Minute)
	running, skipped := testState(3, vitrine.Running), testBuild(4, "SKIPPED", time.Hour, 0)
	p := OverviewPage{}
	for name, history := range map[string][]vitrine.Build{
		"fails": {bad, good}, "good": {good, bad}, "tries": {running, skipped, bad, good}, "new": nil, "runs": {running}, "lost": {testState(5, vitrine.Lost)},
	} {
		p.Services = append(p.Services, ServiceHistory{Service{Name: name}, history})
	}
	var names []string
	for _, s := range p.Troubled() {
		names = append(names, s.Name)
	}
	for _, name := range []string{"fails", "tries", "lost"} {
		if !strings.Contains(strings.Join(names, " "), name) {
			t.Errorf("%s is not in trouble: %v", name, names)
		}
	}
	if len(names) != 3 || p.Running() != 2 {
		t.Errorf("in trouble: %v; %d running", names, p.Running())
	}
}

// One build that hung does not flatten the others: it stands at the edge, marked.
func TestOutlier(t *testing.T) {
	d := document{Layout: testLayout}
	var builds []vitrine.Build
	for i := range 20 {
		builds = append(builds, testBuild(i+1, vitrine.Success, time.Duration(i+1)*time.Hour, 3*time.Minute))
	}
	builds[7] = testBuild(99, vitrine.TimedOut, 7*time.Hour, 5*time.Hour)
	p := d.Durations(builds)
	if p.Above != 1 || !p.Marks[len(p.Marks)-1-7].Above || p.Marks[0].Y > plotHeight*7/8 || p.Ticks[len(p.Ticks)-1].Text == "5 h" {
		t.Errorf("%d above, the first mark at %g, ticks %+v", p.Above, p.Marks[0].Y, p.Ticks)
	}
}
