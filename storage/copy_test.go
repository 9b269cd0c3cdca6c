package storage_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/storage"
)

// putBuild stores a finished build of some artifacts, and returns its keys.
func putBuild(t *testing.T, b storage.Bucket, uuid string, bodies map[string][]byte) *vitrine.Record {
	t.Helper()
	r := &vitrine.Record{
		Version: vitrine.RecordVersion, Tenant: "demo", Service: "web", UUID: uuid, JobName: "j", Buildset: uuid, StartTime: start,
		Keyring: vitrine.Keyring{Commit: strings.Repeat("a", 40)}, Publisher: "bridge", Expires: time.Now().Add(time.Hour).UTC().Truncate(time.Second),
	}
	put := func(key string, body []byte) {
		if err := b.Create(t.Context(), key, bytes.NewReader(body), optionsFor(body)); err != nil {
			t.Fatal(err)
		}
	}
	record := func(key string) {
		text, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		put(vitrine.SignatureKey(key), []byte("signature of "+key))
		put(key, text)
	}
	record(vitrine.StartedKey(start, uuid))
	for path, body := range bodies {
		put(vitrine.ArtifactKey(uuid, path), body)
		r.Artifacts = append(r.Artifacts, vitrine.Artifact{Name: path, Path: path, Size: int64(len(body)),
			SHA256: fmt.Sprintf("%x", sha256.Sum256(body)), Sealed: strings.HasSuffix(path, ".age")})
	}
	r.Result, r.EndTime = vitrine.Success, start.Add(time.Minute)
	record(vitrine.RecordKey(start, uuid))
	return r
}

// contents are the hashes of all that a bucket has.
func contents(t *testing.T, b storage.Bucket) map[string][32]byte {
	t.Helper()
	all := make(map[string][32]byte)
	for _, key := range keys(t, b) {
		r, err := b.Open(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			t.Fatal(err)
		}
		r.Close()
		all[key] = [32]byte(h.Sum(nil))
	}
	return all
}

// checkWhole fails if the bucket shows a build without its objects.
func checkWhole(t *testing.T, b storage.Bucket, records ...*vitrine.Record) {
	t.Helper()
	all := contents(t, b)
	for _, r := range records {
		if _, shown := all[vitrine.RecordKey(start, r.UUID)]; !shown {
			continue
		}
		for _, a := range r.Artifacts {
			if fmt.Sprintf("%x", all[vitrine.ArtifactKey(r.UUID, a.Path)]) != a.SHA256 {
				t.Errorf("build %s is shown without %s", r.UUID, a.Path)
			}
		}
	}
}

