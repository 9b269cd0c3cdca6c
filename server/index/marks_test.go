package index_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/server/index"
	"vitrine/storage"
)

func mark(t testing.TB, r *vitrine.Record, partial ...vitrine.PartialArtifact) []byte {
	t.Helper()
	m := vitrine.Mark{Version: vitrine.RecordVersion, UUID: r.UUID, Time: now, Partial: partial}
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func markKey(kind vitrine.KeyKind, r *vitrine.Record) string {
	return vitrine.MarkKey(kind, r.StartTime, r.UUID)
}

var halfLog = vitrine.PartialArtifact{Path: "console.log.zst.age", Size: 65_752}

// wantBuild compares what the lists and the page say of a build.
func wantBuild(t *testing.T, x *index.Index, r *vitrine.Record, want vitrine.Build) {
	t.Helper()
	one, _, err := x.Build(t.Context(), r.UUID)
	if err != nil {
		t.Fatal(err)
	}
	page, err := x.Builds(t.Context(), index.Query{UUID: []string{r.UUID}})
	if err != nil || len(page.Builds) != 1 {
		t.Fatalf("%d builds, error %v", len(page.Builds), err)
	}
	for where, b := range map[string]vitrine.Build{"page": one, "list": page.Builds[0]} {
		if b.State != want.State || b.Kept != want.Kept || !b.Expired.Equal(want.Expired) || b.Sealed != want.Sealed || b.Bytes != want.Bytes || b.Result != want.Result {
			t.Errorf("%s: %s %q, kept %v, expired %v, %d sealed, %d bytes, want %+v", where, b.State, b.Result, b.Kept, b.Expired, b.Sealed, b.Bytes, want)
		}
	}
	found := func(result string) bool {
		page, err := x.Builds(t.Context(), index.Query{Result: []string{result}, UUID: []string{r.UUID}})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Builds) == 1
	}
	if got, want := found("LOST"), want.State == vitrine.Interrupted; got != want {
		t.Errorf("found among the lost: %v", got)
	}
	if got, want := found("RUNNING"), want.State == vitrine.Running; got != want {
		t.Errorf("found among the running: %v", got)
	}
}

// A mark is seen when it comes and when it goes, by a sync and at once, and an
// index made anew says the same.
func TestMarks(t *testing.T) {
	t.Parallel()
	bucket := storage.NewMemory()
	x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
	r := record(2)
	s := started(r)
	publish(t, bucket, s)
	syncAll(t, x, bucket)
	step := func(name string, want vitrine.Build) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			wantBuild(t, x, r, want)
			syncAll(t, x, bucket)
			wantBuild(t, x, r, want)
			fresh := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
			syncAll(t, fresh, bucket)
			wantBuild(t, fresh, r, want)
		})
	}
	running := vitrine.Build{State: vitrine.Running}
	interrupted := vitrine.Build{State: vitrine.Interrupted, Sealed: 1, Bytes: halfLog.Size}
	step("begun", running)

	put(t, bucket, markKey(vitrine.InterruptedKind, r), mark(t, r, halfLog))
	if err := x.Mark(t.Context(), vitrine.InterruptedKind, mark(t, r, halfLog)); err != nil {
		t.Fatal(err)
	}
	step("interrupted", interrupted)
	if b, _, err := x.Build(t.Context(), r.UUID); err != nil || len(b.Artifacts) != 1 || b.Artifacts[0].Path != halfLog.Path || !b.Artifacts[0].Sealed || b.Artifacts[0].PlainPath() != "console.log" {
		t.Errorf("artifacts %+v, error %v", b.Artifacts, err)
	}
	if err := bucket.Delete(t.Context(), markKey(vitrine.InterruptedKind, r)); err != nil {
		t.Fatal(err)
	}
	syncAll(t, x, bucket)
	step("begun again", running)

	time.Sleep(2 * time.Millisecond) // the store's clock tells marks apart
	more := mark(t, r, halfLog, vitrine.PartialArtifact{Path: "report.html.zst.age", Size: 5})
	put(t, bucket, markKey(vitrine.InterruptedKind, r), more)
	syncAll(t, x, bucket)
	step("interrupted again", vitrine.Build{State: vitrine.Interrupted, Sealed: 2, Bytes: halfLog.Size + 5})
	if err := x.Unmark(t.Context(), vitrine.InterruptedKind, r.UUID); err != nil {
		t.Fatal(err)
	}
	wantBuild(t, x, r, running)
	syncAll(t, x, bucket)

	sealed := 0
	var size int64
	for _, a := range r.Artifacts {
		size += a.Size
		if a.Sealed {
			sealed++
		}
	}
	ended := vitrine.Build{State: vitrine.Finished, Sealed: sealed, Bytes: size}
	ended.Result = r.Result
	publish(t, bucket, r)
	if err := x.Add(t.Context(), entry(t, r)); err != nil {
		t.Fatal(err)
	}
	step("ended, whatever the mark says", ended)
	if err := bucket.Delete(t.Context(), markKey(vitrine.InterruptedKind, r)); err != nil {
		t.Fatal(err)
	}
	step("ended", ended)

	put(t, bucket, markKey(vitrine.KeptKind, r), mark(t, r))
	put(t, bucket, markKey(vitrine.ExpiredKind, r), mark(t, r))
	syncAll(t, x, bucket)
	ended.Kept, ended.Expired = true, now
	step("kept and expired", ended)
	bucket.Delete(t.Context(), markKey(vitrine.KeptKind, r))
	bucket.Delete(t.Context(), markKey(vitrine.ExpiredKind, r))
	syncAll(t, x, bucket)
	ended.Kept, ended.Expired = false, time.Time{}
	step("neither", ended)
}

