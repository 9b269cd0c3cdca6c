package retention_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/retention"
	"vitrine/server/index"
	"vitrine/storage"
)

var now = time.Now().UTC().Truncate(time.Second)

const day = 24 * time.Hour

// A history is a bucket and the builds that a test put into it.
type history struct {
	t      *testing.T
	bucket *sickBucket
	x      *index.Index
}

func newHistory(t *testing.T) *history {
	t.Helper()
	h := &history{t: t, bucket: &sickBucket{Bucket: storage.NewMemory(), age: make(map[string]time.Duration)}}
	h.x = h.openIndex()
	return h
}

func (h *history) openIndex() *index.Index {
	h.t.Helper()
	x, err := index.Open(h.t.Context(), filepath.Join(h.t.TempDir(), "index.sqlite"), index.Options{Tenant: "demo"})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { x.Close() })
	return x
}

// A sickBucket is one whose objects may be old, and whose calls may fail.
type sickBucket struct {
	storage.Bucket
	age     map[string]time.Duration // of artifacts and kept marks, by uuid
	unlist  string                   // no listing of records has this uuid
	fail    func(call, key string) error
	expires map[string]time.Time // set by Expire
}

func (b *sickBucket) try(call, key string) error {
	if b.fail == nil {
		return nil
	}
	return b.fail(call, key)
}

func (b *sickBucket) dated(o storage.Object, err error) (storage.Object, error) {
	if k, e := vitrine.ParseKey(o.Key); e == nil && (k.Kind == vitrine.ArtifactKind || k.Kind == vitrine.KeptKind) {
		o.ModTime = o.ModTime.Add(-b.age[k.UUID])
	}
	return o, err
}

func (b *sickBucket) Create(ctx context.Context, key string, body io.Reader, opts storage.CreateOptions) error {
	if err := b.try("Create", key); err != nil {
		return err
	}
	return b.Bucket.Create(ctx, key, body, opts)
}

func (b *sickBucket) Stat(ctx context.Context, key string) (storage.Object, error) {
	if err := b.try("Stat", key); err != nil {
		return storage.Object{}, err
	}
	return b.dated(b.Bucket.Stat(ctx, key))
}

func (b *sickBucket) List(ctx context.Context, prefix string) iter.Seq2[storage.Object, error] {
	return func(yield func(storage.Object, error) bool) {
		n := 0
		for o, err := range b.Bucket.List(ctx, prefix) {
			if n++; n == 3 { // it breaks off
				if err := b.try("List", prefix); err != nil {
					yield(storage.Object{}, err)
					return
				}
			}
			if b.unlist != "" && strings.HasPrefix(o.Key, vitrine.RecordsPrefix) && strings.Contains(o.Key, b.unlist) {
				continue
			}
			if !yield(b.dated(o, err)) {
				return
			}
		}
		if n < 3 {
			if err := b.try("List", prefix); err != nil {
				yield(storage.Object{}, err)
			}
		}
	}
}

func (b *sickBucket) Uploads(ctx context.Context, prefix string) iter.Seq2[storage.Upload, error] {
	return func(yield func(storage.Upload, error) bool) {
		if err := b.try("Uploads", prefix); err != nil {
			yield(storage.Upload{}, err)
			return
		}
		for u, err := range b.Bucket.Uploads(ctx, prefix) {
			if k, e := vitrine.ParseKey(u.Key); e == nil {
				u.ModTime = u.ModTime.Add(-b.age[k.UUID])
			}
			if !yield(u, err) {
				return
			}
		}
	}
}

func (b *sickBucket) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := b.try("Open", key); err != nil {
		return nil, err
	}
	return b.Bucket.Open(ctx, key)
}

func (b *sickBucket) Delete(ctx context.Context, key string) error {
	if err := b.try("Delete", key); err != nil {
		return err
	}
	return b.Bucket.Delete(ctx, key)
}

