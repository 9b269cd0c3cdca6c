package web

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"vitrine"
)

// ParamMonth is the query parameter of a service's page that says which month its
// calendar shows: 2026-11.
const ParamMonth = "month"

// MonthFormat is the layout of [ParamMonth].
const MonthFormat = "2006-01"

// A ServicePage is one service.
type ServicePage struct {
	Service Service
	Jobs    []JobHistory
	// Builds are the last [HistoryLength] of all jobs, newest first: all are in
	// the strip, the first ones in the list.
	Builds  []vitrine.Build
	Keyring vitrine.Keyring
	// Days count the builds of the last [PeriodDays], today included, and
	// MonthDays those of the month that begins with Month; oldest first.
	Days, MonthDays []Day
	Month           time.Time
	// Changes say who joined and left, newest first. ChangesRead is false while
	// the keyring's history is being read.
	Changes     []Change
	ChangesRead bool
}

// A Change is one thing that a commit of the keyring did to who can read a
// service's logs. Kind is a word of package keyring: joined, left, keys, added,
// removed, unusable, beginning.
type Change struct {
	Kind             string
	Commit           string
	Time             time.Time
	Person           string
	Through          []string // groups
	NewKeys, OldKeys []string // fingerprints
}

// A JobHistory is a job with its last builds, newest first.
type JobHistory struct {
	Name    string
	History []vitrine.Build
}

// A service's page shows the last [JobBars] builds of [ListedJobs] of its jobs,
// and names maxOthers more: each build that it draws has to be read.
const ListedJobs, JobBars, maxOthers = 16, 16, 60

// A jobLine is a job in the list of a service's page. Last is nil if it has no
// builds.
type jobLine struct {
	Name   string
	Last   *row
	Sketch *sketch
}

// jobLines are the jobs of a page: those that ran last with their history, by name,
// the names of Others, and how many More there are.
type jobLines struct {
	Lines  []jobLine
	Others []string
	More   int
}

// JobLines are the page's jobs.
func (d document) JobLines(p ServicePage) jobLines {
	var list jobLines
	began := func(j JobHistory) (t time.Time) {
		if len(j.History) > 0 {
			t = j.History[0].StartTime
		}
		return t
	}
	shown := slices.Clone(p.Jobs)
	if len(shown) > ListedJobs {
		slices.SortStableFunc(shown, func(a, b JobHistory) int { return began(b).Compare(began(a)) })
		for _, j := range shown[ListedJobs:] {
			list.Others = append(list.Others, j.Name)
		}
		slices.Sort(list.Others)
		list.More = max(0, len(list.Others)-maxOthers)
		list.Others = list.Others[:len(list.Others)-list.More]
		shown = shown[:ListedJobs]
		slices.SortFunc(shown, func(a, b JobHistory) int { return strings.Compare(a.Name, b.Name) })
	}
	for _, j := range shown {
		l := jobLine{Name: j.Name, Sketch: bars(j.History, JobBars).sketch(JobBars)}
		if len(j.History) > 0 {
			last := d.Row(j.History[0])
			l.Last = &last
		}
		list.Lines = append(list.Lines, l)
	}
	return list
}

func (ServicePage) template() string { return "service" }
func (ServicePage) section() string  { return "overview" }
func (p ServicePage) title() string  { return p.Service.Name }

// Last are the builds that the page lists.
func (p ServicePage) Last() []vitrine.Build { return p.Builds[:min(len(p.Builds), 10)] }

// ServiceFigures are how the service does, in numbers.
func (d document) ServiceFigures(p ServicePage) []figure {
	var list []figure
	unit := frequencyUnit(d.tallyDays(p.Days, PeriodDays).Ran(), PeriodDays) // one, to compare by
	for _, n := range []int{30, PeriodDays} {
		t := d.tallyDays(p.Days, n)
		if t.Ran() == 0 {
			continue
		}
		list = append(list,
			figure{fmt.Sprintf("Builds in %d days", n), count(t.Ran()), frequency(t.Ran(), n, unit)},
			figure{fmt.Sprintf("Succeeded in %d days", n), t.Rate(), "of " + count(t.Ran())})
	}
	return list
}

