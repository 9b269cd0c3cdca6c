package index_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/server/index"
	"vitrine/server/index/indextest"
	"vitrine/storage"
)

var now = time.Now().UTC().Truncate(time.Second)

// record makes up a record of the n-th build before now, one an hour.
func record(n int, change ...func(*vitrine.Record)) *vitrine.Record {
	h := indextest.History{Builds: 1000, End: now, Step: time.Hour}
	r := h.Record(h.Builds - 1 - n)
	for _, f := range change {
		f(r)
	}
	return r
}

// started is what begins the build that r ends.
func started(r *vitrine.Record) *vitrine.Record {
	s := *r
	s.Result, s.ErrorDetail, s.EndTime, s.Artifacts = "", "", time.Time{}, nil
	return &s
}

func entry(t testing.TB, r *vitrine.Record) index.Entry {
	t.Helper()
	b, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if r.IsImported() {
		return index.Entry{Record: b}
	}
	return index.Entry{Record: b, Signature: []byte("signature of " + r.UUID)}
}

func put(t testing.TB, b storage.Bucket, key string, body []byte) {
	t.Helper()
	opts := storage.CreateOptions{Size: int64(len(body)), SHA256: sha256.Sum256(body)}
	if err := b.Create(t.Context(), key, bytes.NewReader(body), opts); err != nil {
		t.Fatal(err)
	}
}

// publish puts a record into a bucket.
func publish(t testing.TB, b storage.Bucket, r *vitrine.Record) {
	t.Helper()
	key, e := r.Key(), entry(t, r)
	if e.Signature != nil {
		put(t, b, vitrine.SignatureKey(key), e.Signature)
	}
	put(t, b, key, e.Record)
}

