package index_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"vitrine"
)

// withArtifacts gives a record n artifacts.
func withArtifacts(n int) func(*vitrine.Record) {
	return func(r *vitrine.Record) {
		a := r.Artifacts[0]
		r.Artifacts = nil
		for i := range n {
			a.Path = fmt.Sprintf("logs/host-%04d.log.zst.age", i)
			r.Artifacts = append(r.Artifacts, a)
		}
	}
}

// A build of many artifacts is parsed once for all who ask, and what they get is
// always the record that is stored now.
func TestBuildOfManyArtifacts(t *testing.T) {
	t.Parallel()
	x := open(t, filepath.Join(t.TempDir(), "index.sqlite"))
	late := record(0, withArtifacts(1000))
	early := record(0, withArtifacts(1001), func(r *vitrine.Record) { r.StartTime = r.StartTime.AddDate(0, 0, -1) })
	for _, r := range []*vitrine.Record{started(late), late, early} {
		add(t, x, r)
		want := entry(t, r)
		parsed := make([]*vitrine.Artifact, 4)
		var asking sync.WaitGroup
		for i := range parsed {
			asking.Go(func() {
				b, e, err := x.Build(t.Context(), r.UUID)
				if err != nil || b.Sealed != len(r.Artifacts) || len(b.Artifacts) != len(r.Artifacts) ||
					!bytes.Equal(e.Record, want.Record) || !bytes.Equal(e.Signature, want.Signature) {
					t.Errorf("want %d artifacts: got %d, start %v, result %q, %v", len(r.Artifacts), len(b.Artifacts), b.StartTime, b.Result, err)
				} else if len(b.Artifacts) > 0 {
					parsed[i] = &b.Artifacts[0]
				}
			})
		}
		asking.Wait()
		for _, p := range parsed {
			if p != parsed[0] {
				t.Errorf("%d artifacts were parsed twice", len(r.Artifacts))
			}
		}
	}
}

func BenchmarkBuildOfManyArtifacts(b *testing.B) {
	x := open(b, filepath.Join(b.TempDir(), "index.sqlite"))
	r := record(0, withArtifacts(9500))
	add(b, x, r)
	for b.Loop() {
		if _, _, err := x.Build(b.Context(), r.UUID); err != nil {
			b.Fatal(err)
		}
	}
}