// frequencyUnit is the unit that people tell n builds in some days by.
func frequencyUnit(n, days int) string {
	switch {
	case n >= days:
		return "day"
	case 7*n >= days:
		return "week"
	}
	return "month"
}

// frequency is n builds in some days, by a unit.
func frequency(n, days int, unit string) string {
	length := map[string]int{"day": 1, "week": 7, "month": 30}[unit]
	f := float64(n) * float64(length) / float64(days)
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " a " + unit
}

// A calendar is a month of builds, weeks from Monday.
type calendar struct {
	Month          string // November 2026
	Weeks          [][7]calendarDay
	Previous, Next string // paths; empty where there is nothing to see
	tally                 // of the month
}

// A calendarDay is one day; its Number is 0 if it is of another month.
type calendarDay struct {
	tally
	Number      int
	Path, Title string
	Today       bool
	Future      bool
}

// Weekdays are the columns of a calendar.
func (document) Weekdays() []string {
	return []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
}

// Calendar is the page's month.
func (d document) Calendar(p ServicePage) calendar {
	first := time.Date(p.Month.UTC().Year(), p.Month.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	next := first.AddDate(0, 1, 0)
	c := calendar{Month: first.Format("January 2006"), Previous: ServiceMonthPath(d.Tenant, p.Service.Name, first.AddDate(0, -1, 0))}
	if !next.After(d.Now) {
		c.Next = ServiceMonthPath(d.Tenant, p.Service.Name, next)
	}
	before := (int(first.Weekday()) + 6) % 7 // days of the first week that are not of the month
	length := int(next.Sub(first) / (24 * time.Hour))
	c.Weeks = make([][7]calendarDay, (before+length+6)/7)
	for i := range length {
		at := first.AddDate(0, 0, i)
		cell := &c.Weeks[(before+i)/7][(before+i)%7]
		cell.Number, cell.Today = i+1, at.Equal(d.today())
		cell.Future = at.After(d.today())
	}
	for _, day := range p.MonthDays {
		if i := int(day.Day.Sub(first) / (24 * time.Hour)); i >= 0 && i < length && !day.Day.Before(first) {
			c.Weeks[(before+i)/7][(before+i)%7].add(kindOf(day.Result), day.Builds)
			c.add(kindOf(day.Result), day.Builds)
		}
	}
	for w := range c.Weeks {
		for i := range c.Weeks[w] {
			cell := &c.Weeks[w][i]
			if cell.All() == 0 {
				continue
			}
			at := first.AddDate(0, 0, cell.Number-1)
			on := at.Format(time.DateOnly)
			cell.Path = BuildsPath(d.Tenant, url.Values{"service": {p.Service.Name}, "from": {on}, "to": {on}})
			cell.Title = day(at) + ": " + cell.Words()
		}
	}
	return c
}

// ServiceMonthPath is the page of a service with the calendar of a month.
func ServiceMonthPath(tenant, name string, month time.Time) string {
	return ServicePath(tenant, name) + "?" + url.Values{ParamMonth: {month.Format(MonthFormat)}}.Encode()
}

// A step is what one commit of the keyring changed for the service.
type step struct {
	Commit, Link string // Link is empty where no forge is known to have the commit
	On           when
	Changes      []Change
}

// Steps are the page's changes by commit.
func (d document) Steps(p ServicePage) []step {
	var list []step
	for _, c := range p.Changes {
		if n := len(list); n == 0 || list[n-1].Commit != c.Commit {
			list = append(list, step{Commit: c.Commit, Link: commitLink(p.Keyring.URL, c.Commit), On: d.On(c.Time)})
		}
		last := &list[len(list)-1]
		last.Changes = append(last.Changes, c)
	}
	return list
}
