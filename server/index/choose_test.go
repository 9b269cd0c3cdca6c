package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vitrine"
)

// Ranges that are short each are not narrow together, when they are many.
func TestNarrow(t *testing.T) {
	many := func(n int, form string) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf(form, i))
		}
		return list
	}
	for _, test := range []struct {
		values []string
		want   bool
	}{
		{many(1, "%x*"), false}, {many(1, "%02x*"), true}, {many(2, "%02x*"), false}, {many(100, "%02x*"), false},
		{many(16, "%03x*"), true}, {many(17, "%03x*"), false}, {many(100, "%032x"), true}, {many(100, "%09x*"), true},
	} {
		ranges, err := uuidRanges(test.values)
		if err != nil || narrow(ranges) != test.want {
			t.Errorf("%d of %s: narrow is %v, %v", len(test.values), test.values[0], narrow(ranges), err)
		}
	}
}

// A job's builds of one service are found behind many of another, and those are
// not all read; and no more is read for a skip than may be.
func TestPasses(t *testing.T) {
	t.Parallel()
	x, err := Open(t.Context(), filepath.Join(t.TempDir(), "index.sqlite"), Options{Tenant: "opendev"})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	const n = 3
	now := time.Now().UTC().Truncate(time.Second)
	var entries []Entry
	var want []string
	for i := range passesPerJob + 11*n + 10 {
		r := &vitrine.Record{
			Version: vitrine.RecordVersion, Tenant: "opendev", UUID: fmt.Sprintf("%032x", i), Buildset: strings.Repeat("b", 32), JobName: "moved", Voting: true,
			Result: vitrine.Success, Pipeline: "gate", Ref: vitrine.Ref{Project: "p", Ref: "refs/heads/master"},
			StartTime: now.Add(-time.Duration(i) * time.Minute), EndTime: now,
			Imported: &vitrine.Imported{Source: "https://zuul.example.org/api/tenant/t"},
		}
		if i == 1 || i > passesPerJob+11*n {
			want = append(want, r.UUID)
			r.Service, r.Pipeline = "web", fmt.Sprint("p", i)
		}
		text, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, Entry{Record: text})
	}
	if _, err := x.AddAll(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	jobs, err := x.Jobs(t.Context(), "web", n, 10)
	if err != nil || len(jobs) != 1 || len(jobs[0].Last) != n {
		t.Fatalf("%+v, %v", jobs, err)
	}
	for i, b := range jobs[0].Last {
		if b.UUID != want[i] {
			t.Errorf("build %d is %s, want %s", i, b.UUID, want[i])
		}
	}

	last, err := x.LastBuilds(t.Context(), []string{"none", "moved"})
	if err != nil || last[0].UUID != "" || last[1].UUID != fmt.Sprintf("%032x", 0) {
		t.Errorf("last builds: %+v, %v", last, err)
	}

	err = x.view(t.Context(), func(tx *sql.Tx) error {
		q, err := Query{UUID: []string{"not:f*"}, Skip: 5}.check(x.cutoff())
		if err != nil {
			return err
		}
		p, err := x.plan(context.Background(), tx, q)
		if err != nil {
			return err
		}
		for _, test := range []struct {
			passes int
			err    error
		}{{20, nil}, {19, errPasses}, {0, errPasses}} {
			p.passes = &test.passes
			if _, err := p.choose(t.Context(), tx, everything, false, 20); !errors.Is(err, test.err) {
				t.Errorf("with %d passes: %v", test.passes, err)
			}
		}
		p.passes = nil
		w, left, err := p.after(t.Context(), tx, everything, len(entries))
		if err != nil || w != (window{}) || left != 0 {
			t.Errorf("after as many as there are: %v, %d, %v", w, left, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