func (b *sickBucket) Expire(ctx context.Context, key string, at time.Time) error {
	if b.expires == nil {
		b.expires = make(map[string]time.Time)
	}
	b.expires[key] = at
	return nil
}

func (h *history) put(key, body string) {
	h.t.Helper()
	opts := storage.CreateOptions{Size: int64(len(body)), SHA256: sha256.Sum256([]byte(body))}
	if err := h.bucket.Create(h.t.Context(), key, strings.NewReader(body), opts); err != nil {
		h.t.Fatal(err)
	}
}

// A build is what a test wants of one.
type build struct {
	uuid      string
	job       string
	result    vitrine.Result // empty: it only began
	nonVoting bool
	started   time.Duration // ago
	expired   time.Duration // ago; negative: not yet; 0: it never does
	marks     []vitrine.KeyKind
}

func uuidOf(n int) string { return fmt.Sprintf("%032x", n) }

func (b build) record() *vitrine.Record {
	started := now.Add(-b.started)
	r := &vitrine.Record{
		Version: vitrine.RecordVersion, Tenant: "demo", Service: "web", UUID: b.uuid, JobName: b.job, Voting: !b.nonVoting,
		Result: b.result, Buildset: uuidOf(1), StartTime: started, Keyring: vitrine.Keyring{Commit: strings.Repeat("a", 40)},
		Publisher: "bridge",
	}
	if b.expired != 0 {
		r.Expires = now.Add(-b.expired)
	}
	if b.result != "" {
		r.EndTime = started.Add(time.Minute)
		for _, name := range []string{"a.log.zst.age", "deep/b.png"} {
			r.Artifacts = append(r.Artifacts, vitrine.Artifact{Name: name, Path: name, Sealed: strings.HasSuffix(name, ".age"),
				Size: 7, SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(name)))})
		}
	}
	return r
}

// add puts a build into the bucket: two artifacts, its records, its marks.
func (h *history) add(b build) {
	h.t.Helper()
	h.bucket.age[b.uuid] = b.started
	h.put(vitrine.ArtifactKey(b.uuid, "a.log.zst.age"), "sealed!")
	h.put(vitrine.ArtifactKey(b.uuid, "deep/b.png"), "public!")
	text := func(r *vitrine.Record) string {
		text, err := r.Marshal()
		if err != nil {
			h.t.Fatal(err)
		}
		return string(text)
	}
	started := b
	started.result = ""
	r := b.record()
	h.put(vitrine.StartedKey(r.StartTime, b.uuid), text(started.record()))
	if b.result != "" {
		h.put(vitrine.RecordKey(r.StartTime, b.uuid), text(r))
	}
	for _, kind := range b.marks {
		h.mark(kind, r)
	}
}

func (h *history) mark(kind vitrine.KeyKind, r *vitrine.Record) {
	h.t.Helper()
	if _, err := retention.Mark(h.t.Context(), h.bucket, kind, r, now); err != nil {
		h.t.Fatal(err)
	}
}

func (h *history) collect(o retention.Options) (retention.Summary, []retention.Item, error) {
	h.t.Helper()
	var items []retention.Item
	o.Tenant, o.Report = "demo", func(i retention.Item) { items = append(items, i) }
	sum, err := retention.Collect(h.t.Context(), h.bucket, h.x, o)
	return sum, items, err
}

// objects are the uuids that have artifacts.
func (h *history) objects() []string {
	h.t.Helper()
	var uuids []string
	for o, err := range h.bucket.Bucket.List(h.t.Context(), vitrine.ArtifactsPrefix) {
		if err != nil {
			h.t.Fatal(err)
		}
		if k, _ := vitrine.ParseKey(o.Key); !slices.Contains(uuids, k.UUID) {
			uuids = append(uuids, k.UUID)
		}
	}
	return uuids
}

func (h *history) has(key string) bool {
	_, err := h.bucket.Bucket.Stat(h.t.Context(), key)
	return err == nil
}