// A store that breaks in the middle of a copy leaves no build half shown, and
// the next call goes on.
func TestCopyResumes(t *testing.T) {
	from := storage.NewMemory()
	var records []*vitrine.Record
	for i := range 5 {
		uuid := fmt.Sprintf("%032x", i+1)
		bodies := map[string][]byte{"a.age": []byte("a of " + uuid), "deep/b.png": []byte("b of " + uuid)}
		if i == 4 {
			bodies["big.age"] = bytes.Repeat([]byte("x"), vitrine.MinPartSize+1)
		}
		records = append(records, putBuild(t, from, uuid, bodies))
	}
	want := contents(t, from)
	to := &counted{Bucket: storage.NewMemory()}
	broke := errors.New("the store broke")
	for calls := 0; ; calls++ {
		if calls > 50 {
			t.Fatal("it never ends")
		}
		to.left, to.err = 3, broke
		totals, err := storage.Copy(t.Context(), to, from, storage.CopyOptions{})
		checkWhole(t, to.Bucket, records...)
		if err == nil {
			if totals.Builds != 5 || totals.Objects != len(want) || totals.Problems != 0 {
				t.Errorf("%+v", totals)
			}
			break
		}
		if !errors.Is(err, broke) {
			t.Fatal(err)
		}
	}
	got := contents(t, to.Bucket)
	if len(got) != len(want) {
		t.Errorf("%d objects, want %d", len(got), len(want))
	}
	for key, sum := range want {
		if got[key] != sum {
			t.Errorf("%s differs", key)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := storage.Copy(ctx, storage.NewMemory(), from, storage.CopyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A counted bucket breaks after some writes.
type counted struct {
	storage.Bucket
	left int
	err  error
}

func (c *counted) Create(ctx context.Context, key string, body io.Reader, opts storage.CreateOptions) error {
	mu.Lock()
	c.left--
	left := c.left
	mu.Unlock()
	if left < 0 {
		return c.err
	}
	return c.Bucket.Create(ctx, key, body, opts)
}

// Damage is named, and stays out of the copy.
func TestCopyDamage(t *testing.T) {
	big := bytes.Repeat([]byte("x"), vitrine.MinPartSize+1)
	for what, damage := range map[string]func(b *storage.Memory, key string){
		"missing": func(b *storage.Memory, key string) { b.Delete(t.Context(), key) },
		"other bytes": func(b *storage.Memory, key string) {
			o, _ := b.Stat(t.Context(), key)
			b.Delete(t.Context(), key)
			create(t.Context(), b, key, strings.Repeat("y", int(o.Size)))
		},
		"shorter": func(b *storage.Memory, key string) {
			b.Delete(t.Context(), key)
			create(t.Context(), b, key, "y")
		},
	} {
		for _, path := range []string{"a.age", "big.age"} {
			t.Run(what+" "+path, func(t *testing.T) {
				from, to := storage.NewMemory(), storage.NewMemory()
				good := putBuild(t, from, otherUUID, map[string][]byte{"a.age": []byte("fine")})
				bodies := map[string][]byte{"a.age": []byte("hello"), "c.age": []byte("c")}
				if path == "big.age" {
					bodies[path] = big
				}
				bad := putBuild(t, from, uuid, bodies)
				key := vitrine.ArtifactKey(uuid, path)
				damage(from, key)
				named := ""
				totals, err := storage.Copy(t.Context(), to, from, storage.CopyOptions{Problem: func(key string, err error) {
					if !errors.Is(err, storage.ErrIntegrity) {
						t.Errorf("%s: %v", key, err)
					}
					named += key + " " + err.Error()
				}})
				if err != nil || totals.BuildsFailed != 1 || totals.Problems != 1 || !strings.Contains(named, key) {
					t.Errorf("%+v, %v, named %q", totals, err, named)
				}
				checkWhole(t, to, good, bad)
				for k := range contents(t, to) {
					if strings.HasPrefix(k, vitrine.DayPrefix(start)+uuid) {
						t.Errorf("the damaged build has %s in the copy", k)
					}
				}
				if _, err := to.Stat(t.Context(), vitrine.RecordKey(start, otherUUID)); err != nil {
					t.Errorf("the other build: %v", err)
				}
			})
		}
	}
}

// A build that was copied while it was interrupted is copied again when it has
// ended, with whatever bytes.
func TestCopyInterrupted(t *testing.T) {
	for what, half := range map[string]string{"shorter": "half", "as long": "HALF AND THE REST", "the same": "half and the rest"} {
		from, to := storage.NewMemory(), storage.NewMemory()
		r := putBuild(t, from, uuid, map[string][]byte{"a.age": []byte("half and the rest"), "b.age": []byte("b")})
		want := contents(t, from)
		ended := vitrine.RecordKey(start, uuid)
		for _, key := range []string{vitrine.StartedKey(start, uuid), vitrine.SignatureKey(vitrine.StartedKey(start, uuid))} {
			if o, err := from.Open(t.Context(), key); err != nil {
				t.Fatal(err)
			} else if body, err := io.ReadAll(o); err != nil {
				t.Fatal(err)
			} else if err := create(t.Context(), to, key, string(body)); err != nil {
				t.Fatal(err)
			}
		}
		for key, body := range map[string]string{
			vitrine.ArtifactKey(uuid, "a.age"): half, vitrine.MarkKey(vitrine.InterruptedKind, start, uuid): "a mark",
		} {
			if err := create(t.Context(), to, key, body); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := storage.Copy(t.Context(), to, from, storage.CopyOptions{DryRun: true}); err != nil || len(keys(t, to)) != 4 {
			t.Errorf("%s: a dry run: %v, %q is there", what, err, keys(t, to))
		}
		totals, err := storage.Copy(t.Context(), to, from, storage.CopyOptions{})
		if err != nil || totals.Problems != 0 || totals.BuildsFailed != 0 {
			t.Errorf("%s: %+v, %v", what, totals, err)
		}
		checkWhole(t, to, r)
		got := contents(t, to)
		if len(got) != len(want) || got[ended] != want[ended] {
			t.Errorf("%s: the copy has %q", what, keys(t, to))
		}
		// What is shown is not touched again.
		if err := create(t.Context(), to, vitrine.MarkKey(vitrine.InterruptedKind, start, uuid), "a mark"); err != nil {
			t.Fatal(err)
		}
		if _, err := storage.Copy(t.Context(), to, from, storage.CopyOptions{}); err != nil || len(keys(t, to)) != len(want)+1 {
			t.Errorf("%s: again: %v, %q", what, err, keys(t, to))
		}
	}
}

// A broken record is named; a build that only began, and one whose artifacts have
// expired, are copied as they are.
func TestCopyOthers(t *testing.T) {
	from, to := storage.NewMemory(), storage.NewMemory()
	broken, expired := strings.Repeat("b", 32), strings.Repeat("e", 32)
	putBuild(t, from, uuid, map[string][]byte{"a.age": []byte("hello")})
	from.Delete(t.Context(), vitrine.RecordKey(start, uuid)) // it only began
	putBuild(t, from, broken, map[string][]byte{"a.age": []byte("hello")})
	from.Delete(t.Context(), vitrine.RecordKey(start, broken))
	create(t.Context(), from, vitrine.RecordKey(start, broken), "{}")
	putBuild(t, from, expired, map[string][]byte{"a.age": []byte("hello")})
	from.Delete(t.Context(), vitrine.ArtifactKey(expired, "a.age"))
	create(t.Context(), from, vitrine.MarkKey(vitrine.ExpiredKind, start, expired), "a mark")
	totals, err := storage.Copy(t.Context(), to, from, storage.CopyOptions{})
	if err != nil || totals.BuildsFailed != 1 || totals.Builds != 2 {
		t.Errorf("%+v, %v", totals, err)
	}
	for key, want := range map[string]bool{
		vitrine.StartedKey(start, uuid): true, vitrine.ArtifactKey(uuid, "a.age"): true,
		vitrine.StartedKey(start, broken): false, vitrine.RecordKey(start, broken): false,
		vitrine.RecordKey(start, expired): true, vitrine.MarkKey(vitrine.ExpiredKind, start, expired): true,
	} {
		if _, err := to.Stat(t.Context(), key); (err == nil) != want {
			t.Errorf("%s is in the copy: %v, want %v", key, err == nil, want)
		}
	}
}
