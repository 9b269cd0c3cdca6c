package web

import "vitrine"

// An OverviewPage shows all services of a tenant, in the order given.
type OverviewPage struct {
	Services []ServiceHistory
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

func (OverviewPage) template() string { return "overview" }
func (OverviewPage) section() string  { return "overview" }
func (OverviewPage) title() string    { return "Overview" }

// overviewBars bounds the bars of an overview: each holds an id that does not
// compress, and a page should stay small however many services there are.
const overviewBars = 600

// CardStrip is the strip of one of n cards.
func (d document) CardStrip(history []vitrine.Build, n int) strip {
	return d.strip(history, "", min(HistoryLength, max(8, overviewBars/max(n, 1))))
}