// Each build of a job of its own, unless it says otherwise.
func TestCollect(t *testing.T) {
	success := vitrine.Success
	kept := []vitrine.KeyKind{vitrine.KeptKind}
	for _, test := range []struct {
		what   string
		builds []build // the first is the one that the test is about
		goes   bool
		reason retention.Reason
	}{
		{"expired", []build{{result: "FAILURE", started: 40 * day, expired: day}}, true, retention.Expired},
		{"expired this second", []build{{result: "FAILURE", started: 40 * day, expired: time.Second}}, true, retention.Expired},
		{"not expired yet", []build{{result: "FAILURE", started: 40 * day, expired: -time.Hour}}, false, ""},
		{"never expires", []build{{result: "FAILURE", started: 2000 * day}}, false, ""},
		{"kept", []build{{result: "FAILURE", started: 40 * day, expired: day, marks: kept}}, false, ""},
		{"the last success", []build{
			{job: "j", result: success, started: 40 * day, expired: day},
			{job: "j", result: "FAILURE", started: 30 * day, expired: -day},
			{job: "other", result: success, started: 20 * day, expired: -day},
		}, false, ""},
		{"a success before the last", []build{
			{job: "j", result: success, started: 40 * day, expired: day},
			{job: "j", result: success, started: 30 * day, expired: day},
		}, true, retention.Expired},
		{"a success before one that does not vote", []build{
			{job: "j", result: success, started: 40 * day, expired: day},
			{job: "j", result: success, nonVoting: true, started: 30 * day, expired: -day},
		}, false, ""},
		{"the only success, which does not vote", []build{{result: success, nonVoting: true, started: 40 * day, expired: day}}, true, retention.Expired},
		{"a success before one whose artifacts are gone", []build{
			{job: "j", result: success, started: 40 * day, expired: day},
			{job: "j", result: success, started: 30 * day, expired: day, marks: []vitrine.KeyKind{vitrine.ExpiredKind}},
		}, false, ""},
		{"running", []build{{started: time.Hour, expired: -day}}, false, ""},
		{"began days ago", []build{{started: 8 * day, expired: -day}}, false, ""},
		{"began days ago and has expired", []build{{started: 6 * day, expired: day}}, false, ""},
		{"never ended", []build{{started: 10 * day, expired: -30 * day}}, true, retention.Unfinished},
		{"never ended, kept", []build{{started: 10 * day, expired: -30 * day, marks: kept}}, false, ""},
		{"interrupted", []build{{started: 10 * day, expired: -day, marks: []vitrine.KeyKind{vitrine.InterruptedKind}}}, false, ""},
		{"interrupted and expired", []build{{started: 10 * day, expired: day, marks: []vitrine.KeyKind{vitrine.InterruptedKind}}}, true, retention.Expired},
		{"interrupted, expired, kept", []build{{started: 10 * day, expired: day, marks: append(kept, vitrine.InterruptedKind)}}, false, ""},
		{"marked as expired before a crash", []build{{result: "FAILURE", started: 40 * day, expired: day, marks: []vitrine.KeyKind{vitrine.ExpiredKind}}}, true, retention.Expired},
		{"marked as expired, and kept", []build{{result: "FAILURE", started: 40 * day, expired: day, marks: append(kept, vitrine.ExpiredKind)}}, false, ""},
		{"marked as expired, and its record says otherwise", []build{{result: "FAILURE", started: 40 * day, expired: -day, marks: []vitrine.KeyKind{vitrine.ExpiredKind}}}, false, ""},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t)
			for i, b := range test.builds {
				b.uuid = uuidOf(i + 10)
				if b.job == "" {
					b.job = fmt.Sprint("job-", i)
				}
				h.add(b)
			}
			uuid, start := uuidOf(10), now.Add(-test.builds[0].started)
			expired := vitrine.MarkKey(vitrine.ExpiredKind, start, uuid)
			marked := h.has(expired)

			// Without Delete it is only told.
			all := h.objects()
			_, told, err := h.collect(retention.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := h.objects(); !slices.Equal(got, all) || h.has(expired) != marked {
				t.Errorf("a dry run removed something: %q of %q", got, all)
			}
			for i := range 2 { // the second time there is nothing left to do
				sum, items, err := h.collect(retention.Options{Delete: true})
				if err != nil {
					t.Fatal(err)
				}
				if got := !slices.Contains(h.objects(), uuid); got != test.goes {
					t.Fatalf("gone: %v, want %v; %+v", got, test.goes, items)
				}
				isIt := func(item retention.Item) bool { return item.UUID == uuid && item.Problem == "" }
				if i == 0 && test.goes {
					at := slices.IndexFunc(items, isIt)
					if at < 0 || items[at].Reason != test.reason || items[at].Objects != 2 || items[at].Bytes != 14 || sum.Objects < 2 {
						t.Errorf("reported %+v, %+v", items, sum)
					}
				}
				if i == 0 && !slices.EqualFunc(items, told, func(a, b retention.Item) bool { return a == b }) {
					t.Errorf("the dry run told %+v, and this was done: %+v", told, items)
				}
				if i == 1 && slices.ContainsFunc(items, isIt) {
					t.Errorf("it goes again: %+v", items)
				}
			}
			if test.reason == retention.Expired {
				b, _, err := h.x.Build(t.Context(), uuid)
				if !h.has(expired) || err != nil || b.Expired.IsZero() {
					t.Errorf("mark %v; in the index %s, %v", h.has(expired), b.Expired, err)
				}
			}
			if !h.has(vitrine.StartedKey(start, uuid)) {
				t.Error("its record is gone")
			}
		})
	}
}