func open(t testing.TB, path string) *index.Index {
	t.Helper()
	x, err := index.Open(t.Context(), path, index.Options{Tenant: "opendev"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

func add(t testing.TB, x *index.Index, list ...*vitrine.Record) {
	t.Helper()
	for _, r := range list {
		if err := x.Add(t.Context(), entry(t, r)); err != nil {
			t.Fatal(err)
		}
	}
}

func syncAll(t testing.TB, x *index.Index, b storage.Reader) index.Report {
	t.Helper()
	report, err := x.Sync(t.Context(), b, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// everything is what an index says, by every method, as JSON.
func everything(t testing.TB, x *index.Index) string {
	t.Helper()
	ctx := t.Context()
	var said []any
	say := func(v any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		said = append(said, v)
	}
	var all []vitrine.Build
	for q := (index.Query{Limit: 7}); ; {
		page, err := x.Builds(ctx, q)
		say(page, err)
		all = append(all, page.Builds...)
		if q.Before = page.Older; q.Before == "" {
			break
		}
	}
	for _, q := range []index.Query{
		{Service: []string{"*"}}, {Job: []string{"tox-*", "infra*1"}}, {Result: []string{"LOST"}}, {Result: []string{"RUNNING", "FAILURE"}},
		{Project: []string{"open*/*"}, Branch: []string{"master"}},
	} {
		page, err := x.Builds(ctx, q)
		say(page, err)
	}
	for _, b := range all {
		whole, e, err := x.Build(ctx, b.UUID)
		say([]any{whole, e}, err)
		set, err := x.Buildset(ctx, b.Buildset)
		say(set, err)
		around, err := x.Neighbours(ctx, b, 5)
		say(around, err)
	}
	services, err := x.Services(ctx, 5)
	say(services, err)
	for _, s := range services {
		jobs, err := x.Jobs(ctx, s.Name, 5, 100)
		say(jobs, err)
	}
	b, err := json.MarshalIndent(said, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// An index that was lost says the same when it is filled anew, in whatever
// order records came to the first.
func TestRebuild(t *testing.T) {
	t.Parallel()
	bucket := storage.NewMemory()
	live := open(t, filepath.Join(t.TempDir(), "live.sqlite"))
	for i := range 18 {
		r := record(i)
		if i%3 != 0 {
			publish(t, bucket, started(r))
			add(t, live, started(r))
		}
		if i%7 != 1 { // the others run, or are lost
			publish(t, bucket, r)
			add(t, live, r)
		}
	}
	// Records that are in each other's way: the earlier start counts.
	for i, by := range []time.Duration{24 * time.Hour, -24 * time.Hour, -48 * time.Hour, 48 * time.Hour} {
		r := record(10+i, func(r *vitrine.Record) { r.StartTime = r.StartTime.Add(by); r.EndTime = r.StartTime })
		publish(t, bucket, r)
		if err := live.Add(t.Context(), entry(t, r)); (err == nil) != (by < 0) {
			t.Errorf("a second record that starts %v later: %v", by, err)
		} else if err != nil && (!errors.Is(err, index.ErrDuplicate) || !errors.Is(err, fs.ErrExist)) {
			t.Errorf("error %v, want ErrDuplicate", err)
		}
	}
	before := everything(t, live)
	again := open(t, filepath.Join(t.TempDir(), "again.sqlite"))
	if !again.Rebuilt() {
		t.Error("an empty index does not say that it must be filled")
	}
	syncAll(t, again, bucket)
	if after := everything(t, again); after != before {
		t.Errorf("the index says something else once it was filled anew:\n%s", diff(before, after))
	}
	syncAll(t, live, bucket)
	if after := everything(t, live); after != before {
		t.Errorf("a sync changed what the index says:\n%s", diff(before, after))
	}
}

// Of records with one uuid the same one counts in whatever order they come: a
// finished one, then the one that started first.
func TestDuplicates(t *testing.T) {
	t.Parallel()
	on := func(days int) *vitrine.Record {
		return record(1, func(r *vitrine.Record) { r.StartTime = now.AddDate(0, 0, days); r.EndTime = r.StartTime })
	}
	for name, test := range map[string]struct {
		records []*vitrine.Record
		want    *vitrine.Record
	}{
		"two that run":           {[]*vitrine.Record{started(on(-1)), started(on(-2))}, started(on(-2))},
		"two that ended":         {[]*vitrine.Record{on(-1), on(-2)}, on(-2)},
		"an earlier one runs":    {[]*vitrine.Record{on(-1), started(on(-2))}, on(-1)},
		"a later one runs":       {[]*vitrine.Record{on(-2), started(on(-1))}, on(-2)},
		"two whole, and one not": {[]*vitrine.Record{on(0), started(on(0)), on(-1), started(on(-2))}, on(-1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bucket := storage.NewMemory()
			for _, r := range test.records {
				publish(t, bucket, r)
			}
			check := func(x *index.Index, after string) {
				t.Helper()
				_, e, err := x.Build(t.Context(), test.want.UUID)
				if err != nil || !bytes.Equal(e.Record, entry(t, test.want).Record) {
					t.Errorf("%s: %s, %v", after, e.Record, err)
				}
				page, err := x.Builds(t.Context(), index.Query{})
				if err != nil || len(page.Builds) != 1 || page.Builds[0].ID != test.want.ID() || page.Builds[0].Result != test.want.Result {
					t.Errorf("%s, listed: %+v, %v", after, page.Builds, err)
				}
			}
			again := open(t, filepath.Join(t.TempDir(), "again.sqlite"))
			syncAll(t, again, bucket)
			check(again, "filled anew")
			for _, list := range orders(test.records) {
				x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
				said := "added"
				for _, r := range list {
					err := x.Add(t.Context(), entry(t, r))
					if err != nil && (!errors.Is(err, index.ErrDuplicate) || !errors.Is(err, fs.ErrExist)) {
						t.Fatal(err)
					}
					said += fmt.Sprintf(" %s %q (%v)", r.StartTime.Format(time.DateOnly), r.Result, err)
				}
				check(x, said)
				syncAll(t, x, bucket)
				check(x, said+", then synced")
				x.Close()
			}
		})
	}
}

// orders are all orders of a list.
func orders[T any](list []T) (all [][]T) {
	if len(list) == 0 {
		return [][]T{nil}
	}
	for i := range list {
		for _, rest := range orders(slices.Concat(list[:i], list[i+1:])) {
			all = append(all, append(rest, list[i]))
		}
	}
	return all
}

func diff(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d:\n%s\n%s", i, strings.Join(x[max(0, i-3):i+1], "\n"), y[i])
		}
	}
	return "lengths differ"
}

func TestAdd(t *testing.T) {
	t.Parallel()
	x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
	r := record(3)
	get := func() vitrine.Build {
		t.Helper()
		b, _, err := x.Build(t.Context(), r.UUID)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	add(t, x, started(r), started(r))
	if b := get(); b.State != vitrine.Running || b.Result != "" {
		t.Errorf("after started.json: %v %q", b.State, b.Result)
	}
	add(t, x, r, r, started(r))
	b, e, err := x.Build(t.Context(), r.UUID)
	if err != nil {
		t.Fatal(err)
	}
	if b.State != vitrine.Finished || b.Result != r.Result || b.Sealed != 1 || b.Public != 0 || b.Bytes != 48213 || b.ID != r.ID() {
		t.Errorf("after build.json: %+v", b)
	}
	want := entry(t, r)
	if !bytes.Equal(e.Record, want.Record) || !bytes.Equal(e.Signature, want.Signature) {
		t.Errorf("stored %q", e)
	}
	page, err := x.Builds(t.Context(), index.Query{})
	if err != nil || len(page.Builds) != 1 {
		t.Fatal(page, err)
	}
	// A list leaves out only what it says it does.
	b.Readers, b.SkippedReaders, b.Artifacts = nil, nil, nil
	if got, want := fmt.Sprintf("%+v", page.Builds[0]), fmt.Sprintf("%+v", b); got != want {
		t.Errorf("listed\n%s\nwant\n%s", got, want)
	}

	other := *r
	other.Nodeset = "another"
	foreign := *r
	foreign.Tenant = "other"
	for name, test := range map[string]struct {
		entry index.Entry
		want  error
	}{
		"other build.json":   {entry(t, &other), index.ErrDuplicate},
		"of another tenant":  {entry(t, &foreign), vitrine.ErrRecord},
		"not a record":       {index.Entry{Record: []byte("{}")}, vitrine.ErrRecord},
		"nothing":            {index.Entry{}, vitrine.ErrRecord},
		"a big signature":    {index.Entry{Record: want.Record, Signature: make([]byte, vitrine.MaxSignatureSize+1)}, vitrine.ErrRecord},
		"not the one form":   {index.Entry{Record: append(slices.Clone(want.Record), '\n')}, vitrine.ErrRecord},
		"a big non-document": {index.Entry{Record: bytes.Repeat([]byte("["), vitrine.MaxRecordSize+1)}, vitrine.ErrRecord},
	} {
		if err := x.Add(t.Context(), test.entry); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if b := get(); b.Nodeset != r.Nodeset {
		t.Error("a refused record changed the index")
	}
	for _, uuid := range []string{record(4).UUID, "", "x", strings.ToUpper(r.UUID), r.UUID + "0"} {
		if _, _, err := x.Build(t.Context(), uuid); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Build(%q): %v, want fs.ErrNotExist", uuid, err)
		}
		if set, err := x.Buildset(t.Context(), uuid); err != nil || len(set) > 0 {
			t.Errorf("Buildset(%q): %v, %v", uuid, set, err)
		}
	}
}

// A server that dies between the bucket and the index loses nothing: the next
// sync finds what it lacks, and only that.
func TestSyncHeals(t *testing.T) {
	t.Parallel()
	bucket := storage.NewMemory()
	path := filepath.Join(t.TempDir(), "index.sqlite")
	x := open(t, path)
	for i := range 10 {
		publish(t, bucket, started(record(i)))
	}
	if r := syncAll(t, x, bucket); r.Added != 10 || r.Builds != 10 || len(r.Problems) > 0 {
		t.Errorf("first sync: %+v", r)
	}
	publish(t, bucket, record(2)) // stored, and here the server died
	publish(t, bucket, record(11))
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	x = open(t, path)
	if x.Rebuilt() {
		t.Error("a good index was replaced")
	}
	if r := syncAll(t, x, bucket); r.Added != 2 || r.Builds != 11 || len(r.Problems) > 0 {
		t.Errorf("second sync: %+v", r)
	}
	if b, _, err := x.Build(t.Context(), record(2).UUID); err != nil || b.State != vitrine.Finished {
		t.Errorf("the build that ended: %+v, %v", b, err)
	}
	counting := &counter{Reader: bucket}
	if r := syncAll(t, x, counting); r.Added != 0 || r.Builds != 11 || counting.opened > 0 {
		t.Errorf("third sync: %+v, opened %d objects", r, counting.opened)
	}
	// From a day on, earlier ones are not looked at.
	publish(t, bucket, record(100))
	r, err := x.Sync(t.Context(), bucket, now.Add(-48*time.Hour))
	if err != nil || r.Added != 0 || r.Builds != 11 {
		t.Errorf("sync of two days: %+v, %v", r, err)
	}
	if r, err = x.Sync(t.Context(), bucket, now.Add(-100*time.Hour)); err != nil || r.Added != 1 {
		t.Errorf("sync of five days: %+v, %v", r, err)
	}
}

// A broken or foreign object hurts nobody but itself.
func TestSyncPassesOver(t *testing.T) {
	t.Parallel()
	bucket := storage.NewMemory()
	good := record(1)
	publish(t, bucket, good)
	// Its build.json is broken, but that it began is known.
	half := record(2)
	publish(t, bucket, started(half))
	put(t, bucket, vitrine.RecordKey(half.StartTime, half.UUID), []byte(`{"version":1`))
	// Records in the place of others: of another build, day, state, tenant.
	misplaced := entry(t, record(3)).Record
	put(t, bucket, vitrine.RecordKey(now, strings.Repeat("a", 32)), misplaced)
	put(t, bucket, vitrine.RecordKey(now.AddDate(0, 0, -30), record(3).UUID), misplaced)
	put(t, bucket, vitrine.StartedKey(record(3).StartTime, record(3).UUID), misplaced)
	foreign := record(4, func(r *vitrine.Record) { r.Tenant = "other" })
	put(t, bucket, vitrine.RecordKey(foreign.StartTime, foreign.UUID), entry(t, foreign).Record)
	// Hostile sizes and bytes.
	for i, body := range []string{"", "\x00", "null", "[]", strings.Repeat("[", 1<<16), strings.Repeat("x", vitrine.MaxRecordSize+1)} {
		put(t, bucket, vitrine.RecordKey(now, fmt.Sprintf("%032x", i)), []byte(body))
	}
	big := record(5)
	put(t, bucket, vitrine.RecordKey(big.StartTime, big.UUID), entry(t, big).Record)
	put(t, bucket, vitrine.SignatureKey(vitrine.RecordKey(big.StartTime, big.UUID)), make([]byte, vitrine.MaxSignatureSize+1))
	// No record at all, only what would stand beside one; and one without a signature.
	put(t, bucket, vitrine.SignatureKey(vitrine.RecordKey(now, strings.Repeat("b", 32))), []byte("x"))
	put(t, bucket, vitrine.ArtifactKey(good.UUID, "job-output.txt.zst.age"), []byte("x"))
	unsigned := record(6)
	put(t, bucket, vitrine.RecordKey(unsigned.StartTime, unsigned.UUID), entry(t, unsigned).Record)

	x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
	r := syncAll(t, x, bucket)
	if r.Added != 3 || r.Builds != 3 || len(r.Problems) != 12 {
		t.Errorf("report: %+v", r)
	}
	for _, p := range r.Problems {
		if !strings.HasPrefix(p, vitrine.RecordsPrefix) || len(p) > 600 {
			t.Errorf("problem %q: want one that begins with the key, and is short", p)
		}
	}
	for uuid, want := range map[string]vitrine.State{good.UUID: vitrine.Finished, half.UUID: vitrine.Running, unsigned.UUID: vitrine.Finished} {
		if b, _, err := x.Build(t.Context(), uuid); err != nil || b.State != want {
			t.Errorf("build %s: %v, %v, want %v", uuid, b.State, err, want)
		}
	}
	if _, e, err := x.Build(t.Context(), unsigned.UUID); err != nil || len(e.Signature) > 0 {
		t.Errorf("the unsigned build: %q, %v", e.Signature, err)
	}
	// What is broken stays so, and is not looked at again.
	publish(t, bucket, record(1, func(r *vitrine.Record) { r.EndTime = now.AddDate(0, 0, 1); r.StartTime = r.EndTime }))
	if r := syncAll(t, x, bucket); r.Added != 0 || r.Builds != 3 || len(r.Problems) != 1 || !strings.HasPrefix(r.Problems[0], vitrine.RecordsPrefix) {
		t.Errorf("sync of a duplicate: %+v", r)
	}
	counting := &counter{Reader: bucket}
	if r := syncAll(t, x, counting); r.Added != 0 || r.Builds != 3 || len(r.Problems) > 0 || counting.opened > 0 {
		t.Errorf("last sync: %+v, opened %d objects", r, counting.opened)
	}
}

func TestSyncBoundsProblems(t *testing.T) {
	t.Parallel()
	bucket := storage.NewMemory()
	for i := range 150 {
		put(t, bucket, vitrine.RecordKey(now, fmt.Sprintf("%032x", i)), []byte("x"))
	}
	x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
	if r := syncAll(t, x, bucket); len(r.Problems) != 101 || r.Problems[100] != "and 50 more" {
		t.Errorf("%d problems, the last is %q", len(r.Problems), r.Problems[len(r.Problems)-1])
	}
}

// A bucket that can't be listed is an error; what was found before is kept.
func TestSyncFails(t *testing.T) {
	t.Parallel()
	bucket := storage.NewMemory()
	for i := range 20 {
		publish(t, bucket, record(i))
	}
	x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
	broken := errors.New("the store went away")
	r, err := x.Sync(t.Context(), &counter{Reader: bucket, listErr: broken}, time.Time{})
	if !errors.Is(err, broken) {
		t.Errorf("sync from a broken store: %+v, %v", r, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := x.Sync(ctx, bucket, time.Time{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled sync: %v", err)
	}
	if _, err := x.Builds(ctx, index.Query{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled list: %v", err)
	}
	if err := x.Add(ctx, entry(t, record(30))); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled add: %v", err)
	}
	if r := syncAll(t, x, bucket); r.Builds != 20 {
		t.Errorf("sync from the store, back again: %+v", r)
	}
}

// A file of another version or tenant, a damaged one and one that is no index
// are replaced by an empty index; what may be somebody's is kept beside it.
func TestOpenReplaces(t *testing.T) {
	t.Parallel()
	bucket := storage.NewMemory()
	for i := range 20 {
		publish(t, bucket, record(i))
	}
	for name, test := range map[string]struct {
		spoil func(t *testing.T, path string)
		kept  bool
	}{
		"another version":    {execute("PRAGMA user_version = 99"), false},
		"another tenant":     {execute("UPDATE tenant SET name = 'other'"), false},
		"no tenant":          {execute("DELETE FROM tenant"), false},
		"a table is missing": {execute("DROP TABLE tenant"), false},
		"another program's":  {execute("PRAGMA application_id = 7"), true},
		"no database": {func(t *testing.T, path string) {
			rewrite(t, path, func([]byte) []byte { return []byte("dear diary\n") })
		}, true},
		"a header of noise":        {func(t *testing.T, path string) { rewrite(t, path, noise(0, 4096)) }, true},
		"noise in the middle":      {func(t *testing.T, path string) { rewrite(t, path, noise(40<<12, 60<<12)) }, false},
		"the end is cut off":       {func(t *testing.T, path string) { rewrite(t, path, func(b []byte) []byte { return b[:len(b)/2] }) }, true},
		"a journal of nonsense":    {func(t *testing.T, path string) { rewrite(t, path, nothing); write(t, path+"-wal", "nonsense") }, false},
		"nothing in it":            {func(t *testing.T, path string) { rewrite(t, path, nothing) }, false},
		"it is not there any more": {func(t *testing.T, path string) { os.Remove(path) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "below", "index.sqlite")
			x := open(t, path)
			syncAll(t, x, bucket)
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			if files, err := filepath.Glob(path + "*"); err != nil || len(files) != 1 {
				t.Errorf("after Close: %q, %v, want the file alone", files, err)
			}
			test.spoil(t, path)
			x = open(t, path)
			if !x.Rebuilt() {
				t.Fatal("the file was taken for a good index")
			}
			if page, err := x.Builds(t.Context(), index.Query{}); err != nil || len(page.Builds) > 0 {
				t.Errorf("after replacing: %d builds, %v", len(page.Builds), err)
			}
			if r := syncAll(t, x, bucket); r.Added != 20 {
				t.Errorf("sync: %+v", r)
			}
			if _, err := os.Stat(path + ".old"); (err == nil) != test.kept {
				t.Errorf("the old file, kept: %v, want %v", err == nil, test.kept)
			}
			x.Close()
			if x = open(t, path); x.Rebuilt() {
				t.Error("the new index was replaced in its turn")
			}
		})
	}
}

func execute(statement string) func(t *testing.T, path string) {
	return func(t *testing.T, path string) {
		t.Helper()
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func nothing([]byte) []byte { return nil }

func noise(from, to int) func(b []byte) []byte {
	return func(b []byte) []byte {
		for i := from; i < min(to, len(b)); i++ {
			b[i] = byte(i*7 + i>>8)
		}
		return b
	}
}

func rewrite(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(f(b)))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for _, tenant := range []string{"", "Open Dev", "a/b"} {
		if x, err := index.Open(t.Context(), filepath.Join(t.TempDir(), "x"), index.Options{Tenant: tenant}); err == nil {
			x.Close()
			t.Errorf("Open for tenant %q succeeded", tenant)
		}
	}
	dir := t.TempDir()
	if _, err := index.Open(t.Context(), dir, index.Options{Tenant: "opendev"}); err == nil {
		t.Error("Open of a directory succeeded")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the directory is gone: %v", err)
	}
	strange := filepath.Join(dir, "100% mine? #1 & more")
	open(t, strange)
	if _, err := os.Stat(strange); err != nil {
		t.Errorf("a file name with marks: %v", err)
	}
}
