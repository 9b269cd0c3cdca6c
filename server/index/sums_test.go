package index_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/server/index"
	"vitrine/storage"
)

// arrivals makes up what comes of some buildsets in two days, in any order: builds
// that end or don't, that are imported, and that have a uuid which is taken.
func arrivals(rng *rand.Rand) []*vitrine.Record {
	var list []*vitrine.Record
	oneOf := func(values ...string) string { return values[rng.IntN(len(values))] }
	for n := range 40 {
		r := record(n, func(r *vitrine.Record) {
			r.Buildset = strings.Repeat(fmt.Sprint(rng.IntN(9)), 32)
			r.Voting = rng.IntN(3) > 0
			r.Result = vitrine.Result(oneOf("SUCCESS", "SUCCESS", "SUCCESS", "SKIPPED", "FAILURE"))
			r.EndTime = r.StartTime.Add(time.Duration(rng.IntN(1000)) * time.Minute)
			r.Service, r.JobName = oneOf("a", "b"), oneOf("j", "<b>", "k*")
			r.Pipeline = oneOf("gate", "check", "")
			r.Ref = vitrine.Ref{Project: oneOf("p", "q", "r/"+strings.Repeat("W", 200)), Branch: oneOf("", "main", "\u202emain"),
				Change: int64(rng.IntN(3)), Patchset: oneOf("", "2"), Ref: oneOf("refs/heads/main", "'--"), NewRev: oneOf("", "ab")}
		})
		if rng.IntN(3) > 0 {
			list = append(list, r)
		}
		if len(list) == 0 || rng.IntN(2) == 0 || list[len(list)-1] != r {
			list = append(list, started(r))
		}
		if rng.IntN(5) == 0 {
			list = append(list, imported(r, time.Duration(rng.IntN(3))*time.Hour))
		}
		if rng.IntN(5) == 0 {
			twin := *r
			twin.StartTime = r.StartTime.Add(time.Duration(rng.IntN(50)-25) * time.Hour)
			twin.EndTime, twin.Service, twin.Result = twin.StartTime.Add(time.Hour), "c", vitrine.Failure
			twin.Buildset = strings.Repeat("f", 32)
			if rng.IntN(2) == 0 {
				twin = *started(&twin)
			}
			list = append(list, &twin)
		}
	}
	return list
}

// The sums of buildsets and of days are what counting all builds gives, in whatever
// order their records and marks came, and the same again from the bucket.
func TestSums(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 0))
			bucket := storage.NewMemory()
			var records []*vitrine.Record
			stored := make(map[string]bool)
			for _, r := range arrivals(rng) {
				if !stored[r.Key()] { // of two with one key, a bucket has the first
					stored[r.Key()] = true
					records = append(records, r)
					publish(t, bucket, r)
				}
			}
			synced := open(t, filepath.Join(t.TempDir(), "synced.sqlite"))
			syncAll(t, synced, bucket)
			var given string
			for order := range 2 {
				path := filepath.Join(t.TempDir(), "index.sqlite")
				x := open(t, path)
				rng.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
				for _, r := range records {
					x.Add(t.Context(), entry(t, r)) // many are refused
				}
				checkSums(t, x, 24*time.Hour)
				for i, r := range records {
					b, _, err := x.Build(t.Context(), r.UUID)
					if err != nil {
						t.Fatal(err)
					}
					if b.IsStarted() && r.UUID[0]%2 == 0 {
						setMark(t, x, vitrine.InterruptedKind, r, halfLog)
					}
					if i%20 == 0 {
						checkSums(t, x, 24*time.Hour)
					}
				}
				// Time passes, and nobody writes anything.
				later, err := index.Open(t.Context(), path, index.Options{Tenant: "opendev", LostAfter: 7 * time.Hour})
				if err != nil {
					t.Fatal(err)
				}
				defer later.Close()
				checkSums(t, later, 7*time.Hour)
				if said := sums(t, x); order == 0 {
					given = said
				} else if said != given {
					t.Errorf("in another order:\n%s", diff(given, said))
				}
				for _, r := range records {
					if err := x.Unmark(t.Context(), vitrine.InterruptedKind, r.UUID); err != nil {
						t.Fatal(err)
					}
				}
				checkSums(t, x, 24*time.Hour)
				if before, after := sums(t, x), sums(t, synced); before != after {
					t.Errorf("from the bucket:\n%s", diff(before, after))
				}
			}
		})
	}
}