func TestOrphans(t *testing.T) {
	h := newHistory(t)
	old, young, half := uuidOf(20), uuidOf(21), uuidOf(22)
	h.bucket.age[old], h.bucket.age[young] = 9*day, 7*day
	h.put(vitrine.ArtifactKey(old, "a.log.zst.age"), "old")
	h.put(vitrine.ArtifactKey(young, "a.log.zst.age"), "young")
	part := []byte("part")
	h.bucket.age[half] = 9 * day
	for _, uuid := range []string{half, young} {
		if err := h.bucket.PutPart(t.Context(), vitrine.ArtifactKey(uuid, "b.age"), vitrine.NewPart(1, part), bytes.NewReader(part)); err != nil {
			t.Fatal(err)
		}
	}
	sum, items, err := h.collect(retention.Options{Delete: true})
	if err != nil || sum.Orphans != 2 || len(items) != 2 || items[0].Reason != retention.Orphaned || items[1].Reason != retention.Parts {
		t.Errorf("%+v, %+v, %v", sum, items, err)
	}
	if got := h.objects(); !slices.Equal(got, []string{young}) {
		t.Errorf("left %q", got)
	}
	for u, err := range h.bucket.Bucket.Uploads(t.Context(), "") {
		if err != nil || !strings.Contains(u.Key, young) {
			t.Errorf("left %s, %v", u.Key, err)
		}
	}
	if _, _, err := h.collect(retention.Options{Grace: vitrine.MaxBuildAge - 1}); err == nil {
		t.Error("a grace in which a record may still come was accepted")
	}
}

// history with something of each kind that would go
func (h *history) everyKind() {
	h.t.Helper()
	h.add(build{uuid: uuidOf(30), job: "a", result: "FAILURE", started: 40 * day, expired: day})
	h.add(build{uuid: uuidOf(31), job: "b", started: 10 * day})
	h.add(build{uuid: uuidOf(32), job: "c", result: "FAILURE", started: 40 * day, expired: day, marks: []vitrine.KeyKind{vitrine.ExpiredKind}})
	h.bucket.age[uuidOf(33)] = 9 * day
	h.put(vitrine.ArtifactKey(uuidOf(33), "x.age"), "orphan")
	for range 3 { // that is not first in any list
		h.add(build{uuid: uuidOf(rand.IntN(1<<30) + 1000), job: "d", result: "FAILURE", started: day})
	}
}

