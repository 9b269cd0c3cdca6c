// Package indextest makes up histories of any size, for tests and benchmarks of
// what reads an index.
//
// It must never be part of what is shipped, and gives the same history for the
// same numbers.
package indextest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"vitrine"
	"vitrine/storage"
)

// A History is a bucket of made-up records that are written as they are read, so
// that a million of them take no room. Its builds are what a project has that
// deploys often and imported the checks of a thousand repositories: a few hundred
// long series, and tens of thousands of short ones. It is a [storage.Reader] to
// list whole and read once.
type History struct {
	Builds int
	End    time.Time     // start of the newest build
	Step   time.Duration // from one start to the next
	// Imported has one build in a hundred be one that was imported.
	Imported bool

	pending *sync.Map // the builds that were listed and not yet read, by uuid
}

// New is a history of so many builds over the years before end.
func New(builds, years int, end time.Time) History {
	return History{
		Builds: builds, End: end, Imported: true, pending: new(sync.Map),
		Step: time.Duration(years) * 365 * 24 * time.Hour / time.Duration(max(builds, 1)),
	}
}

var weighted = func() (list []vitrine.Result) {
	for result, weight := range map[vitrine.Result]int{
		vitrine.Success: 890, vitrine.Failure: 85, vitrine.TimedOut: 15, vitrine.Aborted: 7, "POST_FAILURE": 2, "RETRY_LIMIT": 1,
	} {
		list = append(list, slices.Repeat([]vitrine.Result{result}, weight)...)
	}
	slices.Sort(list)
	return list
}()

// Record makes up the i-th build, the oldest being the 0-th.
func (h History) Record(i int) *vitrine.Record {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	pick := func(at, n int) int { return int(binary.BigEndian.Uint32(sum[at:])) % n }
	r := &vitrine.Record{
		Version: vitrine.RecordVersion, Tenant: "opendev", UUID: fmt.Sprintf("%x", sum[:16]), Voting: true,
		Buildset: fmt.Sprintf("%x", sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i/5))))[:32],
		Result:   weighted[pick(16, len(weighted))], EventID: fmt.Sprintf("%x", sum[16:32]),
		Ref:     vitrine.Ref{Branch: "master", Patchset: "3", OldRev: fmt.Sprintf("%x", sum[:20]), NewRev: fmt.Sprintf("%x", sum[12:32])},
		Keyring: vitrine.Keyring{Commit: strings.Repeat("ab", 20), URL: "https://opendev.org/opendev/system-config"},
		Readers: []vitrine.Reader{{Name: "alice", Fingerprints: []string{"SHA256:" + strings.Repeat("x", 43)}}}, Publisher: "bridge",
		StartTime: h.End.Add(-time.Duration(h.Builds-1-i) * h.Step).UTC().Truncate(time.Second),
	}
	r.EndTime = r.StartTime.Add(time.Duration(pick(20, 900)) * time.Second)
	r.Expires = r.EndTime.AddDate(0, 6, 0).Truncate(24 * time.Hour)
	r.Artifacts = []vitrine.Artifact{{
		Name: "log", Path: "job-output.txt.zst.age", Size: 48213, SHA256: fmt.Sprintf("%x", sum), Sealed: true,
		MediaType: "text/plain", PlainSize: 611204, Lines: 8122,
	}}
	if i%2 == 0 {
		service := pick(24, 100)
		r.Service, r.Ref.Project = fmt.Sprintf("service-%02d", service), "opendev/system-config"
		r.JobName = fmt.Sprintf("infra-prod-service-%02d-%d", service, pick(28, 3))
		r.Pipeline = []string{"deploy", "periodic", "opendev-prod-hourly"}[pick(26, 3)]
		r.Ref.Ref, r.Ref.Patchset = "refs/heads/master", ""
	} else {
		project := pick(24, 1000)
		r.Service, r.Ref.Project = "checks", fmt.Sprintf("openstack/project-%03d", project)
		r.JobName = fmt.Sprintf("tox-py%d", 300+(project+pick(28, 8))%40)
		r.Pipeline = []string{"check", "gate"}[pick(26, 2)]
		r.Ref.Branch = []string{"master", "stable/2026.1"}[pick(25, 8)/7]
		r.Ref.Change = int64(800_000 + i/10)
		r.Ref.Patchset = fmt.Sprint(1 + pick(27, 100)*pick(27, 100)/1000) // 1 to 10, the first as a rule
		r.Ref.Ref = fmt.Sprintf("refs/changes/%02d/%d/%s", r.Ref.Change%100, r.Ref.Change, r.Ref.Patchset)
		r.Nodeset = []string{"ubuntu-noble", "debian-trixie", "multi-node"}[project%3]
		r.Voting = project%10 > 0
		r.Ref.RefURL = fmt.Sprintf("https://review.opendev.org/%d", r.Ref.Change)
	}
	if h.Imported && i%100 == 51 {
		r.Imported = &vitrine.Imported{
			Source: "https://zuul.opendev.org/api/tenant/openstack", LogURL: "https://logs.opendev.org/" + r.UUID[:7] + "/",
			Held: i%1000 == 51, Final: r.Result != "RETRY_LIMIT",
			Links: []vitrine.Link{{Name: "Zuul Manifest", URL: "https://logs.opendev.org/" + r.UUID[:7] + "/zuul-manifest.json"}},
		}
		r.Service, r.Publisher, r.Keyring, r.Expires, r.Readers, r.Artifacts = "", "", vitrine.Keyring{}, time.Time{}, nil, nil
	}
	return r
}

// List yields records day by day, the builds of a day by uuid.
func (h History) List(ctx context.Context, prefix string) iter.Seq2[storage.Object, error] {
	return func(yield func(storage.Object, error) bool) {
		var keys []string
		day := ""
		flush := func() bool {
			slices.Sort(keys)
			for _, k := range keys {
				if !yield(storage.Object{Key: k, Size: 1500}, nil) {
					return false
				}
			}
			keys = keys[:0]
			return true
		}
		for i := range h.Builds {
			r := h.Record(i)
			key := vitrine.RecordKey(r.StartTime, r.UUID)
			if r.IsImported() {
				key = vitrine.ImportedKey(r.StartTime, r.UUID)
			}
			if d := vitrine.DayPrefix(r.StartTime); d != day {
				if !flush() {
					return
				}
				day = d
			}
			if strings.HasPrefix(key, prefix) {
				keys = append(keys, key)
				h.pending.Store(r.UUID, i)
			}
		}
		flush()
	}
}

func (h History) Open(_ context.Context, key string) (io.ReadCloser, error) {
	k, err := vitrine.ParseKey(key)
	i, ok := h.pending.Load(k.UUID)
	switch {
	case err != nil:
		return nil, err
	case (k.Kind == vitrine.RecordKind || k.Kind == vitrine.ImportedKind) && ok:
		h.pending.Delete(k.UUID)
		b, err := h.Record(i.(int)).Marshal()
		return io.NopCloser(bytes.NewReader(b)), err
	case k.Kind == vitrine.RecordSignatureKind:
		return io.NopCloser(strings.NewReader(strings.Repeat("s", 300))), nil
	}
	return nil, fs.ErrNotExist
}

func (h History) OpenRange(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return nil, errors.ErrUnsupported
}

func (h History) Stat(context.Context, string) (storage.Object, error) {
	return storage.Object{}, errors.ErrUnsupported
}
