package index_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"vitrine/server/index"
	"vitrine/server/index/indextest"
)

var keep = flag.String("keep", "", "`folder` that benchmarks of the index leave their index in, and take it from")

var builds = flag.Int("builds", 200_000, "`number` of builds that benchmarks of the index make")

// BenchmarkIndex fills an index and asks it what pages ask, each question again
// and again, warm. With -args -builds=1000000 it says what a big history costs.
func BenchmarkIndex(b *testing.B) {
	h := indextest.New(*builds, 2, time.Now())
	dir := *keep
	if dir == "" {
		dir = b.TempDir()
	}
	path := filepath.Join(dir, "index.sqlite")
	x, err := index.Open(b.Context(), path, index.Options{Tenant: "opendev"})
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	if x.Rebuilt() {
		start := time.Now()
		if report, err := x.Sync(b.Context(), h, time.Time{}); err != nil || report.Added != *builds {
			b.Fatal(report, err)
		}
		took := time.Since(start)
		b.Logf("%d builds in %v: %.0f a second", *builds, took.Round(time.Second), float64(*builds)/took.Seconds())
	} else if page, err := x.Builds(b.Context(), index.Query{Limit: 1}); err != nil {
		b.Fatal(err)
	} else {
		h.End = page.Builds[0].StartTime
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d bytes a build", info.Size()/int64(*builds))

	middle := h.Record(*builds / 2)
	deep := fmt.Sprintf("%d-%s", middle.StartTime.Unix(), middle.UUID)
	old := h.Record(100)
	last := fmt.Sprintf("%d-%s", old.StartTime.Unix(), old.UUID)
	for _, test := range []struct {
		name string
		q    index.Query
	}{
		{"all", index.Query{}},
		{"all/middle", index.Query{Before: deep}},
		{"all/end", index.Query{Before: last}},
		{"all/back", index.Query{After: deep}},
		{"all/1000", index.Query{Limit: 1000}},
		{"service", index.Query{Service: []string{"service-07"}}},
		{"service/middle", index.Query{Service: []string{"service-07"}, Before: deep}},
		{"service/big", index.Query{Service: []string{"checks"}, Before: deep}},
		{"job", index.Query{Job: []string{"infra-prod-service-07-1"}, Before: deep}},
		{"job/many series", index.Query{Job: []string{"tox-py310"}, Before: deep}},
		{"job/wildcard", index.Query{Job: []string{"infra-prod-*"}, Before: deep}},
		{"job/wildcard of few", index.Query{Job: []string{"*-07-*"}, Before: deep}},
		{"job/wildcard of many series", index.Query{Job: []string{"tox-py31*"}, Before: deep}},
		{"job/wildcard of none", index.Query{Job: []string{"*nothing*"}}},
		{"project", index.Query{Project: []string{"openstack/project-123"}}},
		{"project/wildcard", index.Query{Project: []string{"openstack/project-12*"}, Before: deep}},
		{"branch", index.Query{Branch: []string{"stable/*"}, Before: deep}},
		{"pipeline", index.Query{Pipeline: []string{"gate"}, Before: deep}},
		{"result", index.Query{Result: []string{"FAILURE"}, Before: deep}},
		{"result/rare", index.Query{Result: []string{"RETRY_LIMIT"}, Before: deep}},
		{"result/rare of a job", index.Query{Result: []string{"RETRY_LIMIT"}, Job: []string{"tox-py3*"}, Before: deep}},
		{"result/several", index.Query{Result: []string{"RETRY_LIMIT", "POST_FAILURE", "TIMED_OUT"}, Before: deep}},
		{"result/running", index.Query{Result: []string{"RUNNING"}}},
		{"result/lost", index.Query{Result: []string{"LOST"}}},
		{"change", index.Query{Change: []string{"810000"}}},
		{"uuid", index.Query{UUID: []string{middle.UUID}}},
		{"uuid/prefix 1", index.Query{UUID: []string{"3*"}}},
		{"uuid/prefix 2", index.Query{UUID: []string{"3f*"}}},
		{"uuid/prefix 7", index.Query{UUID: []string{middle.UUID[:7] + "*"}}},
		{"buildset", index.Query{Buildset: []string{middle.Buildset}}},
		{"a day, of a job", index.Query{Since: middle.StartTime, Until: middle.StartTime.Add(24 * time.Hour), Job: []string{"tox-*"}}},
		{"all names", index.Query{Service: []string{"ch*"}, Job: []string{"tox-py31*"}, Project: []string{"*-1*"}, Branch: []string{"stable/*"}, Pipeline: []string{"gate"}, Result: []string{"FAILURE", "ABORTED"}, Before: deep}},
	} {
		b.Run("Builds/"+test.name, func(b *testing.B) {
			measure(b, func() error { _, err := x.Builds(b.Context(), test.q); return err })
		})
	}
	complete, running := true, false
	for _, test := range []struct {
		name string
		q    index.Query
	}{
		{"all", index.Query{}},
		{"complete", index.Query{Complete: &complete}},
		{"running", index.Query{Complete: &running}},
		{"result", index.Query{Result: []string{"FAILURE"}}},
		{"pipeline", index.Query{Pipeline: []string{"gate"}}},
		{"project", index.Query{Project: []string{"openstack/project-123"}}},
		{"project/wildcard", index.Query{Project: []string{"openstack/project-12*"}}},
		{"change", index.Query{Change: []string{"810000"}}},
		{"uuid", index.Query{Buildset: []string{middle.Buildset}}},
		{"skip", index.Query{Skip: *builds / 10}},
	} {
		b.Run("Buildsets/"+test.name, func(b *testing.B) {
			measure(b, func() error { _, err := x.Buildsets(b.Context(), test.q); return err })
		})
	}
	b.Run("Records", func(b *testing.B) {
		page, err := x.Builds(b.Context(), index.Query{Before: deep})
		if err != nil {
			b.Fatal(err)
		}
		measure(b, func() error { _, err := x.Records(b.Context(), page.Builds); return err })
	})
	b.Run("Names", func(b *testing.B) {
		measure(b, func() error { _, err := x.Names(b.Context()); return err })
	})
	b.Run("Version", func(b *testing.B) {
		measure(b, func() error { _, err := x.Version(b.Context()); return err })
	})
	b.Run("JobDays", func(b *testing.B) {
		measure(b, func() error {
			_, err := x.JobDays(b.Context(), "infra-prod-service-07-1", h.End.AddDate(-1, 0, 0), h.End)
			return err
		})
	})
	b.Run("Build", func(b *testing.B) {
		measure(b, func() error { _, _, err := x.Build(b.Context(), middle.UUID); return err })
	})
	b.Run("Neighbours", func(b *testing.B) {
		build, _, err := x.Build(b.Context(), middle.UUID)
		if err != nil {
			b.Fatal(err)
		}
		measure(b, func() error { _, err := x.Neighbours(b.Context(), build, 34); return err })
	})
	b.Run("Services", func(b *testing.B) {
		measure(b, func() error { _, err := x.Services(b.Context(), 34); return err })
	})
	b.Run("Jobs", func(b *testing.B) {
		measure(b, func() error { _, err := x.Jobs(b.Context(), "checks", 34, 20); return err })
	})
}

// measure runs f and reports the median and the slowest hundredth.
func measure(b *testing.B, f func() error) {
	var times []time.Duration
	for b.Loop() {
		start := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
}