// Whatever fails, what is not sure stays; and when it works again, it goes.
func TestFailures(t *testing.T) {
	sick := errors.New("the store is sick")
	e, u, m, o := uuidOf(30), uuidOf(31), uuidOf(32), uuidOf(33)
	for _, test := range []struct {
		what  string
		fail  func(call, key string) error
		stays []string
		ends  bool // in an error
	}{
		{"records can't be listed", func(call, key string) error {
			if call == "List" && strings.HasPrefix(key, "records/") {
				return sick
			}
			return nil
		}, []string{e, u, m, o}, true},
		{"one store of several is down", func(call, key string) error {
			if call == "List" {
				return storage.ErrIncomplete
			}
			return nil
		}, []string{e, u, m, o}, true},
		{"artifacts can't be listed", func(call, key string) error {
			if call == "List" && key == "artifacts/" {
				return sick
			}
			return nil
		}, []string{u, m, o}, true},
		{"a record can't be read", func(call, key string) error {
			if call == "Open" && strings.Contains(key, e) {
				return sick
			}
			return nil
		}, []string{e}, false},
		{"nobody knows whether it is kept", func(call, key string) error {
			if call == "Stat" && strings.HasSuffix(key, "kept.json") {
				return storage.ErrUnavailable
			}
			return nil
		}, []string{e, u, m}, false},
		{"nobody knows whether it ended", func(call, key string) error {
			if call == "Stat" && strings.HasSuffix(key, "build.json") {
				return storage.ErrUnavailable
			}
			return nil
		}, []string{u}, false},
		{"objects can't be deleted", func(call, key string) error {
			if call == "Delete" && strings.HasPrefix(key, "artifacts/0000000000") { // no probe's, whose name is random
				return sick
			}
			return nil
		}, []string{e, u, m, o}, false},
		{"uploads can't be listed", func(call, key string) error {
			if call == "Uploads" {
				return sick
			}
			return nil
		}, nil, true},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t)
			h.everyKind()
			rest := len(h.objects()) - 4
			h.bucket.fail = test.fail
			sum, items, err := h.collect(retention.Options{Delete: true})
			if (err != nil) != test.ends {
				t.Errorf("error %v; %+v", err, items)
			}
			if !test.ends && sum.Problems == 0 {
				t.Errorf("nothing was said: %+v", items)
			}
			left := h.objects()
			for _, uuid := range []string{e, u, m, o} {
				if slices.Contains(left, uuid) != slices.Contains(test.stays, uuid) {
					t.Errorf("%s is there: %v", uuid, slices.Contains(left, uuid))
				}
			}
			h.bucket.fail = nil
			if _, _, err := h.collect(retention.Options{Delete: true}); err != nil {
				t.Fatal(err)
			}
			if left := h.objects(); len(left) != rest {
				t.Errorf("when all works again: %q", left)
			}
		})
	}
}

// A record that can't be parsed protects its artifacts.
func TestBrokenRecord(t *testing.T) {
	h := newHistory(t)
	b := build{uuid: uuidOf(40), job: "j", result: "FAILURE", started: 40 * day, expired: day}
	h.add(b)
	if _, err := h.x.Sync(t.Context(), h.bucket, time.Time{}); err != nil {
		t.Fatal(err)
	}
	key := vitrine.RecordKey(now.Add(-b.started), b.uuid)
	if err := h.bucket.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	h.put(key, "{}")
	sum, items, err := h.collect(retention.Options{Delete: true})
	if err != nil || sum.Problems == 0 || len(h.objects()) != 1 {
		t.Errorf("%+v, %+v, %v", sum, items, err)
	}
}

