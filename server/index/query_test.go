package index_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vitrine"
	"vitrine/server/index"
	"vitrine/storage"
)

// A counter counts what is opened, and fails its listing after ten objects if told so.
type counter struct {
	storage.Reader
	opened  int64
	listErr error
}

func (c *counter) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	atomic.AddInt64(&c.opened, 1)
	return c.Reader.Open(ctx, key)
}

func (c *counter) List(ctx context.Context, prefix string) iter.Seq2[storage.Object, error] {
	return func(yield func(storage.Object, error) bool) {
		n := 0
		for o, err := range c.Reader.List(ctx, prefix) {
			if n++; n > 10 && c.listErr != nil {
				yield(o, c.listErr)
				return
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// filled is an index of many builds: some run, some are lost, some share a
// second, and there are more series than one statement may read.
func filled(t testing.TB) (*index.Index, []*vitrine.Record) {
	bucket := storage.NewMemory()
	var all []*vitrine.Record
	for i := range 300 {
		r := record(i%200, func(r *vitrine.Record) {
			r.UUID = fmt.Sprintf("%08x%s", i*0x9E3779B1&0xffffffff, r.UUID[8:])
			r.Service = []string{"codesearch", "zuul", "zuul-preview", "etherpad"}[i%4]
			r.JobName = fmt.Sprintf("job-%02d", i%37)
			r.Ref.Project = fmt.Sprintf("openstack/p%d", i%11)
			r.Ref.Branch = []string{"master", "stable/1", "100%_done", "[a-z]?*"}[i/3%4]
			r.Pipeline = []string{"", "check", "gate"}[i%3]
			r.Ref.Change = int64(i % 50)
			r.Nodeset = []string{"", "noble", "trixie"}[i/37%3]
			r.Ref.Patchset = []string{"", "1", "2", "12", "0123456789012345678901234567890123456789"}[i%5]
			r.Ref.Ref = []string{"", "refs/heads/master", "refs/heads/stable/1", fmt.Sprintf("refs/changes/%d/%d/1", i%50, i%50), "refs/tags/1.0"}[i/5%5]
			r.Ref.NewRev = []string{"", fmt.Sprintf("%040x", i%7), fmt.Sprintf("abcdef%034x", i%3)}[i%3]
			r.Voting = i%9 > 0
		})
		if i%23 == 5 {
			r = imported(r, 0)
		}
		if i%100 == 3 {
			r.Result = vitrine.LostResult
		}
		if i%50 < 2 && !r.IsImported() {
			r = started(r)
		}
		publish(t, bucket, r)
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *vitrine.Record) int {
		if c := b.StartTime.Compare(a.StartTime); c != 0 {
			return c
		}
		return strings.Compare(b.UUID, a.UUID)
	})
	x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
	if r := syncAll(t, x, bucket); r.Added != len(all) {
		t.Fatalf("%+v", r)
	}
	return x, all
}

// patterns are those of queries as regular expressions.
var patterns sync.Map

// wanted is what a query means, said as simply as can be.
func wanted(q index.Query, r *vitrine.Record) bool {
	any := func(values []string, is func(v string) bool) bool {
		yes, some := false, false
		for _, v := range values {
			if not, ok := strings.CutPrefix(v, "not:"); ok {
				if is(not) {
					return false
				}
				continue
			}
			some, yes = true, yes || is(v)
		}
		return yes || !some
	}
	name := func(values []string, s string) bool {
		return any(values, func(v string) bool {
			re, ok := patterns.Load(v)
			if !ok {
				re = regexp.MustCompile(`(?s)\A` + strings.ReplaceAll(regexp.QuoteMeta(v), `\*`, ".*") + `\z`)
				patterns.Store(v, re)
			}
			return re.(*regexp.Regexp).MatchString(s)
		})
	}
	exact := func(values []string, s string) bool { return any(values, func(v string) bool { return v == s }) }
	lost := r.IsStarted() && now.Sub(r.StartTime) > 24*time.Hour
	result := any(q.Result, func(v string) bool {
		switch v {
		case "RUNNING":
			return r.IsStarted() && !lost
		case "LOST":
			return r.Result == vitrine.LostResult || lost
		}
		return !r.IsStarted() && v == string(r.Result)
	})
	flag := func(want *bool, value bool) bool { return want == nil || *want == value }
	b := vitrine.Build{Record: *r}
	return name(q.Service, r.Service) && name(q.Job, r.JobName) && name(q.Project, r.Ref.Project) && name(q.Branch, r.Ref.Branch) &&
		name(q.Pipeline, r.Pipeline) && name(q.Nodeset, r.Nodeset) && name(q.UUID, r.UUID) && name(q.Buildset, r.Buildset) && result &&
		exact(q.Change, fmt.Sprint(r.Ref.Change)) && exact(q.Patchset, r.Ref.Patchset) && exact(q.Ref, r.Ref.Ref) && name(q.NewRev, r.Ref.NewRev) &&
		(strings.Contains(strings.ToLower(r.JobName), strings.ToLower(q.Text)) || strings.Contains(strings.ToLower(r.Ref.Project), strings.ToLower(q.Text))) &&
		flag(q.Voting, r.Voting) && flag(q.Held, b.Held()) && flag(q.Final, b.Final()) && flag(q.Complete, !r.IsStarted() || lost) &&
		(q.MinID == 0 || r.ID() >= q.MinID) && (q.MaxID == 0 || r.ID() <= q.MaxID) &&
		(q.Since.IsZero() || !r.StartTime.Before(q.Since)) && (q.Until.IsZero() || r.StartTime.Before(q.Until))
}

// Every filter, and random heaps of filters, give what they mean, on pages that
// fit together both ways.
func TestBuilds(t *testing.T) {
	t.Parallel()
	x, all := filled(t)
	yes, no := new(bool), new(bool)
	*yes = true
	queries := []index.Query{
		{}, {Limit: 1000}, {Service: []string{"zuul"}}, {Service: []string{"zuul*"}}, {Service: []string{"*"}}, {Service: []string{"none"}},
		{Job: []string{"job-0*", "job-11"}}, {Job: []string{"*"}}, {Job: []string{"j*b*-*1"}}, {Job: []string{"job"}}, {Job: []string{"JOB-01"}},
		{Project: []string{"*/p1"}}, {Project: []string{"openstack*"}}, {Branch: []string{"%"}}, {Branch: []string{"*%*"}}, {Branch: []string{"_aster"}},
		{Branch: []string{"100%_done"}}, {Branch: []string{"[a-z]?*"}}, {Branch: []string{"100*"}}, {Pipeline: []string{""}}, {Pipeline: []string{"*"}},
		{Result: []string{"SUCCESS"}}, {Result: []string{"RUNNING"}}, {Result: []string{"LOST"}}, {Result: []string{"LOST", "RUNNING"}}, {Result: []string{""}},
		{Result: []string{"NONSENSE"}}, {Result: []string{"RUNNING", "FAILURE"}, Job: []string{"job-0*"}}, {Result: []string{"RETRY_LIMIT"}, Service: []string{"*"}},
		{Change: []string{"7"}}, {Change: []string{"7", "8", "7"}, Service: []string{"zuul*"}}, {Change: []string{"99999999"}},
		{UUID: []string{all[150].UUID}}, {UUID: []string{all[150].UUID[:4] + "*"}}, {UUID: []string{"a*"}}, {UUID: []string{"a*", "ab*", all[3].UUID, "00*"}},
		{UUID: []string{"*"}}, {UUID: []string{"ab*", "abc*", "ab*"}}, {UUID: []string{all[150].UUID}, Change: []string{"9999"}}, {UUID: []string{"a*"}, Job: []string{"job-1*"}},
		{Buildset: []string{all[10].Buildset}}, {Buildset: []string{all[10].Buildset, all[200].Buildset}, UUID: []string{"4*", "5*", "6*", "7*", "8*"}},
		{Since: all[200].StartTime}, {Until: all[200].StartTime}, {Since: all[200].StartTime, Until: all[150].StartTime, Service: []string{"zuul"}},
		{Since: all[200].StartTime.Add(time.Nanosecond)}, {Until: all[200].StartTime.Add(time.Nanosecond)}, {Since: now.Add(time.Hour)},
		{Since: all[150].StartTime, Until: all[200].StartTime}, {Since: all[250].StartTime, Until: all[100].StartTime, Job: []string{"*"}},
		{Result: []string{"RUNNING"}, Until: all[200].StartTime},
		{Service: []string{"not:zuul*"}}, {Job: []string{"job-0*", "not:*3"}}, {Pipeline: []string{"not:"}}, {Service: []string{"not:*"}}, {Result: []string{"not:SUCCESS", "not:RUNNING"}},
		{Result: []string{"not:LOST"}}, {Change: []string{"not:7", "not:8"}}, {Change: []string{"7", "not:7"}}, {Change: []string{"7", "8", "not:8"}, Service: []string{"zuul"}},
		{UUID: []string{"not:a*", "not:" + all[3].UUID}}, {UUID: []string{"a*", "not:ab*"}}, {UUID: []string{"not:*"}}, {UUID: []string{"*", "a*"}, Job: []string{"job-1*"}},
		{Buildset: []string{"not:" + all[10].Buildset}}, {Nodeset: []string{"no*"}}, {Nodeset: []string{""}}, {Nodeset: []string{"not:noble", "not:"}},
		{Text: "JOB-0"}, {Text: "P1"}, {Text: "*"}, {Text: "nothing"}, {Text: "stack/p1", Job: []string{"job-1*"}},
		{Patchset: []string{"1"}}, {Patchset: []string{"2", "12"}}, {Patchset: []string{""}}, {Patchset: []string{"not:"}}, {Patchset: []string{"not:1", "not:12"}}, {Patchset: []string{"99"}},
		{Patchset: []string{"0123456789012345678901234567890123456789"}}, {Patchset: []string{"not:0123456789012345678901234567890123456789"}}, {Patchset: []string{"01"}},
		{Patchset: []string{"1", "not:1"}}, {Patchset: []string{"1"}, Job: []string{"job-0*"}}, {Patchset: []string{"1"}, Change: []string{"6"}}, {Patchset: []string{"1"}, Pipeline: []string{"gate"}, UUID: []string{"not:a*"}},
		{Ref: []string{"refs/heads/master"}}, {Ref: []string{"refs/heads/master", "refs/heads/stable/1", "refs/heads/none"}}, {Ref: []string{"refs/tags/1.0"}}, {Ref: []string{"refs/tags/1.0", "refs/heads/master"}},
		{Ref: []string{"not:refs/heads/master"}}, {Ref: []string{"not:refs/tags/1.0"}}, {Ref: []string{"refs/changes/15/15/1"}}, {Ref: []string{"refs/changes/15/15/1", "not:refs/heads/master"}},
		{Ref: []string{"refs/heads/master", "refs/tags/1.0"}, Change: []string{"6", "7", "20", "21"}}, {Ref: []string{"refs/tags/1.0"}, NewRev: []string{"abcdef0*"}}, {Ref: []string{"refs/heads/*"}},
		{NewRev: []string{fmt.Sprintf("%040x", 4)}}, {NewRev: []string{"abcdef0*"}}, {NewRev: []string{"abcdef0*", fmt.Sprintf("abcdef%034x", 1), "abcdef00*"}}, {NewRev: []string{"not:abcdef0*"}},
		{NewRev: []string{"abcdef0*", "not:" + fmt.Sprintf("abcdef%034x", 1)}}, {NewRev: []string{"0000000*", "abcdef0*"}, Buildset: []string{all[10].Buildset}}, {NewRev: []string{"abcdef0*"}, Job: []string{"job-1*"}},
		{Voting: yes}, {Voting: no}, {Held: yes}, {Held: no}, {Final: no}, {Final: yes, Held: yes}, {Complete: yes}, {Complete: no}, {Complete: yes, Result: []string{"LOST"}}, {Complete: no, Result: []string{"LOST"}},
		{Complete: no, Result: []string{"RUNNING"}, Voting: yes}, {MinID: all[200].ID()}, {MaxID: all[200].ID()}, {MinID: all[200].ID(), MaxID: all[200].ID()}, {MinID: all[200].ID() + 1, MaxID: all[100].ID() - 1},
		{MinID: 1}, {MaxID: 1}, {MaxID: -5}, {MinID: math.MaxInt64}, {MinID: math.MinInt64}, {MinID: all[100].ID(), MaxID: all[200].ID()}, {MinID: all[200].ID(), Job: []string{"job-*"}},
	}
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(values ...string) []string {
		var list []string
		for random.IntN(3) == 0 {
			list = append(list, values[random.IntN(len(values))])
		}
		return list
	}
	for range 20 {
		r := all[random.IntN(len(all))]
		q := index.Query{
			Service: pick(r.Service, "z*", "*", "none"), Job: pick(r.JobName, "job-1*", "*", "*3"), Project: pick(r.Ref.Project, "*1*", "openstack/*"),
			Branch: pick(r.Ref.Branch, "*", "st*"), Pipeline: pick(r.Pipeline, "*"), Result: pick(string(r.Result), "SUCCESS", "FAILURE", "RUNNING", "LOST"),
			Limit: []int{20, 50, 299, 300, 1000}[random.IntN(5)],
		}
		if random.IntN(5) == 0 {
			q.UUID = pick(r.UUID, r.UUID[:1]+"*", r.UUID[:3]+"*")
			q.Change = pick("1", "2", fmt.Sprint(max(r.Ref.Change, 1)))
		}
		if random.IntN(5) == 0 {
			q.Since = r.StartTime
		}
		if random.IntN(3) == 0 {
			q.Nodeset, q.Patchset, q.Ref = pick(r.Nodeset, "not:noble"), pick(r.Ref.Patchset, "not:12"), pick(r.Ref.Ref, "not:refs/tags/1.0", "not:refs/heads/master")
		}
		queries = append(queries, q)
	}
	for _, q := range queries {
		if q.Limit == 0 {
			q.Limit = 180
		}
		var want []string
		for _, r := range all {
			if wanted(q, r) {
				want = append(want, r.UUID)
			}
		}
		checkPages(t, x, q, want)
		checkSkips(t, x, q, want)
	}
}

// checkSkips goes through the pages of a query by what they skip.
func checkSkips(t *testing.T, x *index.Index, q index.Query, want []string) {
	t.Helper()
	q.Limit = 70
	for q.Skip = 0; q.Skip < len(want)+q.Limit; q.Skip += q.Limit {
		page, err := x.Builds(t.Context(), q)
		var got []string
		for _, b := range page.Builds {
			got = append(got, b.UUID)
		}
		part := want[min(q.Skip, len(want)):min(q.Skip+q.Limit, len(want))]
		if err != nil || !slices.Equal(got, part) || len(part) > 0 && (page.Newer == "") != (q.Skip == 0) {
			t.Errorf("%+v: %d builds, want %d, newer %q, %v", q, len(got), len(part), page.Newer, err)
			return
		}
	}
}

// Builds of many series that lie far back behind those of another are found.
func TestRareSeries(t *testing.T) {
	t.Parallel()
	bucket := storage.NewMemory()
	var want []string
	for i := range 315 {
		r := record(i, func(r *vitrine.Record) { r.Service, r.JobName = "busy", "busy" })
		if i >= 240 {
			r.Service, r.JobName, r.Result = "rare", fmt.Sprintf("rare-%d", i), vitrine.Success
			if i%5 == 0 {
				r = started(r)
			}
		}
		if i == 5 || i == 260 {
			r.Service, r.JobName, r.Result = "rare", "rare-240", vitrine.Failure
			if r.EndTime.IsZero() {
				r.EndTime = r.StartTime
			}
		}
		if r.Service == "rare" {
			want = append(want, r.UUID)
		}
		publish(t, bucket, r)
	}
	x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
	syncAll(t, x, bucket)
	for _, q := range []index.Query{
		{Job: []string{"rare*"}, Limit: 5}, {Service: []string{"r*"}, Limit: 2},
		{Job: []string{"rare*"}, Result: []string{"LOST", "SUCCESS", "FAILURE"}, Limit: 12},
	} {
		checkPages(t, x, q, want)
	}
}

// checkPages goes through all pages of a query, there and back.
func checkPages(t *testing.T, x *index.Index, q index.Query, want []string) {
	t.Helper()
	var got []string
	var pages []index.Page
	for {
		page, err := x.Builds(t.Context(), q)
		if err != nil {
			t.Errorf("%+v: %v", q, err)
			return
		}
		for _, b := range page.Builds {
			got = append(got, b.UUID)
		}
		pages = append(pages, page)
		if page.Older == "" || len(pages) > 12 {
			break
		}
		q.Before = page.Older
	}
	if len(pages) > 12 {
		want = want[:min(len(want), len(got))]
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v: %d builds, want %d", q, len(got), len(want))
		return
	}
	q.Before = ""
	for i := len(pages) - 1; i >= 0; i-- {
		if (pages[i].Newer == "") != (i == 0) {
			t.Errorf("%+v: page %d has a newer one: %q", q, i, pages[i].Newer)
			return
		}
		if i == 0 {
			break
		}
		q.After = pages[i].Newer
		page, err := x.Builds(t.Context(), q)
		if err != nil || !reflect.DeepEqual(page, pages[i-1]) {
			t.Errorf("%+v: going back to page %d gives another: %v", q, i-1, err)
			return
		}
	}
}

// A page that is named by its cursor stays as it is while builds come.
func TestPagesAreStable(t *testing.T) {
	t.Parallel()
	x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
	for i := 10; i < 40; i++ {
		add(t, x, record(i))
	}
	first, err := x.Builds(t.Context(), index.Query{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	second, err := x.Builds(t.Context(), index.Query{Limit: 10, Before: first.Older})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		add(t, x, record(i))
	}
	again, err := x.Builds(t.Context(), index.Query{Limit: 10, Before: first.Older})
	if err != nil || fmt.Sprint(again) != fmt.Sprint(second) {
		t.Errorf("the second page changed, %v", err)
	}
	newer, err := x.Builds(t.Context(), index.Query{Limit: 10, After: again.Newer})
	if err != nil || fmt.Sprint(newer.Builds) != fmt.Sprint(first.Builds) || newer.Newer == "" {
		t.Errorf("the page before the second is not the first any more, or says that it is the newest: %v", err)
	}
}

func TestQueryRefusals(t *testing.T) {
	t.Parallel()
	x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
	uuid := strings.Repeat("a", 32)
	for _, q := range []index.Query{
		{Limit: -1}, {Limit: 1001}, {Job: make([]string, 101)}, {Job: make([]string, 60), Result: make([]string, 60)},
		{Job: []string{strings.Repeat("x", 256)}}, {Job: []string{strings.Repeat("*", 9)}},
		{Change: []string{"x"}}, {Change: []string{"-1"}}, {Change: []string{"0"}}, {Change: []string{""}}, {Change: []string{"1 OR 1=1"}}, {Change: []string{"99999999999999999999"}},
		{UUID: []string{""}}, {UUID: []string{"abc"}}, {UUID: []string{"*abc"}}, {UUID: []string{"a*b"}}, {UUID: []string{"a**"}}, {UUID: []string{"A*"}}, {UUID: []string{uuid + "a*"}}, {UUID: []string{"x*"}},
		{Buildset: []string{"abc"}}, {Buildset: []string{uuid[1:] + "*"}}, {Buildset: []string{"' OR 1=1 --"}},
		{Skip: -1}, {Skip: index.MaxSkip + 1}, {Skip: 1, Before: "1-" + uuid}, {Text: strings.Repeat("x", 256)}, {Nodeset: make([]string, 101)},
		{Change: []string{"not:"}}, {Change: []string{"not:x"}}, {Change: []string{"not:not:1"}}, {UUID: []string{"not:"}}, {UUID: []string{"not:abc"}}, {Buildset: []string{"not:abc"}},
		{NewRev: []string{""}}, {NewRev: []string{"abc*"}}, {NewRev: []string{"not:abc*"}}, {NewRev: []string{"*"}}, {NewRev: []string{"ABCDEF012*"}}, {NewRev: []string{"abcdef*0*"}}, {NewRev: []string{"%_%_%_%*"}},
		{Ref: []string{strings.Repeat("x", 256)}}, {Patchset: []string{strings.Repeat("x", 256)}},
		{Before: "1-" + uuid, After: "1-" + uuid}, {Before: "x"}, {Before: "1"}, {Before: "-1-" + uuid}, {Before: "01-" + uuid}, {Before: "+1-" + uuid},
		{Before: "1-" + strings.ToUpper(uuid)}, {After: "1-" + uuid + "0"}, {After: "99999999999999999999-" + uuid}, {After: strings.Repeat("9", 1<<20)},
	} {
		_, err := x.Builds(t.Context(), q)
		if !errors.Is(err, index.ErrQuery) {
			t.Errorf("%.80s: %v, want ErrQuery", fmt.Sprintf("%+v", q), err)
		} else if len(err.Error()) > 400 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	}
}

func FuzzBuilds(f *testing.F) {
	x, all := filled(f)
	f.Add("job-*", "SUCCESS", "1", all[1].UUID, "", "", "1", "", 10)
	f.Add("' OR 1=1 --", "LOST", "-1", "ab*", "1763777469-"+all[1].UUID, "", "not:2", "refs/heads/master,refs/tags/1.0", 0)
	f.Add("%_\\*[a]?", "RUNNING", "", "*", "", "0-"+strings.Repeat("f", 32), "not:,x", "not:refs/heads/master,not:x", 1000)
	f.Add("\x00\xff", "", "9223372036854775807", "0*", "9223372036854775807-"+strings.Repeat("0", 32), "", "abcdef0", "abcdef0*", -1)
	f.Fuzz(func(t *testing.T, name, result, change, uuid, before, after, patchset, ref string, limit int) {
		one := func(s string) []string {
			if s == "" {
				return nil
			}
			return strings.SplitN(s, ",", 5)
		}
		q := index.Query{
			Job: one(name), Branch: one(name), Result: one(result), Change: one(change), UUID: one(uuid),
			Patchset: one(patchset), Ref: one(ref), NewRev: one(ref), Text: patchset, Before: before, After: after, Limit: limit,
		}
		page, err := x.Builds(t.Context(), q)
		if err != nil {
			if !errors.Is(err, index.ErrQuery) {
				t.Errorf("%+v: %v", q, err)
			}
			return
		}
		for _, b := range page.Builds {
			if !wanted(q, &b.Record) {
				t.Errorf("%+v found %+v", q, b)
			}
		}
	})
}

func TestLastBuilds(t *testing.T) {
	t.Parallel()
	x, all := filled(t)
	uuids := func(list []vitrine.Build) (s []string) {
		for _, b := range list {
			s = append(s, b.UUID)
		}
		return s
	}
	last := func(n int, keep func(r *vitrine.Record) bool) (s []string) {
		for _, r := range all {
			if len(s) < n && keep(r) {
				s = append(s, r.UUID)
			}
		}
		return s
	}
	services, err := x.Services(t.Context(), 5)
	if err != nil || len(services) != 4 || services[0].Name != "codesearch" || services[3].Name != "zuul-preview" {
		t.Fatalf("services: %+v, %v", services, err)
	}
	for _, s := range services {
		if got, want := uuids(s.Last), last(5, func(r *vitrine.Record) bool { return r.Service == s.Name }); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", s.Name, got, want)
		}
		day := func(r *vitrine.Record) bool {
			return r.Service == s.Name && !r.IsStarted() && now.Sub(r.StartTime) < 24*time.Hour
		}
		ended := len(last(len(all), day))
		succeeded := len(last(len(all), func(r *vitrine.Record) bool { return day(r) && r.Result == vitrine.Success }))
		if s.DayEnded != ended || s.DaySucceeded != succeeded || ended == 0 {
			t.Errorf("%s: %d of %d, want %d of %d", s.Name, s.DaySucceeded, s.DayEnded, succeeded, ended)
		}
		jobs, err := x.Jobs(t.Context(), s.Name, 3, 100)
		if err != nil || len(jobs) < 9 || !slices.IsSortedFunc(jobs, func(a, b index.JobHistory) int { return strings.Compare(a.Name, b.Name) }) {
			t.Fatalf("%s: %d jobs, %v", s.Name, len(jobs), err)
		}
		for _, j := range jobs {
			want := last(3, func(r *vitrine.Record) bool { return r.Service == s.Name && r.JobName == j.Name })
			if got := uuids(j.Last); !slices.Equal(got, want) {
				t.Errorf("%s, %s: %q, want %q", s.Name, j.Name, got, want)
			}
		}
		few, err := x.Jobs(t.Context(), s.Name, 3, 2)
		if err != nil || len(few) != len(jobs) {
			t.Fatalf("%s: %d jobs, want %d, %v", s.Name, len(few), len(jobs), err)
		}
		latest := make(map[string]bool) // the jobs of the last builds
		for _, r := range all {
			if r.Service == s.Name && len(latest) < 2 {
				latest[r.JobName] = true
			}
		}
		for i, j := range few {
			want := jobs[i].Last
			if !latest[j.Name] {
				want = want[:1]
			}
			if got := uuids(j.Last); !slices.Equal(got, uuids(want)) {
				t.Errorf("%s, %s of many jobs: %q, want %q", s.Name, j.Name, got, uuids(want))
			}
		}
	}
	if jobs, err := x.Jobs(t.Context(), "none", 3, 0); err != nil || len(jobs) > 0 {
		t.Errorf("jobs of no service: %+v, %v", jobs, err)
	}

	of := last(len(all), func(r *vitrine.Record) bool { return r.JobName == "job-05" })
	for _, n := range []int{1, 2, 5, 6, len(of), len(of) + 10} {
		for i, uuid := range of {
			b, _, err := x.Build(t.Context(), uuid)
			if err != nil {
				t.Fatal(err)
			}
			around, err := x.Neighbours(t.Context(), b, n)
			if err != nil {
				t.Fatal(err)
			}
			// As many as there are, centred as far as the ends let it.
			from := max(0, min(i-n/2, len(of)-n))
			if got, want := uuids(around), of[from:min(from+n, len(of))]; !slices.Equal(got, want) {
				t.Fatalf("%d around the %d-th: %q, want %q", n, i, got, want)
			}
		}
	}
	set, err := x.Buildset(t.Context(), all[50].Buildset)
	want := last(len(all), func(r *vitrine.Record) bool { return r.Buildset == all[50].Buildset })
	slices.Reverse(want)
	if got := uuids(set); err != nil || !slices.Equal(got, want) || len(want) < 2 {
		t.Errorf("buildset: %q, %v, want %q", got, err, want)
	}
}

// Lists are read, whole and in order, while records are added.
func TestReadersBesideWriter(t *testing.T) {
	t.Parallel()
	x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
	done := make(chan error)
	go func() {
		var err error
		for i := range 60 {
			if err == nil {
				err = x.Add(t.Context(), entry(t, record(i, func(r *vitrine.Record) { r.JobName, r.Ref.Patchset = fmt.Sprintf("job-%d", i), "7" })))
			}
		}
		done <- err
	}()
	for range 2 {
		go func() {
			var err error
			for last := 0; last < 60 && err == nil; {
				var page index.Page
				page, err = x.Builds(t.Context(), index.Query{Limit: 1000, Job: []string{"job-*"}, Patchset: []string{"7"}})
				if n := len(page.Builds); err == nil && n < last {
					err = fmt.Errorf("%d builds after %d", n, last)
				}
				last = len(page.Builds)
			}
			done <- err
		}()
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