// A mark that is not one is reported, once, and flags nothing.
func TestHostileMarks(t *testing.T) {
	t.Parallel()
	other := record(9)
	for name, text := range map[string][]byte{
		"broken":           []byte("{}"),
		"of another build": mark(t, other),
		"too large":        slices.Concat(mark(t, other), []byte(strings.Repeat(" ", vitrine.MaxMarkSize))),
		"hostile path": []byte(strings.Replace(string(mark(t, record(2), halfLog)),
			halfLog.Path, "../../etc/passwd.age", 1)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bucket := storage.NewMemory()
			r := started(record(2))
			publish(t, bucket, r)
			key := markKey(vitrine.InterruptedKind, r)
			put(t, bucket, key, text)
			x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
			report, err := x.Sync(t.Context(), bucket, time.Time{})
			if err != nil || report.Added != 1 || len(report.Problems) != 1 || !strings.Contains(report.Problems[0], key) {
				t.Errorf("%+v, error %v: want one record and one problem", report, err)
			}
			wantBuild(t, x, r, vitrine.Build{State: vitrine.Running})
			if report, err := x.Sync(t.Context(), bucket, time.Time{}); err != nil || len(report.Problems) > 0 || report.Builds != 1 {
				t.Errorf("again: %+v, error %v: want the build and no problem", report, err)
			}
			bucket.Delete(t.Context(), key)
			time.Sleep(2 * time.Millisecond)
			put(t, bucket, key, mark(t, r))
			syncAll(t, x, bucket)
			wantBuild(t, x, r, vitrine.Build{State: vitrine.Interrupted})
		})
	}
}

// A mark of a build that is not there, or that began on another day, is nobody's.
func TestMarksOfNobody(t *testing.T) {
	t.Parallel()
	bucket := storage.NewMemory()
	r := started(record(40))
	publish(t, bucket, r)
	put(t, bucket, vitrine.MarkKey(vitrine.InterruptedKind, r.StartTime.AddDate(0, 0, 1), r.UUID), mark(t, r))
	put(t, bucket, markKey(vitrine.KeptKind, record(3)), mark(t, record(3)))
	x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
	syncAll(t, x, bucket)
	b, _, err := x.Build(t.Context(), r.UUID)
	if err != nil || b.State == vitrine.Interrupted {
		t.Errorf("state %s, error %v", b.State, err)
	}
	if err := x.Mark(t.Context(), vitrine.KeptKind, mark(t, record(3))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want that there is no such build", err)
	}
	if err := x.Mark(t.Context(), vitrine.KeptKind, []byte("{}")); !errors.Is(err, vitrine.ErrMark) {
		t.Errorf("error %v, want that it is no mark", err)
	}
	if err := x.Unmark(t.Context(), vitrine.KeptKind, record(3).UUID); err != nil {
		t.Error(err)
	}
}