// An index that is empty, or of another history, removes nothing that is in use.
func TestWrongIndex(t *testing.T) {
	h := newHistory(t)
	// The last success of j by this index is nowhere in the bucket.
	forged := build{uuid: uuidOf(50), job: "j", result: vitrine.Success, started: day}
	text, _ := forged.record().Marshal()
	if err := h.x.Add(t.Context(), index.Entry{Record: text}); err != nil {
		t.Fatal(err)
	}
	// And it thinks that a build has expired which has not.
	early := build{uuid: uuidOf(52), job: "k", result: "FAILURE", started: 40 * day, expired: day}
	text, _ = early.record().Marshal()
	if err := h.x.Add(t.Context(), index.Entry{Record: text}); err != nil {
		t.Fatal(err)
	}
	early.expired = -day
	h.add(early)
	h.add(build{uuid: uuidOf(51), job: "j", result: vitrine.Success, started: 40 * day, expired: day})
	want := h.objects()
	sum, items, err := h.collect(retention.Options{Delete: true})
	if err != nil || !slices.Equal(h.objects(), want) {
		t.Errorf("left %q of %q; %+v, %+v, %v", h.objects(), want, sum, items, err)
	}
}

func TestClock(t *testing.T) {
	h := newHistory(t)
	h.everyKind()
	want := h.objects()
	// Our clock is behind the newest record.
	_, _, err := h.collect(retention.Options{Delete: true, Now: now.Add(-4 * day)})
	if !errors.Is(err, retention.ErrClock) || !slices.Equal(h.objects(), want) {
		t.Errorf("behind: %v, left %q", err, h.objects())
	}
	// Our clock is ahead of the store's: a build expires early, one that runs now
	// seems to have never ended, and parts and artifacts seem old.
	h = newHistory(t)
	b := build{uuid: uuidOf(60), job: "j", result: "FAILURE", started: day, expired: -5 * day}
	h.add(b)
	h.add(build{uuid: uuidOf(61), job: "k", started: time.Minute})
	h.put(vitrine.ArtifactKey(uuidOf(62), "a.log.zst.age"), "its record comes")
	part := []byte("part")
	if err := h.bucket.PutPart(t.Context(), vitrine.ArtifactKey(uuidOf(61), "b.age"), vitrine.NewPart(1, part), bytes.NewReader(part)); err != nil {
		t.Fatal(err)
	}
	_, items, err := h.collect(retention.Options{Delete: true, Now: now.Add(10 * day)})
	if !errors.Is(err, retention.ErrClock) || len(items) != 0 || len(h.objects()) != 3 || h.has(vitrine.MarkKey(vitrine.ExpiredKind, now.Add(-day), b.uuid)) {
		t.Errorf("ahead: %v, %+v, left %q", err, items, h.objects())
	}
	n := 0
	for range h.bucket.Bucket.Uploads(t.Context(), "") {
		n++
	}
	if n != 1 {
		t.Errorf("ahead: %d uploads are left, want 1", n)
	}
}

// What a listing lacks and the index has stays.
func TestLateListing(t *testing.T) {
	h := newHistory(t)
	h.add(build{uuid: uuidOf(65), job: "j", result: vitrine.Success, started: 20 * day})
	h.add(build{uuid: uuidOf(66), job: "j", result: vitrine.Success, started: 19 * day})
	if _, _, err := h.collect(retention.Options{}); err != nil { // the index has them now
		t.Fatal(err)
	}
	h.bucket.unlist = uuidOf(65)
	sum, items, err := h.collect(retention.Options{Delete: true})
	if err != nil || len(h.objects()) != 2 || sum.Problems != 1 || len(items) != 1 || !strings.Contains(items[0].Problem, "listing") {
		t.Errorf("left %q, %+v, %+v, %v", h.objects(), sum, items, err)
	}
}