func sums(t testing.TB, x *index.Index) string {
	t.Helper()
	sets, err := x.Buildsets(t.Context(), index.Query{Limit: index.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%+v\n%+v\n%+v", sets, days(t, x, "a"), days(t, x, "b"))
}

func days(t testing.TB, x *index.Index, service string) []index.Day {
	t.Helper()
	list, err := x.ServiceDays(t.Context(), service, now.AddDate(0, 0, -30), now.AddDate(0, 0, 30))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// checkSums compares sums with what the builds of an index come to.
func checkSums(t *testing.T, x *index.Index, lostAfter time.Duration) {
	t.Helper()
	page, err := x.Builds(t.Context(), index.Query{Limit: index.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	var sets []index.Buildset
	count := make(map[string]map[index.Day]index.Day)
	at := make(map[string]int)
	wins := map[vitrine.Result]bool{vitrine.Success: true, "SKIPPED": true}
	for _, b := range slices.Backward(page.Builds) {
		i, ok := at[b.Buildset]
		if !ok {
			i = len(sets)
			at[b.Buildset] = i
			first := vitrine.Record{UUID: b.Buildset, StartTime: b.StartTime}
			sets = append(sets, index.Buildset{ID: first.ID(), UUID: b.Buildset, Pipeline: b.Pipeline, EventID: b.EventID, Start: b.StartTime, Result: vitrine.Success})
		}
		s := &sets[i]
		if !slices.Contains(s.Refs, b.Ref) {
			s.Refs = append(s.Refs, b.Ref)
		}
		if b.EndTime.After(s.End) {
			s.End = b.EndTime
		}
		switch {
		case b.IsStarted() && b.State != vitrine.Interrupted && b.StartTime.After(time.Now().Add(-lostAfter)):
			s.Result = ""
		case s.Result != "" && b.Voting && !wins[b.Result]:
			s.Result = vitrine.Failure
		}
		if b.State == vitrine.Finished {
			day := index.Day{Day: b.StartTime.Truncate(24 * time.Hour), Result: b.Result}
			for _, of := range []string{"service " + b.Service, "job " + b.JobName} {
				if count[of] == nil {
					count[of] = make(map[index.Day]index.Day)
				}
				d := count[of][day]
				count[of][day] = index.Day{Day: day.Day, Result: day.Result, Builds: d.Builds + 1, Took: d.Took + b.Duration()}
			}
		}
	}
	for i := range sets {
		if sets[i].Result == "" {
			sets[i].End = time.Time{}
		}
	}
	slices.SortFunc(sets, func(a, b index.Buildset) int { return cmp.Or(b.Start.Compare(a.Start), cmp.Compare(b.UUID, a.UUID)) })
	checkBuildsets(t, x, sets)
	for _, name := range []string{"a", "b", "c", "j", "<b>", "k*", "none"} {
		for kind, ask := range map[string]func() ([]index.Day, error){
			"service ": func() ([]index.Day, error) {
				return x.ServiceDays(t.Context(), name, now.AddDate(-1, 0, 0), now.AddDate(1, 0, 0))
			},
			"job ": func() ([]index.Day, error) {
				return x.JobDays(t.Context(), name, now.AddDate(-1, 0, 0), now.AddDate(1, 0, 0))
			},
		} {
			want := slices.SortedFunc(maps.Values(count[kind+name]), func(a, b index.Day) int {
				return cmp.Or(a.Day.Compare(b.Day), cmp.Compare(a.Result, b.Result))
			})
			if got, err := ask(); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("days of %s%s:\n%v, want\n%v, %v", kind, name, got, want, err)
			}
		}
	}
}

// checkBuildsets asks for buildsets by all that they may be asked for.
func checkBuildsets(t *testing.T, x *index.Index, sets []index.Buildset) {
	t.Helper()
	yes, no := true, false
	ref := func(is func(r vitrine.Ref) bool) func(index.Buildset) bool {
		return func(s index.Buildset) bool { return slices.ContainsFunc(s.Refs, is) }
	}
	for name, test := range map[string]struct {
		q    index.Query
		want func(s index.Buildset) bool
	}{
		"all":      {index.Query{}, func(s index.Buildset) bool { return true }},
		"project":  {index.Query{Project: []string{"q"}}, ref(func(r vitrine.Ref) bool { return r.Project == "q" })},
		"projects": {index.Query{Project: []string{"q", "r/*"}}, ref(func(r vitrine.Ref) bool { return r.Project != "p" })},
		"others":   {index.Query{Project: []string{"not:q"}}, ref(func(r vitrine.Ref) bool { return r.Project != "q" })},
		"branch":   {index.Query{Branch: []string{"*main"}, Project: []string{"p"}}, ref(func(r vitrine.Ref) bool { return r.Branch != "" && r.Project == "p" })},
		"pipeline": {index.Query{Pipeline: []string{"gate"}}, func(s index.Buildset) bool { return s.Pipeline == "gate" }},
		"change":   {index.Query{Change: []string{"2"}}, ref(func(r vitrine.Ref) bool { return r.Change == 2 })},
		"changes":  {index.Query{Change: []string{"2", "1"}, Pipeline: []string{"check"}}, ref(func(r vitrine.Ref) bool { return r.Change > 0 })},
		"patchset": {index.Query{Patchset: []string{"2"}, Change: []string{"1"}}, ref(func(r vitrine.Ref) bool { return r.Patchset == "2" && r.Change == 1 })},
		"ref":      {index.Query{Ref: []string{"'--"}, Project: []string{"p"}}, ref(func(r vitrine.Ref) bool { return r.Ref == "'--" && r.Project == "p" })},
		"newrev":   {index.Query{NewRev: []string{"ab", "cd"}}, ref(func(r vitrine.Ref) bool { return r.NewRev == "ab" })},
		"success":  {index.Query{Result: []string{"SUCCESS"}}, func(s index.Buildset) bool { return s.Result == vitrine.Success }},
		"failure":  {index.Query{Result: []string{"FAILURE"}}, func(s index.Buildset) bool { return s.Result == vitrine.Failure }},
		"failures": {index.Query{Result: []string{"FAILURE"}, Project: []string{"p"}}, func(s index.Buildset) bool {
			return s.Result == vitrine.Failure && ref(func(r vitrine.Ref) bool { return r.Project == "p" })(s)
		}},
		"no result":   {index.Query{Result: []string{"NODE_FAILURE"}}, func(s index.Buildset) bool { return false }},
		"excluded":    {index.Query{Result: []string{"not:FAILURE"}, Complete: &yes}, func(s index.Buildset) bool { return s.Result == vitrine.Success }},
		"running":     {index.Query{Complete: &no}, func(s index.Buildset) bool { return s.Result == "" }},
		"running too": {index.Query{Result: []string{"RUNNING", "SUCCESS"}}, func(s index.Buildset) bool { return s.Result != vitrine.Failure }},
		"complete":    {index.Query{Complete: &yes}, func(s index.Buildset) bool { return s.Result != "" }},
		"uuids":       {index.Query{Buildset: []string{strings.Repeat("1", 32), strings.Repeat("4", 32)}}, func(s index.Buildset) bool { return s.UUID[0] == '1' || s.UUID[0] == '4' }},
		"not these": {index.Query{Buildset: []string{"not:" + strings.Repeat("1", 32)}, Change: []string{"not:2"}, Patchset: []string{"not:2"}}, func(s index.Buildset) bool {
			return s.UUID[0] != '1' && ref(func(r vitrine.Ref) bool { return r.Change != 2 && r.Patchset != "2" })(s)
		}},
		"since": {index.Query{Since: now.Add(-20 * time.Hour)}, func(s index.Buildset) bool { return !s.Start.Before(now.Add(-20 * time.Hour)) }},
	} {
		want := []index.Buildset{}
		for _, s := range sets {
			if test.want(s) && (name != "changes" || s.Pipeline == "check") {
				want = append(want, s)
			}
		}
		for _, skip := range []int{0, 2} {
			test.q.Limit, test.q.Skip = 5, skip
			part := want[min(skip, len(want)):min(skip+5, len(want))]
			got, err := x.Buildsets(t.Context(), test.q)
			if err != nil || len(got) != len(part) || len(part) > 0 && !reflect.DeepEqual(got, part) {
				t.Errorf("%s, from %d on:\n%+v, want\n%+v, %v", name, skip, got, part, err)
			}
		}
	}
	for _, s := range sets {
		if got, err := x.Buildsets(t.Context(), index.Query{MinID: s.ID, MaxID: s.ID}); err != nil || len(got) != 1 || got[0].UUID != s.UUID {
			t.Errorf("buildsets of id %d: %+v, want %s, %v", s.ID, got, s.UUID, err)
		}
		if one, err := x.BuildsetSum(t.Context(), s.UUID); err != nil || !reflect.DeepEqual(one, s) {
			t.Errorf("buildset\n%+v, want\n%+v, %v", one, s, err)
		}
	}
}
