package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/ansible"
	"vitrine/storage"
	"vitrine/web"
)

// What is kept of public files is bounded by what it takes of memory, whatever a
// file is made of.
func TestPeeksAreBounded(t *testing.T) {
	name := func(i int) string { return fmt.Sprintf("%05d%s", i, strings.Repeat("h", 250)) }
	var stats, tasks strings.Builder
	for i := range ansible.MaxHosts {
		fmt.Fprintf(&stats, `"%s":{"ok":1},`, name(i))
	}
	for i := range ansible.MaxTasks {
		fmt.Fprintf(&tasks, `{"task":{"name":"%s"},"hosts":{"%s":{},"%s":{}}},`, name(i), name(i), name(i+1))
	}
	for _, text := range []string{
		`{"plays":[],"stats":{` + stats.String() + `"a":{}}}`,
		`{"plays":[{"tasks":[` + tasks.String() + `{}]}]}`,
		`{"plays":[` + strings.Repeat(`{"play":{"name":"`+name(0)+`"},"tasks":[]},`, 400) + `{}]}`,
		`{"plays":[],"stats":{"` + strings.Repeat("h", 3<<20) + `":{"ok":1}}}`,
	} {
		before, p := heap(), newPeeks()
		for i := range 3 {
			o, err := ansible.Read(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			p.put(fmt.Sprint(i), web.Preview{Ansible: o})
		}
		if grown := heap() - before; grown > int64(p.bytes)+256<<10 {
			t.Errorf("%.60s: %d bytes are held, and %d are counted", text, grown, p.bytes)
		}
		runtime.KeepAlive(p)
	}
	before, p := heap(), newPeeks()
	for i := range 3 * keptPeeks / textHead {
		p.put(fmt.Sprint(i), web.Preview{Text: strings.Repeat("x", textHead)})
	}
	if grown := heap() - before; grown > keptPeeks+1<<20 || grown < keptPeeks/2 {
		t.Errorf("of texts, %d bytes are held", grown)
	}
	runtime.KeepAlive(p)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// reads counts what is read of a bucket.
type reads struct {
	storage.Bucket
	n int
}

func (r *reads) OpenRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r.n++
	return r.Bucket.OpenRange(ctx, key, off, n)
}

// A damaged file is found to be so once; what ends with its time is not damaged.
func TestPeekAtDamagedFile(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(`{"plays":[` + strings.Repeat(" ", 256<<10)))
	w.Close()
	b.Bytes()[b.Len()-8]++ // of the checksum
	build, a := vitrine.Build{}, vitrine.Artifact{Path: "job-output.json.gz", Size: int64(b.Len()), MediaType: "application/gzip"}
	build.UUID = strings.Repeat("1", 32)
	memory := storage.NewMemory()
	if err := memory.Create(t.Context(), vitrine.ArtifactKey(build.UUID, a.Path), &b, storage.CreateOptions{Size: a.Size, SHA256: sha256.Sum256(b.Bytes())}); err != nil {
		t.Fatal(err)
	}
	bucket := &reads{Bucket: memory}
	s := &Server{Config: Config{Bucket: bucket}, peeks: newPeeks()}

	over, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := s.lookReport(over, vitrine.ArtifactKey(build.UUID, a.Path)); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errDamaged) {
		t.Errorf("after its time: %v", err)
	}
	bucket.n = 0
	for range 3 {
		if seen := s.peek(t.Context(), build, []vitrine.Artifact{a}); seen[0].Problem != "it is damaged" || seen[0].Path != a.Path {
			t.Errorf("%+v", seen[0])
		}
	}
	if bucket.n != 1 {
		t.Errorf("a damaged file was read %d times", bucket.n)
	}
}