// The runner of an interrupted build comes back while it expires.
func TestPublishedMeanwhile(t *testing.T) {
	h := newHistory(t)
	b := build{uuid: uuidOf(67), job: "j", started: 10 * day, expired: day, marks: []vitrine.KeyKind{vitrine.InterruptedKind}}
	h.add(b)
	h.bucket.fail = func(call, key string) error {
		if call == "Open" && strings.HasSuffix(key, "started.json") && !h.has(vitrine.RecordKey(now.Add(-b.started), b.uuid)) {
			ended := b
			ended.result, ended.expired = vitrine.Success, -day
			text, err := ended.record().Marshal()
			if err != nil {
				t.Fatal(err)
			}
			h.put(vitrine.RecordKey(now.Add(-b.started), b.uuid), string(text))
		}
		return nil
	}
	if _, err := h.x.Sync(t.Context(), h.bucket.Bucket, time.Time{}); err != nil { // so that started.json is opened once
		t.Fatal(err)
	}
	_, items, err := h.collect(retention.Options{Delete: true})
	if err != nil || len(h.objects()) != 1 || len(items) != 0 {
		t.Errorf("left %q, %+v, %v", h.objects(), items, err)
	}
}

// Keeping a build in the moment that it expires wins.
func TestKeptMeanwhile(t *testing.T) {
	h := newHistory(t)
	b := build{uuid: uuidOf(70), job: "j", result: "FAILURE", started: 40 * day, expired: day}
	h.add(b)
	looks := 0
	h.bucket.fail = func(call, key string) error {
		if call == "Stat" && strings.HasSuffix(key, "kept.json") {
			if looks++; looks == 2 { // after the first look, before the second
				h.mark(vitrine.KeptKind, b.record())
			}
		}
		return nil
	}
	h.bucket.age[b.uuid] = 0
	_, items, err := h.collect(retention.Options{Delete: true})
	if err != nil || len(h.objects()) != 1 || looks != 2 || len(items) != 0 {
		t.Errorf("left %q after %d looks, %+v, %v", h.objects(), looks, items, err)
	}
	// Its mark as expired goes when nobody can be in the middle of keeping it.
	expired := vitrine.MarkKey(vitrine.ExpiredKind, now.Add(-b.started), b.uuid)
	for _, age := range []time.Duration{time.Minute, 2 * time.Hour} {
		h.bucket.age[b.uuid] = age
		if sum, items, err := h.collect(retention.Options{Delete: true}); err != nil || sum.Exempt != 1 || len(items) != 0 {
			t.Errorf("%s later: %+v, %+v, %v", age, sum, items, err)
		}
		if got, want := h.has(expired), age < time.Hour; got != want {
			t.Errorf("%s later: marked as expired: %v, want %v", age, got, want)
		}
	}
	if known, _, err := h.x.Build(t.Context(), b.uuid); err != nil || !known.Expired.IsZero() || !known.Kept {
		t.Errorf("in the index: expired %s, kept %v, %v", known.Expired, known.Kept, err)
	}
}

// A store that removes objects by itself is told what is exempt.
func TestExpirer(t *testing.T) {
	h := newHistory(t)
	h.add(build{uuid: uuidOf(80), job: "j", result: vitrine.Success, started: 40 * day, expired: day})
	h.add(build{uuid: uuidOf(81), job: "k", result: "FAILURE", started: 40 * day, expired: day, marks: []vitrine.KeyKind{vitrine.KeptKind}})
	h.add(build{uuid: uuidOf(82), job: "k", result: "FAILURE", started: 40 * day, expired: -day})
	if sum, _, err := h.collect(retention.Options{}); err != nil || sum.Exempt != 2 || len(h.bucket.expires) != 0 {
		t.Errorf("dry run: %+v, %v, told %v", sum, err, h.bucket.expires)
	}
	if sum, _, err := h.collect(retention.Options{Delete: true}); err != nil || sum.Exempt != 2 || len(h.bucket.expires) != 4 {
		t.Errorf("%+v, %v, told %v", sum, err, h.bucket.expires)
	}
	for key, at := range h.bucket.expires {
		if !at.IsZero() || strings.Contains(key, uuidOf(82)) {
			t.Errorf("%s: %s", key, at)
		}
	}
}

