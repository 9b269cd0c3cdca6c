package web

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"vitrine"
	"vitrine/ansible"
)

var testNow = time.Date(2026, 11, 22, 2, 16, 40, 0, time.UTC)

var testLayout = Layout{Tenant: "opendev", Now: testNow, PublicURL: "https://logs.example.org"}

// testBuild is a build that began the given time before testNow.
func testBuild(n int, result vitrine.Result, before, took time.Duration) vitrine.Build {
	b := vitrine.Build{State: vitrine.Finished, Sealed: 2, Public: 1}
	b.Tenant, b.Service, b.JobName = "opendev", "codesearch", "infra-prod-service-codesearch"
	b.UUID = strings.Repeat("0123456789abcdef"[n%16:n%16+1], 30) + "0123456789abcdef"[n/16%16:n/16%16+1] + "e"
	b.Buildset = strings.Repeat("7a", 16)
	b.Result, b.Voting, b.Pipeline = result, true, "deploy"
	b.Ref = vitrine.Ref{
		Project: "opendev/system-config", Branch: "master", Change: 894201, Patchset: "3",
		NewRev: strings.Repeat("9b1f", 10), RefURL: "https://review.example.org/c/894201",
	}
	b.StartTime = testNow.Add(-before)
	b.EndTime = b.StartTime.Add(took)
	b.Keyring = vitrine.Keyring{Commit: strings.Repeat("c41d", 10), URL: "https://git.example.org/keyring"}
	b.Publisher = "bridge"
	b.Expires = time.Date(2027, 5, 21, 0, 0, 0, 0, time.UTC)
	return b
}

func testState(n int, s vitrine.State) vitrine.Build {
	b := testBuild(n, "", 72*time.Second, 0)
	b.State, b.EndTime, b.Sealed, b.Public = s, time.Time{}, 0, 0
	return b
}

func testService() Service {
	return Service{
		Name: "codesearch", Description: "Code search over every repository", URL: "https://codesearch.example.org",
		Jobs: []string{"infra-prod-service-codesearch", "infra-prod-codesearch-*"},
		Readers: []Person{
			{Name: "alice", Keys: []Key{{Kind: "age", Fingerprint: "age1tg0rmn4kz6yh0y2jx6d8hhg8p6f0txcl9u3k0yrk5y8xkqw8u5rstfhxh"}}},
			{Name: "erin", Groups: []string{"infra-root"}, Problem: "key expired 2026-10-01", Keys: []Key{{Kind: "ssh-rsa", Fingerprint: "SHA256:short", Expires: testNow}}},
		},
		Publishers: []Person{{Name: "bridge"}}, Public: []string{"screenshots/**.png"},
		Retention: 180 * 24 * time.Hour, MinReaders: 2, Class: "classic",
	}
}

