package index_test

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"vitrine"
	"vitrine/server/index"
)

// setMark puts a mark into an index.
func setMark(t testing.TB, x *index.Index, kind vitrine.KeyKind, r *vitrine.Record, partial ...vitrine.PartialArtifact) {
	t.Helper()
	if err := x.Mark(t.Context(), kind, mark(t, r, partial...)); err != nil {
		t.Fatal(err)
	}
}

// What Records says of a build is what Build does, in the order of the list.
func TestRecords(t *testing.T) {
	t.Parallel()
	x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
	add(t, x, record(0), started(record(1)), imported(record(2), 0), started(record(3)), record(4), record(5))
	setMark(t, x, vitrine.InterruptedKind, record(3), vitrine.PartialArtifact{Path: "a.log.zst.age", Size: 70})
	setMark(t, x, vitrine.KeptKind, record(4))
	setMark(t, x, vitrine.ExpiredKind, record(5))
	page, err := x.Builds(t.Context(), index.Query{})
	if err != nil || len(page.Builds) != 6 {
		t.Fatal(page, err)
	}
	list, err := x.Records(t.Context(), page.Builds)
	if err != nil || len(list) != len(page.Builds) {
		t.Fatalf("%d of %d records, %v", len(list), len(page.Builds), err)
	}
	for i, b := range list {
		want, _, err := x.Build(t.Context(), page.Builds[i].UUID)
		if err != nil || !reflect.DeepEqual(b, want) {
			t.Errorf("record %d is\n%+v, want\n%+v, %v", i, b, want, err)
		}
	}
	if got := list[2].Imported.Links; len(got) != 1 || got[0].Name != "Logs" {
		t.Errorf("links of an imported build: %v", got)
	}

	gone := vitrine.Build{Record: *record(9)}
	list, err = x.Records(t.Context(), []vitrine.Build{page.Builds[3], gone, page.Builds[0]})
	if err != nil || len(list) != 2 || list[0].UUID != record(3).UUID || list[1].UUID != record(0).UUID {
		t.Errorf("with a build that is not there: %d records, %v", len(list), err)
	}
	if list, err := x.Records(t.Context(), nil); err != nil || len(list) != 0 {
		t.Errorf("of no builds: %v, %v", list, err)
	}
	if _, err := x.Records(t.Context(), make([]vitrine.Build, index.MaxLimit+1)); err == nil {
		t.Error("there are records of more builds than a page has")
	}
}

// A page of records that are as big as records can be does not take the memory
// of all of them.
func TestRecordsBounded(t *testing.T) {
	t.Parallel()
	x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
	for n := range 3 {
		add(t, x, record(n, func(r *vitrine.Record) {
			r.Artifacts = nil
			for i := range 1500 {
				r.Artifacts = append(r.Artifacts, vitrine.Artifact{Name: "a", Path: fmt.Sprint(i), SHA256: strings.Repeat("a", 64),
					Metadata: map[string]string{"a": strings.Repeat("a", vitrine.MaxText)}})
			}
		}))
	}
	add(t, x, record(3))
	page, err := x.Builds(t.Context(), index.Query{})
	if err != nil {
		t.Fatal(err)
	}
	list, err := x.Records(t.Context(), page.Builds)
	if err != nil || len(list) != 4 {
		t.Fatal(len(list), err)
	}
	for i, b := range list {
		want := 1500
		switch i {
		case 2: // as in the list
			want = 0
		case 3: // there was room for it
			want = 1
		}
		if len(b.Artifacts) != want || b.UUID != record(i).UUID || b.Sealed+b.Public == 0 {
			t.Errorf("build %d has %d artifacts of %d, want %d", i, len(b.Artifacts), b.Sealed+b.Public, want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
	names := func() index.Names {
		n, err := x.Names(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := names(); !reflect.DeepEqual(n, index.Names{}) {
		t.Errorf("of no builds: %+v", n)
	}
	of := func(service, job, project, branch, pipeline string) func(*vitrine.Record) {
		return func(r *vitrine.Record) {
			r.Service, r.JobName, r.Ref.Project, r.Ref.Branch, r.Pipeline = service, job, project, branch, pipeline
		}
	}
	wide := strings.Repeat("W", vitrine.MaxString)
	add(t, x, record(0, of("b", "job \u202e", "p", "", "gate")), started(record(1, of("a", "a*", "p", wide, ""))),
		imported(record(2, of("", "<script>", "'; DROP TABLE builds; --", "", "gate")), 0))
	setMark(t, x, vitrine.InterruptedKind, record(1))
	want := index.Names{Services: []string{"a", "b"}, Jobs: []string{"<script>", "a*", "job \u202e"},
		Projects: []string{"'; DROP TABLE builds; --", "p"}, Branches: []string{wide}, Pipelines: []string{"gate"},
		Nodesets: []string{"debian-trixie", "ubuntu-noble"}}
	if n := names(); !reflect.DeepEqual(n, want) {
		t.Errorf("names are %+v, want %+v", n, want)
	}
}

// The version changes with what the index holds, whoever writes it, and with
// nothing else.
func TestVersion(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "index.sqlite")
	x, other := open(t, path), open(t, path)
	version := func() int64 {
		t.Helper()
		v, err := x.Version(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	seen := map[int64]bool{version(): true}
	for _, step := range []struct {
		name   string
		change func()
	}{
		{"a build", func() { add(t, x, started(record(1))) }},
		{"a build's end", func() { add(t, x, record(1)) }},
		{"a mark", func() { setMark(t, x, vitrine.KeptKind, record(1)) }},
		{"a build that somebody else adds", func() { add(t, other, record(2)) }},
		{"a mark that somebody else sets", func() { setMark(t, other, vitrine.ExpiredKind, record(2)) }},
	} {
		step.change()
		v := version()
		if seen[v] {
			t.Errorf("after %s the version is one that was there before", step.name)
		}
		seen[v] = true
		if _, err := x.Builds(t.Context(), index.Query{}); err != nil {
			t.Fatal(err)
		}
		if again := version(); again != v {
			t.Errorf("after %s the version changes by itself", step.name)
		}
	}
}
