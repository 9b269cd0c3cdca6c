package web

import "vitrine"

// A ServicePage is one service.
type ServicePage struct {
	Service Service
	Jobs    []JobHistory
	// Builds are the last [HistoryLength] of all jobs, newest first: all are in
	// the strip, the first ones in the list.
	Builds  []vitrine.Build
	Keyring vitrine.Keyring
}

// A JobHistory is a job with its last builds, newest first.
type JobHistory struct {
	Name    string
	History []vitrine.Build
}

func (ServicePage) template() string { return "service" }
func (ServicePage) section() string  { return "overview" }
func (p ServicePage) title() string  { return p.Service.Name }

// Last are the builds that the page lists.
func (p ServicePage) Last() []vitrine.Build { return p.Builds[:min(len(p.Builds), 10)] }
