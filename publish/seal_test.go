package publish

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vitrine"
)

// The output of a command is sealed as it comes, and the store being dead keeps
// neither the command nor the record from their work.
func TestCreate(t *testing.T) {
	w := newWorld(t)
	var down sync.Map
	down.Store("down", true)
	o := w.options(testUUID)
	o.Writer = &hook{Writer: w.bucket, before: func(string) error {
		if _, is := down.Load("down"); is {
			return errDown
		}
		return nil
	}}
	b, err := Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	log, err := b.Create("console.log")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create("Console.log"); err == nil || !strings.Contains(err.Error(), "already") {
		t.Fatalf("the same name twice: %v", err)
	}
	if _, err := b.Create("../console.log"); err == nil {
		t.Fatal("a path that leads out was taken")
	}
	var want strings.Builder
	for i := range 1000 {
		line := fmt.Sprintf("%d %s\n", i, canary)
		want.WriteString(line)
		if _, err := log.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Finish(context.Background(), Outcome{Result: vitrine.Success}); err == nil || !strings.Contains(err.Error(), "still being written") {
		t.Fatalf("finish with an open artifact: %v", err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
	if _, err := log.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	w.noCanary()
	<-b.upload.begun // it has failed by now
	down.Clear()     // the store is back before the command ends: it is tried again
	end := w.started.Add(90*time.Second + 300*time.Millisecond)
	if err := b.Finish(context.Background(), Outcome{Result: vitrine.TimedOut, End: end}); err != nil {
		t.Fatal(err)
	}
	r := w.check(testUUID, map[string]string{"console.log": want.String()})
	if r.Result != vitrine.TimedOut || !r.EndTime.Equal(w.started.Add(90*time.Second)) || r.Artifacts[0].MediaType != "text/plain" {
		t.Errorf("result %s, end %s, artifact %+v", r.Result, r.EndTime, r.Artifacts[0])
	}
}

// A command that runs again under the same uuid can't have its output sealed
// again: other bytes may be stored already.
func TestCreateAgain(t *testing.T) {
	w := newWorld(t)
	o := w.options(testUUID)
	o.Writer = &hook{Writer: w.bucket, before: func(string) error { return errDown }}
	b, err := Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	log, err := b.Create("console.log")
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	b.Close()
	b, err = Start(context.Background(), w.options(testUUID))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Create("console.log"); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("got %v, want fs.ErrExist", err)
	}
}

// A clock that is set back while the job runs does not keep it from being published.
func TestEndBeforeStart(t *testing.T) {
	w := newWorld(t)
	if err := w.publish(w.options(testUUID), w.workspace(map[string]string{"a.log": "a"}), Outcome{Result: vitrine.Success, End: w.started.Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if r := w.check(testUUID, map[string]string{"a.log": "a"}); !r.EndTime.Equal(r.StartTime) {
		t.Errorf("end %s, start %s", r.EndTime, r.StartTime)
	}
}

// A log that grows while it is sealed ends where it ended when it was opened,
// and one that shrinks where it ends.
func TestFileChangesSize(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := w.workspace(map[string]string{"grows.log": "", "shrinks.log": "", "new.log": strings.Repeat("n", 10)})
	files := w.plan(dir)
	b, err := Start(context.Background(), w.options(testUUID))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	i := slices.IndexFunc(files, func(f File) bool { return f.Path == "grows.log" })
	path := filepath.Join(dir, "grows.log")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	src, size, err := files[i].open()
	if err != nil || size != 10 {
		t.Fatalf("opened with %d bytes, error %v; want the 10 it has now", size, err)
	}
	src.Close()

	// A writer that never stops: sealing must.
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return
		}
		defer f.Close()
		chunk := make([]byte, 64<<10)
		for n := 0; n < 4000; n++ {
			select {
			case <-stop:
				return
			default:
				f.Write(chunk)
			}
		}
	}()
	err = b.Add(context.Background(), files)
	close(stop)
	<-done
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Finish(context.Background(), Outcome{Result: vitrine.Success}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range w.record(vitrine.RecordKey(w.started, testUUID)).Artifacts {
		if a.PlainPath() == "grows.log" && (a.PlainSize < 10 || a.PlainSize > info.Size()) {
			t.Errorf("grows.log has %d bytes, the file %d", a.PlainSize, info.Size())
		}
	}
}

// An error of one file stops the others, and none of it is published.
func TestAddFails(t *testing.T) {
	t.Run("file gone", func(t *testing.T) {
		w := newWorld(t)
		dir := w.workspace(map[string]string{"a.log": canary, "b.log": canary})
		files := w.plan(dir)
		if err := os.Remove(filepath.Join(dir, "a.log")); err != nil {
			t.Fatal(err)
		}
		b, err := Start(context.Background(), w.options(testUUID))
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if err := b.Add(context.Background(), files); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "a.log: ") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		w := newWorld(t)
		files := w.plan(w.workspace(map[string]string{"a.log": strings.Repeat(canary, 1000)}))
		b, err := Start(context.Background(), w.options(testUUID))
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := b.Add(ctx, files); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		w.noCanary()
	})
}

func TestManySmallFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	files := make(map[string]string)
	for i := range 500 {
		files[fmt.Sprintf("host%d/task-%d.log", i%7, i)] = fmt.Sprintf("%s %d\n", canary, i)
	}
	if err := w.publish(w.options(testUUID), w.workspace(files), Outcome{Result: vitrine.Success}); err != nil {
		t.Fatal(err)
	}
	w.check(testUUID, files)
	w.noCanary()
}

// A large file takes no more memory than a small one.
func TestConstantMemory(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "large.log"))
	if err != nil {
		t.Fatal(err)
	}
	const size = 50 << 20
	line := strings.Repeat("a line of a log, which compresses well ", 26) + "\n"
	for n := 0; n < size; n += len(line) {
		if _, err := f.WriteString(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	var peak uint64
	o := w.options(testUUID)
	o.Progress = func(Totals) {
		if runtime.ReadMemStats(&now); now.HeapAlloc > peak {
			peak = now.HeapAlloc
		}
	}
	if err := w.publish(o, dir, Outcome{Result: vitrine.Success}); err != nil {
		t.Fatal(err)
	}
	const limit = 24 << 20
	if grew := int64(peak) - int64(before.HeapAlloc); grew > limit || peak == 0 {
		t.Errorf("the heap grew by %d MiB for a file of %d MiB, want at most %d", grew>>20, size>>20, limit>>20)
	}
	a := w.record(vitrine.RecordKey(w.started, testUUID)).Artifacts[0]
	if a.PlainSize < size || a.Lines < size/int64(len(line)) {
		t.Errorf("%d bytes, %d lines", a.PlainSize, a.Lines)
	}
}