// Two at once do what one does; the second finds the marks of the first, which
// are of another time.
func TestTwoAtOnce(t *testing.T) {
	h := newHistory(t)
	for i := range 20 {
		h.add(build{uuid: uuidOf(100 + i), job: "j", result: "FAILURE", started: 40 * day, expired: day})
	}
	errs := make(chan error)
	second := func() {
		_, err := retention.Collect(context.Background(), h.bucket.Bucket, h.openIndex(), retention.Options{Tenant: "demo", Delete: true, Now: now.Add(2 * time.Second)})
		errs <- err
	}
	looks := 0
	h.bucket.fail = func(call, key string) error {
		if call == "Stat" && strings.HasSuffix(key, "kept.json") {
			if looks++; looks == 2 { // it has marked the first build
				go second()
			}
		}
		return nil
	}
	if _, _, err := h.collect(retention.Options{Delete: true}); err != nil {
		t.Error(err)
	}
	if err := <-errs; err != nil {
		t.Error(err)
	}
	if left := h.objects(); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

// A stepper is a caller that waits before each call of its bucket that matters to
// expiry, until it is told to go on.
type stepper struct {
	at   chan bool // true: it waits; false: it has ended
	goOn chan struct{}
}

func step(bucket storage.Bucket, run func(storage.Bucket)) *stepper {
	s := &stepper{make(chan bool), make(chan struct{})}
	b := &sickBucket{Bucket: bucket, fail: func(call, key string) error {
		if strings.HasSuffix(key, "kept.json") || strings.HasSuffix(key, "expired.json") || call == "Delete" && strings.HasSuffix(key, "a.log.zst.age") {
			s.at <- true
			<-s.goOn
		}
		return nil
	}}
	go func() {
		run(b)
		s.at <- false
	}()
	return s
}

// A build that somebody keeps while two calls expire it: in whatever order the
// three get on, it is not kept and gone.
func TestKeptBesideTwo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	kept, gone := 0, 0
	for range 30 {
		h := newHistory(t)
		b := build{uuid: uuidOf(71), job: "j", result: "FAILURE", started: 40 * day, expired: day}
		h.add(b)
		collect := func(at time.Time) func(storage.Bucket) {
			return func(bucket storage.Bucket) {
				if _, err := retention.Collect(context.Background(), bucket, h.x, retention.Options{Tenant: "demo", Delete: true, Now: at}); err != nil {
					t.Error(err)
				}
			}
		}
		var keepErr error
		running := []*stepper{
			step(h.bucket.Bucket, collect(now)),
			step(h.bucket.Bucket, collect(now.Add(2*time.Second))),
			step(h.bucket.Bucket, func(bucket storage.Bucket) {
				keepErr = retention.Keep(context.Background(), bucket, h.x, b.record())
			}),
		}
		for _, s := range running {
			<-s.at // before the first call that matters, which each makes
		}
		for len(running) > 0 {
			i := r.IntN(len(running))
			running[i].goOn <- struct{}{}
			if !<-running[i].at {
				running = slices.Delete(running, i, i+1)
			}
		}
		there, err := h.bucket.Stat(t.Context(), vitrine.ArtifactKey(b.uuid, "a.log.zst.age"))
		switch {
		case keepErr == nil && err != nil:
			t.Fatalf("it is kept, and gone: %v", err)
		case keepErr == nil && there.Size > 0:
			kept++
		case !errors.Is(keepErr, retention.ErrGone):
			t.Fatal(keepErr)
		default:
			gone++
		}
	}
	if kept == 0 || gone == 0 {
		t.Errorf("kept %d times, gone %d times: want both", kept, gone)
	}
}