// testPages is every kind of page, in every state that has its own words. Each
// call makes them anew, so that a test may change them.
func testPages() map[string]Page {
	b := testBuild(1, vitrine.Success, 331*time.Second, 202*time.Second)
	b.Artifacts = []vitrine.Artifact{
		{Path: "service-codesearch.yaml.log.zst.age", Sealed: true, Size: 48213, PlainSize: 611204, Lines: 8122},
		{Path: "screenshots/search.png", Size: 212000, PlainSize: 212000, MediaType: "image/png"},
		{Path: "report.svg", Size: 999, PlainSize: 999, MediaType: "image/svg+xml"},
	}
	b.Readers = []vitrine.Reader{{Name: "alice", Fingerprints: []string{testService().Readers[0].Keys[0].Fingerprint}}}
	b.SkippedReaders = []vitrine.SkippedReader{{Name: "erin", Reason: "key expired 2026-10-01"}}
	failed := testBuild(2, vitrine.Failure, 2*time.Hour, 48*time.Second)
	failed.ErrorDetail = "host review03 unreachable"
	failed.Voting, failed.Nodeset = false, "focal"
	failed.Artifacts = append(slices.Clone(b.Artifacts[:1]), vitrine.Artifact{
		Name: "vitrine-summary.json", Path: "vitrine-summary.json.zst.age", Size: 4406, SHA256: strings.Repeat("a", 64), Sealed: true,
		MediaType: "application/json", PlainSize: 812, Lines: 1, Metadata: vitrine.SummaryMetadata(&vitrine.Recap{OK: 35, Changed: 4, Failed: 1}),
	})
	timer := testBuild(3, "SKIPPED", 30*time.Hour, 0)
	timer.Ref.Change, timer.Ref.Patchset, timer.Ref.NewRev, timer.Ref.RefURL = 0, "", "", ""
	timer.Pipeline = "periodic"
	push := testBuild(4, vitrine.TimedOut, 40*24*time.Hour, time.Hour)
	push.Ref.Change, push.Ref.Patchset = 0, ""
	push.Expires = testNow.Add(-time.Hour)
	running, lost := testState(5, vitrine.Running), testState(6, vitrine.Lost)
	interrupted := testState(7, vitrine.Interrupted)
	interrupted.Readers = b.Readers
	interrupted.Artifacts = []vitrine.Artifact{{Path: "console.log.zst.age", Sealed: true, Size: 65752}}
	expired, kept := b, b
	expired.Expired = b.Expires.AddDate(0, 0, 1)
	kept.Kept = true
	imported := testBuild(8, "RETRY", 10*time.Second, 5*time.Second)
	imported.Service, imported.Publisher, imported.Keyring, imported.Sealed, imported.Public = "", "", vitrine.Keyring{}, 0, 0
	imported.Imported = &vitrine.Imported{Source: "https://zuul.example.org/api/tenant/opendev"}
	var days []vitrine.Build // two days of eight
	for i := range 16 {
		days = append(days, testBuild(16+i, vitrine.Success, time.Duration(i)*3*time.Hour, time.Minute))
	}
	elsewhere := testBuild(8, vitrine.Failure, 3*time.Hour, 90*time.Second)
	elsewhere.Keyring, elsewhere.Publisher, elsewhere.Expires = vitrine.Keyring{}, "", time.Time{}
	elsewhere.Imported = &vitrine.Imported{Source: "https://zuul.example.org/api/tenant/opendev", LogURL: "https://logs.example.org/ab/", Held: true, Links: []vitrine.Link{
		{Name: "Docs preview", URL: "https://logs.example.org/ab/docs/"}, {Name: "Zuul Manifest", URL: "https://logs.example.org/ab/zuul-manifest.json"},
	}}
	history := []vitrine.Build{running, b, failed, timer, push, lost}
	service := testService()
	pages := map[string]Page{
		"builds": BuildsPage{
			Filter: url.Values{"job_name": {"infra-prod-*"}, "result": {"SUCCESS", "not:SKIPPED"}, "voting": {"0"}, "from": {"2026-11-01"}, "to": {""}, "stranger": {"x"}},
			Builds: append([]vitrine.Build{imported}, history...), Newest: true, First: "f1", Older: "o1",
			Suggest: map[string][]string{"service": {"codesearch"}, "branch": {"master", "stable/*"}},
		},
		"builds-older":   BuildsPage{Filter: url.Values{"text": {"infra"}}, Builds: days, Newer: "n1", Older: "o1"},
		"builds-nomatch": BuildsPage{Filter: url.Values{"change": {"1"}, "branch": {"not:master"}}, Newest: true},
		"builds-end":     BuildsPage{Filter: url.Values{"change": {"1"}}},
		"builds-empty":   BuildsPage{Newest: true},
		"build":          BuildPage{Build: b, History: history, Others: 2, People: service.Readers, Signature: Signature{State: Verified}},
		"build-failed":   BuildPage{Build: failed, Signature: Signature{NotVerified, "the key is not bridge's"}},
		"build-running":  BuildPage{Build: running, History: history},
		"build-coming":   BuildPage{Build: running, Coming: interrupted.Artifacts},
		"build-imported": BuildPage{Build: elsewhere, History: []vitrine.Build{elsewhere}},
		"build-shown":    shownPage(),
		"gallery":        galleryPage(),
		"gallery-alone":  GalleryPage{Build: b},
		"gallery-empty":  GalleryPage{Build: lost},
		"build-lost":     BuildPage{Build: lost},
		"build-push":     BuildPage{Build: push},

		"logs": LogsPage{
			Build: b, Folders: []string{"screenshots"}, Files: []vitrine.Artifact{b.Artifacts[0], b.Artifacts[2]},
			Made: []string{"download-logs.sh", "zuul-manifest.json"},
		},
		"logs-folder": LogsPage{Build: b, Folder: "screenshots/", Files: b.Artifacts[1:2]},
		"logs-empty":  LogsPage{Build: running, Made: []string{"zuul-manifest.json"}},

		"build-interrupted": BuildPage{Build: interrupted, Signature: Signature{State: Unsigned}},
		"build-expired":     BuildPage{Build: expired, Signature: Signature{State: Verified}},
		"build-kept":        BuildPage{Build: kept, Signature: Signature{State: Verified}},

		"buildset":       BuildsetPage{UUID: b.Buildset, Builds: history},
		"buildset-empty": BuildsetPage{UUID: b.Buildset},
		"keyring":        KeyringPage{Keyring: b.Keyring, Services: []Service{service}, People: service.Readers, Problem: "services/x.yaml:3: unknown field"},
		"keyring-empty":  KeyringPage{},
		"error-400":      ErrorPage{Status: 400, Message: `result "NOPE" is not a result`},
		"error-value":    ErrorPage{Status: 400, Message: `change "x": want a number`, Rest: url.Values{"job_name": {"a*"}, "result": {""}}},
		"error-404":      ErrorPage{Status: 404, Message: "no build has this id", RequestID: "not shown: nothing failed"},
		"error-500":      ErrorPage{Status: 500, RequestID: "9f2c11aa"},
		"error-503":      ErrorPage{Status: 503},
	}
	maps.Copy(pages, historyPages(history))
	return pages
}

