package index_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/server/index"
	"vitrine/storage"
)

// imported is what another CI tells of the build that r is the record of, which
// it says began a little earlier.
func imported(r *vitrine.Record, earlier time.Duration) *vitrine.Record {
	i := *r
	i.Service, i.Keyring, i.Publisher, i.Expires = "", vitrine.Keyring{}, "", time.Time{}
	i.Readers, i.SkippedReaders, i.Artifacts = nil, nil, nil
	i.StartTime = r.StartTime.Add(-earlier)
	i.Imported = &vitrine.Imported{
		Source: "https://zuul.example.org/api/tenant/t", LogURL: "https://logs.example.org/a/", Held: true,
		Links: []vitrine.Link{{Name: "Logs", URL: "https://logs.example.org/a/x", Metadata: json.RawMessage(`{}`)}},
	}
	return &i
}

// Of the records of one uuid build.json counts before started.json before
// imported.json, in whatever order they come, by Add or by Sync.
func TestImportedGivesWay(t *testing.T) {
	t.Parallel()
	full := record(5)
	for _, earlier := range []time.Duration{0, time.Minute, 36 * time.Hour} {
		records := []*vitrine.Record{full, started(full), imported(full, earlier)}
		for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}, {2, 0}, {0, 2}, {2, 1}, {1, 2}} {
			t.Run(fmt.Sprint(earlier, order), func(t *testing.T) {
				x, synced := open(t, filepath.Join(t.TempDir(), "x")), open(t, filepath.Join(t.TempDir(), "y"))
				bucket := storage.NewMemory()
				want := vitrine.Finished
				hasEnded, hasStarted := false, false
				for _, n := range order {
					if err := x.Add(t.Context(), entry(t, records[n])); err != nil && !(n == 2 && earlier > 0 && errors.Is(err, index.ErrDuplicate)) {
						t.Fatal(err)
					}
					publish(t, bucket, records[n])
					if report := syncAll(t, synced, bucket); len(report.Problems) > 0 {
						t.Errorf("problems: %q", report.Problems)
					}
					hasEnded, hasStarted = hasEnded || n == 0, hasStarted || n == 1
				}
				if hasStarted && !hasEnded {
					want = vitrine.Running
				}
				b, e, err := x.Build(t.Context(), full.UUID)
				if err != nil {
					t.Fatal(err)
				}
				real := hasStarted || hasEnded
				if b.State != want || b.IsImported() == real || real != (len(e.Signature) > 0) {
					t.Errorf("state %s, imported %v, signature %q", b.State, b.IsImported(), e.Signature)
				}
				again := open(t, filepath.Join(t.TempDir(), "z"))
				syncAll(t, again, bucket)
				if x, y, z := everything(t, x), everything(t, synced), everything(t, again); x != z || y != z {
					t.Errorf("added:\n%s\nsynced:\n%s\nanew:\n%s", x, y, z)
				}
			})
		}
	}
}

// Of two imports of one uuid the earlier start counts.
func TestImportedTwice(t *testing.T) {
	t.Parallel()
	x := open(t, filepath.Join(t.TempDir(), "x"))
	later, earlier := imported(record(5), 0), imported(record(5), time.Hour)
	add(t, x, later, earlier)
	if err := x.Add(t.Context(), entry(t, later)); !errors.Is(err, index.ErrDuplicate) {
		t.Errorf("the later one: %v", err)
	}
	if b, _, err := x.Build(t.Context(), later.UUID); err != nil || !b.StartTime.Equal(earlier.StartTime) {
		t.Errorf("start %s, %v", b.StartTime, err)
	}
}

// A list says of a build that it was imported, and from where; its own page has
// the links. What the keyring has no service for is no service.
func TestImportedInLists(t *testing.T) {
	t.Parallel()
	x := open(t, filepath.Join(t.TempDir(), "x"))
	r := imported(record(5), 0)
	r.Result = vitrine.Success
	add(t, x, r)
	page, err := x.Builds(t.Context(), index.Query{})
	if err != nil || len(page.Builds) != 1 {
		t.Fatalf("%d builds, %v", len(page.Builds), err)
	}
	b := page.Builds[0]
	if b.Imported == nil || b.Imported.Source != r.Imported.Source || !b.Held() || b.Final() || b.Imported.Links != nil || b.State != vitrine.Finished || b.Service != "" {
		t.Errorf("in the list: %+v", b)
	}
	whole, e, err := x.Build(t.Context(), r.UUID)
	if err != nil || len(whole.Imported.Links) != 1 || whole.Imported.LogURL != r.Imported.LogURL || len(e.Signature) > 0 || whole.ID != b.ID {
		t.Errorf("the build: %+v, %v", whole, err)
	}
	if services, err := x.Services(t.Context(), 5); err != nil || len(services) != 0 {
		t.Errorf("services %v, %v", services, err)
	}
	// Nothing published may expire because another CI knows a later success.
	if uuid, err := x.LastSuccess(t.Context(), r.JobName); err == nil {
		t.Errorf("last success %s, an imported one", uuid)
	}
}

// A record under the other's name, or an imported one with a signature, is none.
func TestImportedElsewhere(t *testing.T) {
	t.Parallel()
	x := open(t, filepath.Join(t.TempDir(), "x"))
	bucket := storage.NewMemory()
	real, foreign := record(5), imported(record(6), 0)
	put(t, bucket, vitrine.ImportedKey(real.StartTime, real.UUID), entry(t, real).Record)
	put(t, bucket, vitrine.RecordKey(foreign.StartTime, foreign.UUID), entry(t, foreign).Record)
	broken := imported(record(7), 0)
	put(t, bucket, broken.Key(), []byte("{}"))
	report := syncAll(t, x, bucket)
	if report.Builds != 0 || report.Added != 0 || len(report.Problems) != 3 {
		t.Errorf("report %+v", report)
	}
	e := entry(t, foreign)
	e.Signature = []byte("x")
	if err := x.Add(t.Context(), e); !errors.Is(err, vitrine.ErrRecord) || !strings.Contains(err.Error(), "signature") {
		t.Errorf("with a signature: %v", err)
	}
}
