package web

import (
	"time"

	"vitrine"
)

// historyPages are the pages of jobs and services and the wall, in every state
// that has its own words. history is builds of testService, newest first.
func historyPages(history []vitrine.Build) map[string]Page {
	service := testService()
	other := testBuild(9, vitrine.Success, 3*time.Hour, 7*time.Minute)
	other.Ref.Branch = "stable/2026.1"
	good := testBuild(10, vitrine.Success, 50*time.Hour, 3*time.Minute)
	job := JobPage{
		Name: "infra-prod-service-codesearch", Service: &service, Builds: append(append([]vitrine.Build{}, history...), other),
		LastSuccess: &history[1], Branches: []string{"master", "stable/2026.1"}, Days: testDays(),
	}
	year, branch := job, job
	year.Year = true
	branch.Branch, branch.Builds, branch.LastSuccess = "stable/2026.1", []vitrine.Build{other}, &other
	commit := func(n string) string { return n + "1d09e0f1d09e0f1d09e0f1d09e0f1d09e0f1d09e" }
	ago := func(days int) time.Time { return testNow.AddDate(0, 0, -days) }
	removed := Service{Name: "etherpad"}
	troubled := make([]ServiceHistory, 0, 12)
	for i := range 12 {
		s := ServiceHistory{Service: service, History: history[2:3]}
		s.Name = "svc-" + string(rune('a'+i))
		troubled = append(troubled, s)
	}
	return map[string]Page{
		"overview": OverviewPage{
			Services: []ServiceHistory{{Service: service, History: history}, {Service: Service{Name: "wiki"}}},
			Gone:     []ServiceHistory{{Service: removed, History: []vitrine.Build{good}}},
			Lately:   Tally{31, 29},
		},
		"overview-empty":   OverviewPage{},
		"overview-trouble": OverviewPage{Services: troubled},
		"overview-many":    OverviewPage{Services: append(append([]ServiceHistory{{Service: service, History: history}}, troubled...), troubled...)},
		"service": ServicePage{
			Service: service, Builds: history, Keyring: vitrine.Keyring{Commit: commit("c4"), URL: "https://opendev.org/opendev/system-config.git"},
			Jobs:  []JobHistory{{Name: "infra-prod-service-codesearch", History: history}, {Name: "infra-prod-codesearch-new"}},
			Month: testNow, Days: testDays(), MonthDays: testDays()[2:], ChangesRead: true,
			Changes: []Change{
				{Kind: "joined", Commit: commit("c4"), Time: ago(2), Person: "erin", Through: []string{"infra-root", "search"}},
				{Kind: "left", Commit: commit("c4"), Time: ago(2), Person: "bob", Through: []string{"infra-root"}},
				{Kind: "left", Commit: commit("c4"), Time: ago(2), Person: "dave"},
				{Kind: "unusable", Commit: commit("c3"), Time: ago(3)},
				{Kind: "keys", Commit: commit("c2"), Time: ago(40), Person: "alice", NewKeys: []string{"SHA256:newnewnewnewnewnewnewnewnew"}, OldKeys: []string{"SHA256:old"}},
				{Kind: "keys", Commit: commit("c2"), Time: ago(40), Person: "bob", OldKeys: []string{"SHA256:old"}},
				{Kind: "joined", Commit: commit("c1"), Time: ago(90), Person: "alice"},
				{Kind: "added", Commit: commit("c1"), Time: ago(90)},
			},
		},
		"service-empty": ServicePage{Service: Service{Name: "wiki", Jobs: []string{"wiki"}, HidesNames: true, PublicRecap: true, PublicNames: []string{"*.log"}, Class: "private"}, Month: ago(60), ChangesRead: true},
		"service-gone": ServicePage{
			Service: removed, Builds: []vitrine.Build{good}, Month: testNow, Jobs: []JobHistory{{Name: "deploy-etherpad", History: []vitrine.Build{good}}},
			ChangesRead: true, Changes: []Change{{Kind: "removed", Commit: commit("c1"), Time: ago(9)}, {Kind: "beginning", Commit: commit("c0"), Time: ago(99)}},
		},
		"service-reading": ServicePage{Service: service, Month: testNow},
		"job":             job,
		"job-year":        year,
		"job-branch":      branch,
		"job-once":        JobPage{Name: "tox-py312", Builds: []vitrine.Build{good}, LastSuccess: &good, Days: []Day{{testNow.Truncate(24*time.Hour).AddDate(0, 0, -2), vitrine.Success, 1, 3 * time.Minute}}},
		"job-empty":       JobPage{Name: ".."},
	}
}

// testDays are days of the last three months with results of all kinds.
func testDays() []Day {
	var days []Day
	today := testNow.Truncate(24 * time.Hour)
	for i := 88; i >= 0; i -= 11 {
		days = append(days, Day{today.AddDate(0, 0, -i), vitrine.Success, 3 + i%4, time.Hour})
		if i%3 == 0 {
			days = append(days, Day{today.AddDate(0, 0, -i), vitrine.Failure, 1 + i%2, time.Minute})
		}
	}
	return append(days, Day{today, vitrine.LostResult, 1, 0}, Day{today, "SKIPPED", 4, 0})
}
