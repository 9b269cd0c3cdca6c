package web

import (
	"strconv"
	"strings"

	"vitrine"
)

// An OverviewPage shows all services of a tenant, in the order given: a wall.
type OverviewPage struct {
	Services []ServiceHistory
	// Gone are services of the history that the keyring does not name any more.
	Gone []ServiceHistory
	// Lately counts the builds that ended in the last day.
	Lately Tally
}

// A ServiceHistory is a service with its last builds, newest first.
type ServiceHistory struct {
	Service
	History []vitrine.Build
}

// A Tally counts builds that have ended.
type Tally struct{ Builds, Succeeded int }

func (OverviewPage) template() string  { return "overview" }
func (OverviewPage) section() string   { return "overview" }
func (OverviewPage) title() string     { return "Overview" }
func (OverviewPage) scripts() []string { return []string{"wall.js"} }

// maxTroubled is how many services in trouble the overview names before it counts.
const maxTroubled = 8

// Troubled are the services whose last build that has ended did not succeed. They
// keep their place on the wall: one that people know by heart does not jump.
func (p OverviewPage) Troubled() []ServiceHistory {
	var list []ServiceHistory
	for _, s := range p.Services {
		if s.worry() != "" {
			list = append(list, s)
		}
	}
	return list
}

// worry is the kind of outcome of the service's last build that has ended, if it
// did not succeed.
func (s ServiceHistory) worry() string {
	if b := ended(s.History); b != nil {
		if kind := outcomeOf(*b).Kind; kind != "ok" {
			return kind
		}
	}
	return ""
}

// TroubledKind is the worst of services in trouble.
func (OverviewPage) TroubledKind(list []ServiceHistory) string {
	for _, s := range list {
		if s.worry() == "bad" {
			return "bad"
		}
	}
	return "lost"
}

// Named are those of the troubled that the page names, and Unnamed how many more
// there are.
func (OverviewPage) Named(list []ServiceHistory) []ServiceHistory {
	return list[:min(len(list), maxTroubled)]
}
func (OverviewPage) Unnamed(list []ServiceHistory) int { return max(0, len(list)-maxTroubled) }

// Running is how many builds run now, of those that the page has.
func (p OverviewPage) Running() int {
	n := 0
	for _, s := range p.Services {
		n += s.Running()
	}
	return n
}

// Running is how many of the service's last builds run now.
func (s ServiceHistory) Running() int {
	n := 0
	for _, b := range s.History {
		if b.State == vitrine.Running {
			n++
		}
	}
	return n
}

// What an overview draws is bounded, so that the page stays small however many
// services there are: the id that a linked bar holds does not compress.
const (
	overviewLinks = 600  // bars with a link
	overviewBars  = 4000 // bars without
)

// CardBars is how many builds each of n cards shows.
func CardBars(n int) int { return min(HistoryLength, max(8, overviewBars/max(n, 1))) }

// A card is a service on the wall. Last is nil if it has no builds. Its history is
// a Strip, or where there are many cards a Sketch.
type card struct {
	ServiceHistory
	Path   string
	Worry  string // the kind of the last outcome, if it is a bad one
	Now    *row   // the build that runs after that, while one does
	Last   *row
	Strip  *strip
	Sketch *sketch
}

// Cards are the cards of services.
func (d document) Cards(list []ServiceHistory) []card {
	cards := make([]card, len(list))
	for i, s := range list {
		c := &cards[i]
		c.ServiceHistory, c.Path = s, d.ServicePath(s.Name)
		if len(s.History) > 0 {
			last := d.Row(s.History[0])
			c.Last, c.Worry = &last, s.worry()
			if c.Worry != "" && last.Outcome.Kind == "run" {
				was := d.Row(*ended(s.History))
				c.Now, c.Last = &last, &was
			}
		}
		if len(list)*HistoryLength <= overviewLinks {
			linked := d.strip(s.History, "", HistoryLength)
			c.Strip = &linked
		} else {
			room := CardBars(len(list))
			c.Sketch = bars(s.History, room).sketch(room)
		}
	}
	return cards
}

// A sketch is a strip without links: a path for each kind of outcome.
type sketch struct {
	Label       string
	Left, Width int // of the part of the strip that has room for bars
	Strokes     []stroke
}

type stroke struct{ Kind, Path string }

// sketch draws the strip's bars, of which there are at most room.
func (s strip) sketch(room int) *sketch {
	k := &sketch{Label: s.Label, Left: 7 * (HistoryLength - room), Width: 7 * room}
	for _, kind := range []string{"ok", "bad", "lost", "none", "run"} {
		var path strings.Builder
		for _, b := range s.Bars {
			if b.Kind == kind {
				path.WriteString("M" + strconv.Itoa(b.X) + " " + strconv.Itoa(b.Y) + "h5v" + strconv.Itoa(b.H) + "h-5z")
			}
		}
		if path.Len() > 0 {
			k.Strokes = append(k.Strokes, stroke{kind, path.String()})
		}
	}
	return k
}
