package web

import (
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"
	"time"

	"vitrine"
)

// PlottedBuilds is how many builds a job's page plots; those beyond it are not
// drawn. The first of them are in its list.
const PlottedBuilds = 60

// jobRows is how many builds a job's page lists.
const jobRows = 10

// Query parameters of a job's page.
const (
	ParamBranch = "branch" // that the builds are narrowed to
	ParamPeriod = "period" // empty for [PeriodDays], or [PeriodYear]
)

// PeriodYear is the value of [ParamPeriod] for [YearDays] instead of [PeriodDays].
const PeriodYear = "year"

// How far back a job's page counts builds, in days. A year is whole weeks.
const (
	PeriodDays = 90
	YearDays   = 52 * 7
)

// A JobPage is one job with its last builds, newest first.
type JobPage struct {
	Name    string
	Service *Service // that owns it, or nil
	Builds  []vitrine.Build
	// LastSuccess is the newest build that succeeded, or nil.
	LastSuccess *vitrine.Build
	// Branches are those of its builds; Branch is the one that Builds and
	// LastSuccess are narrowed to, or empty.
	Branches []string
	Branch   string
	// Days count the builds of all branches, oldest first, as far back as Year
	// says: [YearDays], or else [PeriodDays], today included.
	Days []Day
	Year bool
}

func (JobPage) template() string { return "job" }
func (JobPage) section() string  { return "builds" }
func (p JobPage) title() string  { return isolate(cut(p.Name)) }

// filter is what narrows lists, feeds and badges to what the page shows.
func (p JobPage) filter() url.Values {
	q := url.Values{"job_name": {p.Name}}
	if p.Branch != "" {
		q.Set("branch", p.Branch)
	}
	return q
}

// jobView is a job's page with its parameters.
func jobView(tenant, name, branch string, year bool) string {
	q := make(url.Values)
	if branch != "" {
		q.Set(ParamBranch, branch)
	}
	if year {
		q.Set(ParamPeriod, PeriodYear)
	}
	path := JobPath(tenant, name)
	if len(q) > 0 && !strings.Contains(path, "?") {
		path += "?" + q.Encode()
	}
	return path
}

// A choice is one of several views of a page. Current is the value of aria-current.
type choice struct{ Text, Path, Current string }

// BranchChoices are the branches to look at, if there are several.
func (d document) BranchChoices(p JobPage) []choice {
	without := slices.ContainsFunc(p.Builds, func(b vitrine.Build) bool { return b.Ref.Branch == "" })
	if p.Branch == "" && (len(p.Branches) == 0 || len(p.Branches) == 1 && !without) {
		return nil
	}
	branches := p.Branches
	if p.Branch != "" && !slices.Contains(branches, p.Branch) {
		branches = append([]string{p.Branch}, branches...)
	}
	list := []choice{{"all branches", jobView(d.Tenant, p.Name, "", p.Year), current(p.Branch == "")}}
	for _, b := range branches {
		list = append(list, choice{b, jobView(d.Tenant, p.Name, b, p.Year), current(p.Branch == b)})
	}
	return list
}

// PeriodChoices are how far back to look.
func (d document) PeriodChoices(p JobPage) []choice {
	return []choice{
		{fmt.Sprintf("%d days", PeriodDays), jobView(d.Tenant, p.Name, p.Branch, false), current(!p.Year)},
		{"a year", jobView(d.Tenant, p.Name, p.Branch, true), current(p.Year)},
	}
}

func current(is bool) string {
	if is {
		return "true"
	}
	return ""
}

// tally counts the page's builds that have ended.
func (p JobPage) tally() tally {
	var t tally
	for _, b := range p.Builds {
		if k := outcomeOf(b).Kind; k != "run" {
			t.add(k, 1)
		}
	}
	return t
}

// ended is the newest of builds that has, or nil.
func ended(builds []vitrine.Build) *vitrine.Build {
	for i := range builds {
		if k := outcomeOf(builds[i]).Kind; k != "run" && k != "none" {
			return &builds[i]
		}
	}
	return nil
}

// Sentence is how the job does, without its stop: its last end first, then how
// often it ends well.
func (d document) Sentence(p JobPage) string {
	rate := p.rate()
	last := ended(p.Builds)
	if last == nil {
		return rate
	}
	at := last.EndTime
	if at.IsZero() {
		at = last.StartTime
	}
	when := ago(d.Now, at)
	if when == day(at) {
		when = "on " + when
	}
	return outcomeOf(*last).Word + " " + when + "; " + strings.ToLower(rate[:1]) + rate[1:]
}