// shownPage is a build with public files of every kind that a page shows, and
// some that it can't.
func shownPage() BuildPage {
	b := testBuild(9, vitrine.Failure, time.Hour, time.Minute)
	for _, a := range []vitrine.Artifact{
		{Path: "logs/host1/var/log/syslog.txt", MediaType: "text/plain"},
		{Path: "logs/host1/etc/issue", MediaType: "text/plain"},
		{Path: "logs/secret.log.zst.age", MediaType: "text/plain", Sealed: true},
		{Path: "job-output.json", MediaType: "application/json"},
		{Path: "results/output.json.gz", MediaType: "application/gzip"},
		{Path: "report/index.html", MediaType: "text/html; charset=utf-8"},
		{Path: "report/gone.html", MediaType: "text/html"},
		{Path: "a.png"}, {Path: "gone.png"}, {Path: "x.svg", MediaType: "image/svg+xml"},
	} {
		a.Size, a.PlainSize = 1234, 1234
		b.Artifacts = append(b.Artifacts, a)
	}
	gone := "the store has it no longer"
	failed := ansible.Task{Name: "Restart <it>", Took: 3 * time.Second, Hosts: []ansible.Result{
		{Host: "web01", Status: ansible.OK}, {Host: "web02", Status: ansible.Failed, Message: "\x1b[31mno\x1b[0m space\nleft"}, {Host: "web03", Status: ansible.Unreachable, Message: "timed out"},
	}}
	output := &ansible.Output{
		Playbooks: []ansible.Playbook{{Path: "playbooks/run.yaml", Phase: "run", Plays: []ansible.Play{
			{Name: "Deploy", Tasks: []ansible.Task{{Name: "Copy", Hosts: []ansible.Result{{Host: "web01", Status: ansible.Changed}}}, failed, {Name: "Nobody"}}},
			{Name: "Empty"},
		}}},
		Recap: []ansible.Host{{Name: "web01", OK: 3, Changed: 1, Skipped: 2}, {Name: "web02", OK: 1, Failed: 1, Rescued: 1}}, Incomplete: true,
	}
	fine := &ansible.Output{Playbooks: []ansible.Playbook{{Plays: []ansible.Play{{Name: "Fine", Tasks: []ansible.Task{{Name: "Ping", Hosts: []ansible.Result{{Host: "web01", Status: ansible.OK}}}}}}}}}
	return BuildPage{Build: b, KeyringUnknown: true, Signature: Signature{State: Verified}, Previews: []Preview{
		{Path: "logs/host1/var/log/syslog.txt", Text: "one\n\x1b[1mtwo\x1b[0m\r\n50%\r100%\n\u202eevil\n", More: true},
		{Path: "logs/host1/etc/issue", Problem: gone},
		{Path: "job-output.json", Ansible: output}, {Path: "results/output.json.gz", Ansible: fine},
		{Path: "report/gone.html", Problem: gone},
		{Path: "a.png", Width: 1280, Height: 860}, {Path: "gone.png", Problem: gone},
	}}
}

// galleryPage compares images in each way that they can differ.
func galleryPage() GalleryPage {
	now, before := testBuild(9, vitrine.Success, time.Hour, time.Minute), testBuild(10, vitrine.Failure, 9*time.Hour, time.Minute)
	image := func(path, hash string) vitrine.Artifact {
		return vitrine.Artifact{Path: path, Size: 2048, SHA256: strings.Repeat(hash, 64)}
	}
	now.Artifacts = []vitrine.Artifact{image("same.png", "a"), image("changed.png", "b"), image("new.png", "c"), {Path: "log.txt"}}
	before.Artifacts = []vitrine.Artifact{image("gone.jpeg", "d"), image("changed.png", "e"), image("same.png", "a")}
	return GalleryPage{Build: now, Beside: &before, Others: []vitrine.Build{before},
		Previews:       []Preview{{Path: "same.png", Width: 640, Height: 480}, {Path: "new.png", Problem: "not available now, as the store does not answer in time"}},
		BesidePreviews: []Preview{{Path: "same.png", Width: 640, Height: 480}}}
}
