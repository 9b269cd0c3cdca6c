package index_test

import (
	"path/filepath"
	"testing"
	"time"

	"vitrine"
	"vitrine/server/index"
)

// What is found by way of sheets follows a build through its life.
func TestSheetsFollow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "index.sqlite")
	x := open(t, path)
	other := open(t, path) // which sees what x writes
	change := func(r *vitrine.Record) { r.Ref.Patchset = "7" }
	whole := record(3, change)
	earlier := record(3+30, change)
	earlier.UUID = whole.UUID
	check := func(step string, is index.Query, not ...index.Query) {
		t.Helper()
		for _, x := range []*index.Index{x, other} {
			for i, q := range append(not, is) {
				q.Patchset = []string{"7"} // settled by sheets
				page, err := x.Builds(t.Context(), q)
				if err != nil || len(page.Builds) != i/len(not) {
					t.Errorf("%s: %+v: %d builds, %v", step, q, len(page.Builds), err)
				}
				q.Skip = 1
				if page, err = x.Builds(t.Context(), q); err != nil || len(page.Builds) > 0 {
					t.Errorf("%s: %+v: %d builds after the only one, %v", step, q, len(page.Builds), err)
				}
			}
		}
	}
	running, lost, result := index.Query{Result: []string{"RUNNING"}}, index.Query{Result: []string{"LOST"}}, index.Query{Result: []string{string(whole.Result)}}
	before := index.Query{Until: whole.StartTime.Add(-24 * time.Hour)}
	add(t, x, started(whole))
	check("started", running, lost, result, before)
	setMark(t, x, vitrine.InterruptedKind, whole)
	check("interrupted", lost, running, result, before)
	if err := x.Unmark(t.Context(), vitrine.InterruptedKind, whole.UUID); err != nil {
		t.Fatal(err)
	}
	check("not interrupted", running, lost, result, before)
	add(t, x, whole)
	check("ended", result, running, lost, before)
	add(t, x, earlier)
	check("begun earlier", before, running, lost, index.Query{Since: whole.StartTime.Add(-time.Hour)})
}

// Build times are in the order of their ends, within bounds that are included.
func TestBuildTimes(t *testing.T) {
	t.Parallel()
	x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
	var list []*vitrine.Record // by their ends, the last first
	for i := range 12 {
		r := record(20-i, func(r *vitrine.Record) {
			r.JobName = []string{"a", "b", "b"}[i%3]
			r.Ref.Ref = []string{"refs/heads/master", "refs/tags/1"}[i%2]
			r.Pipeline = []string{"gate", "check"}[i%2]
			r.EndTime = now.Add(-time.Duration(i) * time.Minute)
		})
		list = append(list, r)
	}
	add(t, x, list...)
	add(t, x, started(record(1)), started(record(2, func(r *vitrine.Record) { r.JobName = "b" })))
	for _, test := range []struct {
		q            index.Query
		since, until time.Time
		keep         func(i int) bool
	}{
		{index.Query{}, time.Time{}, time.Time{}, func(i int) bool { return true }},
		{index.Query{}, list[7].EndTime, list[3].EndTime, func(i int) bool { return i >= 3 && i <= 7 }},
		{index.Query{}, list[7].EndTime.Add(time.Nanosecond), list[3].EndTime.Add(time.Nanosecond), func(i int) bool { return i >= 3 && i < 7 }},
		{index.Query{Job: []string{"b"}}, time.Time{}, time.Time{}, func(i int) bool { return i%3 > 0 }},
		{index.Query{Job: []string{"b"}, Pipeline: []string{"gate"}}, list[7].EndTime, time.Time{}, func(i int) bool { return i%3 > 0 && i%2 == 0 && i <= 7 }},
		{index.Query{Job: []string{"a", "b"}}, time.Time{}, list[3].EndTime, func(i int) bool { return i >= 3 }},
		{index.Query{Pipeline: []string{"check"}}, time.Time{}, time.Time{}, func(i int) bool { return i%2 == 1 }},
		{index.Query{Ref: []string{"refs/tags/1"}}, time.Time{}, time.Time{}, func(i int) bool { return i%2 == 1 }},
		{index.Query{Ref: []string{"refs/tags/1"}, Job: []string{"a"}}, time.Time{}, time.Time{}, func(i int) bool { return i%6 == 3 }},
		{index.Query{Ref: []string{"refs/tags/1", "refs/heads/master", "refs/tags/1"}, Pipeline: []string{"check"}}, time.Time{}, list[3].EndTime, func(i int) bool { return i%2 == 1 && i >= 3 }},
		{index.Query{Ref: []string{"refs/heads/master"}}, time.Time{}, time.Time{}, func(i int) bool { return i%2 == 0 }},
		{index.Query{Job: []string{"none"}}, time.Time{}, time.Time{}, func(i int) bool { return false }},
		// What it does not take changes nothing.
		{index.Query{Service: []string{"none"}, Change: []string{"1"}, Before: "x"}, time.Time{}, time.Time{}, func(i int) bool { return true }},
	} {
		var want []string
		for i, r := range list {
			if test.keep(i) {
				want = append(want, r.UUID)
			}
		}
		test.q.Limit = 3
		for test.q.Skip = 0; test.q.Skip < len(want)+3; test.q.Skip += 3 {
			got, err := x.BuildTimes(t.Context(), test.q, test.since, test.until)
			part := want[min(test.q.Skip, len(want)):min(test.q.Skip+3, len(want))]
			if err != nil || len(got) != len(part) {
				t.Fatalf("%+v: %d builds, want %d, %v", test.q, len(got), len(part), err)
			}
			for i, b := range got {
				if b.UUID != part[i] {
					t.Errorf("%+v: the %d-th is %s, want %s", test.q, i, b.UUID, part[i])
				}
			}
		}
	}
	if _, err := x.BuildTimes(t.Context(), index.Query{Skip: -1}, time.Time{}, time.Time{}); err == nil {
		t.Error("a skip of -1 is taken")
	}
}