// Succeeded is the last success, if it is not the page's newest build.
func (p JobPage) Succeeded() *vitrine.Build {
	if p.LastSuccess == nil || len(p.Builds) > 0 && p.LastSuccess.UUID == p.Builds[0].UUID {
		return nil
	}
	return p.LastSuccess
}

// rate is how often the job succeeds.
func (p JobPage) rate() string {
	t := p.tally()
	if p.Branch == "" {
		if days := sum(p.Days); days.Ran() > t.Ran() {
			t = days
		}
	}
	switch {
	case len(p.Builds) == 0:
		return "No builds yet"
	case t.Ran() == 0 && t.None > 0:
		return "Never ran to an end"
	case t.Ran() == 0:
		return "Runs for the first time"
	case t.Ran() == 1:
		return "Its first build"
	case t.OK == 0:
		return fmt.Sprintf("None of its last %s builds succeeded", count(t.Ran()))
	case t.OK == t.Ran():
		return "Succeeds every time"
	}
	return "Succeeds " + t.Rate() + " of the time"
}

func sum(days []Day) tally { return tallySince(days, time.Time{}) }

// A figure is a number that a page tells at its top. Of is what it was taken from.
type figure struct{ Name, Value, Of string }

// JobFigures are how the job does, in numbers.
func (d document) JobFigures(p JobPage) []figure {
	var list []figure
	add := func(name string, t tally) {
		if t.Ran() > 0 {
			list = append(list, figure{name, t.Rate(), "of " + count(t.Ran())})
		}
	}
	if p.Branch == "" {
		month, quarter := d.tallyDays(p.Days, 30), d.tallyDays(p.Days, PeriodDays)
		if month.Ran() < quarter.Ran() { // or both say the same
			add("Succeeded in 30 days", month)
		}
		add(fmt.Sprintf("Succeeded in %d days", PeriodDays), quarter)
	} else if last := p.tally(); last.All() > 1 {
		add(fmt.Sprintf("Succeeded of the last %d builds", last.All()), last)
	}
	if usual, ok := median(p.Builds); ok {
		list = append(list, figure{"Usually takes", duration(usual), ""})
	}
	return list
}

// tallyDays counts the last n days, today included.
func (d document) tallyDays(days []Day, n int) tally {
	return tallySince(days, d.today().AddDate(0, 0, 1-n))
}

func (d document) today() time.Time { return d.Now.UTC().Truncate(24 * time.Hour) }

// JobOutcomes plots the page's days.
func (d document) JobOutcomes(p JobPage) outcomePlot {
	n := PeriodDays
	if p.Year {
		n = YearDays
	}
	return d.Outcomes(p.Days, d.today().AddDate(0, 0, 1-n), d.today(), p.Year, url.Values{"job_name": {p.Name}})
}

// JobBuilds is the list of the page's builds.
func (d document) JobBuilds(p JobPage) string { return BuildsPath(d.Tenant, p.filter()) }

// Last are the builds that the page lists.
func (p JobPage) Last() []vitrine.Build { return p.Builds[:min(len(p.Builds), jobRows)] }

// A sharing is how others show, follow and link to the builds of something.
type sharing struct {
	Badge, Latest, LatestSuccess, Atom, JSON string // paths
	Markdown, HTML                           string // to embed the badge
	Alt                                      string // of the badge
}

// markdown escapes HTML for Markdown, where a name may be anything.
var markdown = strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, "`", "\\`", "*", `\*`, "_", `\_`, "\n", " ")

// ShareJob is how to share a job's builds.
func (d document) ShareJob(p JobPage) sharing {
	return d.share(p.Name, p.filter(), jobView(d.Tenant, p.Name, p.Branch, false))
}

// ShareService is how to share a service's builds.
func (d document) ShareService(name string) sharing {
	return d.share(name, url.Values{"service": {name}}, d.ServicePath(name))
}

func (d document) share(name string, filter url.Values, page string) sharing {
	s := sharing{
		Badge: BadgePath(d.Tenant, filter), Latest: LatestPath(d.Tenant, filter), LatestSuccess: LatestSuccessPath(d.Tenant, filter),
		Atom: FeedPath(d.Tenant, "atom", filter), JSON: FeedPath(d.Tenant, "json", filter),
	}
	badge, page := d.PublicURL+s.Badge, d.PublicURL+page
	s.Alt = "last build of " + cut(name)
	// Paths are escaped, so that neither can end early in Markdown.
	s.Markdown = fmt.Sprintf("[![%s](%s)](%s)", markdown.Replace(html.EscapeString(s.Alt)), badge, page)
	s.HTML = fmt.Sprintf(`<a href="%s"><img src="%s" alt="%s"></a>`, html.EscapeString(page), html.EscapeString(badge), html.EscapeString(s.Alt))
	return s
}
