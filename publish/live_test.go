package publish

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"vitrine"
	"vitrine/crypto"
	"vitrine/storage"
)

// soon changes when the parts count as forgotten.
func soon(t *testing.T, forgotten time.Duration) {
	t.Helper()
	before := forgottenAfter
	forgottenAfter = forgotten
	t.Cleanup(func() { forgottenAfter = before })
}

// A watched bucket counts calls, and fails those that fail says.
type watched struct {
	storage.Bucket
	fail  func(call string, n int) error // n: how often the call came before
	every time.Duration                  // zero: all the time

	mu    sync.Mutex
	calls map[string]int
	parts [][]byte // of the one artifact that grows

	expires []time.Time // of artifacts
}

func (w *watched) noteExpires(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expires = append(w.expires, at)
}

func (w *watched) note(call string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calls == nil {
		w.calls = make(map[string]int)
	}
	n := w.calls[call]
	w.calls[call]++
	if w.fail == nil {
		return nil
	}
	return w.fail(call, n)
}

func (w *watched) count(call string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[call]
}

func (w *watched) Create(ctx context.Context, key string, body io.Reader, opts storage.CreateOptions) error {
	k, err := vitrine.ParseKey(key)
	if err != nil {
		return err
	}
	if err := w.note(map[vitrine.KeyKind]string{vitrine.StartedKind: "started", vitrine.ArtifactKind: "artifact"}[k.Kind]); err != nil {
		return err
	}
	if k.Kind == vitrine.ArtifactKind {
		w.noteExpires(opts.Expires)
	}
	return w.Bucket.Create(ctx, key, body, opts)
}

func (w *watched) PutPart(ctx context.Context, key string, part vitrine.Part, body io.Reader) error {
	if err := w.note("part"); err != nil {
		return err
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if err := w.Bucket.PutPart(ctx, key, part, bytes.NewReader(b)); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.parts) < part.Number {
		w.parts = append(w.parts, nil)
	}
	w.parts[part.Number-1] = b
	return nil
}

// readable is what a reader could read if nothing came any more.
func (w *watched) readable(t *testing.T, id age.Identity) string {
	t.Helper()
	w.mu.Lock()
	all := bytes.Join(w.parts, nil)
	w.mu.Unlock()
	r, err := crypto.Open(bytes.NewReader(all), id)
	if err != nil {
		return ""
	}
	defer r.Close()
	var text strings.Builder
	if _, err := io.Copy(&text, r); !errors.Is(err, crypto.ErrTruncated) {
		t.Errorf("error %v, want that it is truncated", err)
	}
	return text.String()
}

func (w *watched) Complete(ctx context.Context, key string, parts []vitrine.Part, opts storage.CreateOptions) error {
	if err := w.note("complete"); err != nil {
		return err
	}
	w.noteExpires(opts.Expires)
	return w.Bucket.Complete(ctx, key, parts, opts)
}

func wait(t *testing.T, what string, until func() bool) {
	t.Helper()
	for range 12_000 {
		if until() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s: it does not come to that", what)
}

const liveUUID = "3f0c9a51d2e84f0b9d1c5a7e2b60aa91"

// begin starts a build with a log that grows.
func (w *world) begin(to *watched) (*Build, io.WriteCloser) {
	w.t.Helper()
	to.Bucket = w.bucket
	o := w.options(liveUUID)
	o.Writer, o.SendEvery = to, cmp.Or(to.every, 5*time.Millisecond)
	b, err := Start(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { b.Close() })
	log, err := b.Create("console.log")
	if err != nil {
		w.t.Fatal(err)
	}
	return b, log
}

// end ends a log and its build, and checks what is published.
func (w *world) end(b *Build, log io.Closer, text string) *vitrine.Record {
	w.t.Helper()
	if err := log.Close(); err != nil {
		w.t.Fatal(err)
	}
	if err := b.Finish(w.t.Context(), Outcome{Result: vitrine.Success}); err != nil {
		w.t.Fatal(err)
	}
	for u := range w.bucket.Uploads(w.t.Context(), "") {
		w.t.Errorf("parts of %s are left", u.Key)
	}
	return w.check(liveUUID, map[string]string{"console.log": text})
}

// What a command printed can be read from the store while it runs, and the whole
// is made of the parts in the end.
func TestLive(t *testing.T) {
	w, to := newWorld(t), &watched{}
	b, log := w.begin(to)
	var text string
	for i := range 3 {
		line := fmt.Sprintf("%s line %d\n", canary, i)
		text += line
		io.WriteString(log, line)
		wait(t, "the line can be read", func() bool { return to.readable(t, w.alice) == text })
	}
	sent := to.count("part")
	time.Sleep(50 * time.Millisecond)
	if n := to.count("part"); n != sent {
		t.Errorf("%d parts were sent with nothing new", n-sent)
	}
	record := w.end(b, log, text)
	if to.count("complete") != 1 || to.count("artifact") != 0 {
		t.Errorf("calls: %v, want one Complete", to.calls)
	}
	if want := record.Artifacts[0].Size; int64(len(bytes.Join(to.parts, nil))) != want {
		t.Errorf("the parts do not make up the %d bytes", want)
	}
}

// A log that fills parts is sent as they fill, whatever the time.
func TestLiveFullParts(t *testing.T) {
	w, to := newWorld(t), &watched{every: time.Hour}
	b, log := w.begin(to)
	var text strings.Builder
	noise := rand.NewChaCha8([32]byte{})
	chunk := make([]byte, 1<<20)
	out := io.MultiWriter(&text, log)
	fmt.Fprintln(out, canary)
	for range 12 {
		noise.Read(chunk)
		out.Write(chunk)
	}
	wait(t, "a part is stored", func() bool {
		to.mu.Lock()
		defer to.mu.Unlock()
		return len(to.parts) == 1
	})
	if got := to.readable(t, w.alice); len(got) < 6<<20 || !strings.HasPrefix(text.String(), got) {
		t.Errorf("%d bytes can be read", len(got))
	}
	w.end(b, log, text.String())
	if to.count("part") != 2 || to.count("complete") != 1 {
		t.Errorf("calls: %v, want two parts and a Complete", to.calls)
	}
}

// A short command is over before anything of it would be sent.
func TestLiveShort(t *testing.T) {
	w, to := newWorld(t), &watched{every: sendEvery}
	b, log := w.begin(to)
	io.WriteString(log, canary)
	w.end(b, log, canary)
	if to.count("part") != 0 || to.count("artifact") != 1 {
		t.Errorf("calls: %v, want the artifact at once", to.calls)
	}
}

// Whatever goes wrong with parts, the log is published whole.
func TestLiveFails(t *testing.T) {
	away := errors.New("the store is away")
	for name, test := range map[string]struct {
		fail   func(call string, n int) error
		before func(w *world) // the log ends
		parts  bool           // some are stored before the end
	}{
		"no part is taken":        {fail: failCall("part", 0, 1<<30, away)},
		"not the first parts":     {fail: failCall("part", 0, 2, away), parts: true},
		"it was not there at all": {fail: failCall("started", 0, 3, away), parts: true},
		"not completed":           {fail: failCall("complete", 0, 1, storage.ErrIntegrity), parts: true},
		"completed by somebody":   {fail: failCall("complete", 0, 1, fs.ErrExist), parts: true},
		"the parts are gone": {parts: true, before: func(w *world) {
			w.bucket.Abort(w.t.Context(), vitrine.ArtifactKey(liveUUID, "console.log.zst.age"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w, to := newWorld(t), &watched{fail: test.fail}
			b, log := w.begin(to)
			io.WriteString(log, canary+"\n")
			wait(t, "parts are sent", func() bool {
				return to.count("part")+to.count("started") > 3 || test.parts && to.readable(t, w.alice) != ""
			})
			io.WriteString(log, "and more\n")
			if test.before != nil {
				log.(*created).live.stop()
				test.before(w)
			}
			w.bucketOnly(b, log, canary+"\nand more\n")
		})
	}
}

// failCall fails some of the calls.
func failCall(which string, from, to int, err error) func(string, int) error {
	return func(call string, n int) error {
		if call == which && n >= from && n < to {
			return err
		}
		return nil
	}
}

// bucketOnly is end, but parts may be left behind.
func (w *world) bucketOnly(b *Build, log io.Closer, text string) {
	w.t.Helper()
	if err := log.Close(); err != nil {
		w.t.Fatal(err)
	}
	if err := b.Finish(w.t.Context(), Outcome{Result: vitrine.Success}); err != nil {
		w.t.Fatal(err)
	}
	w.check(liveUUID, map[string]string{"console.log": text})
}

// A command that prints nothing is heard of all the same.
func TestLiveHeartbeat(t *testing.T) {
	w, to := newWorld(t), &watched{}
	b, log := w.begin(to)
	wait(t, "a word is sent", func() bool { return to.count("started") > 3 })
	if to.count("part") > 0 {
		t.Error("parts of nothing were sent")
	}
	io.WriteString(log, canary)
	w.bucketOnly(b, log, canary)
}

// A heldStore is in no hurry to take artifacts and final records, but at once what
// tells it that a build goes on.
type heldStore struct {
	*watched
	artifacts, final chan struct{} // closed when it takes them
}

func (h *heldStore) Create(ctx context.Context, key string, body io.Reader, opts storage.CreateOptions) error {
	k, err := vitrine.ParseKey(key)
	if err != nil {
		return err
	}
	if k.Kind == vitrine.ArtifactKind {
		<-h.artifacts
	} else if k.Kind == vitrine.RecordKind {
		<-h.final
	}
	return h.watched.Create(ctx, key, body, opts)
}

// The store hears of a build that has no artifact that grows too: while files wait
// to be added, and while they are on their way for long. It hears no more when the
// build is about to be published.
func TestHeartbeat(t *testing.T) {
	w := newWorld(t)
	to := &heldStore{&watched{Bucket: w.bucket}, make(chan struct{}), make(chan struct{})}
	o := w.options(liveUUID)
	o.Writer, o.SendEvery = to, 5*time.Millisecond
	b, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	more := func(when string) {
		t.Helper()
		n := to.count("started")
		wait(t, "a word is sent "+when, func() bool { return to.count("started") > n+3 })
	}
	more("before there is a file")
	files := map[string]string{"a.log": canary}
	if err := b.Add(t.Context(), w.plan(w.workspace(files))); err != nil {
		t.Fatal(err)
	}
	finished := make(chan error)
	go func() { finished <- b.Finish(t.Context(), Outcome{Result: vitrine.Success}) }()
	more("while a file is on its way")
	close(to.artifacts)
	key := vitrine.SignatureKey(vitrine.RecordKey(w.started, liveUUID))
	wait(t, "the final record is sent", func() bool {
		_, err := w.bucket.Stat(t.Context(), key)
		return err == nil
	})
	n := to.count("started")
	time.Sleep(50 * time.Millisecond)
	if again := to.count("started"); again != n {
		t.Errorf("the build was begun %d times while it was published", again-n)
	}
	close(to.final)
	if err := <-finished; err != nil {
		t.Fatal(err)
	}
	w.check(liveUUID, files)
}

// After a silence in which the store may have given up the build, and the parts it
// had, all are sent again.
func TestLiveAfterSilence(t *testing.T) {
	soon(t, 200*time.Millisecond)
	w, to := newWorld(t), &watched{}
	var silent atomic.Bool
	to.fail = func(call string, n int) error {
		if silent.Load() {
			return errors.New("no network")
		}
		return nil
	}
	b, log := w.begin(to)
	io.WriteString(log, canary+"\n")
	wait(t, "the first line can be read", func() bool { return to.readable(t, w.alice) == canary+"\n" })
	silent.Store(true)
	io.WriteString(log, "in silence\n")
	time.Sleep(300 * time.Millisecond)
	to.mu.Lock()
	to.parts = nil
	to.mu.Unlock()
	w.bucket.Abort(t.Context(), vitrine.ArtifactKey(liveUUID, "console.log.zst.age"))
	silent.Store(false)
	wait(t, "all can be read", func() bool { return to.readable(t, w.alice) == canary+"\nin silence\n" })
	w.bucketOnly(b, log, canary+"\nin silence\n") // a disk that is busy may be another silence
}

// A public log needs no flush to be read, a hidden one is sent under its hidden
// name, and each may be removed by the store once it has expired.
func TestLivePublicAndHidden(t *testing.T) {
	w, to := newWorld(t), &watched{}
	w.files["services/codesearch.yaml"].Data = append(w.files["services/codesearch.yaml"].Data, "public_names: [\"shown/**\"]\n"...)
	b, log := w.begin(to)
	public, err := b.Create("console.pub.txt")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(log, canary)
	io.WriteString(public, "for everybody")
	var n int
	wait(t, "both are sent", func() bool {
		n = 0
		for u := range w.bucket.Uploads(t.Context(), "") {
			if parts, _ := w.bucket.Parts(t.Context(), u.Key); len(parts) == 1 {
				n++
			}
			if strings.Contains(u.Key, "console.log") {
				t.Error("the hidden name is sent")
			}
		}
		return n == 2
	})
	if err := errors.Join(public.Close(), log.Close()); err != nil {
		t.Fatal(err)
	}
	if err := b.Finish(t.Context(), Outcome{Result: vitrine.Success}); err != nil {
		t.Fatal(err)
	}
	if n := to.count("complete"); n != 2 {
		t.Errorf("%d artifacts were made of their parts, want 2", n)
	}
	if got := w.object(vitrine.ArtifactKey(liveUUID, "console.pub.txt")); string(got) != "for everybody" {
		t.Errorf("%q is public", got)
	}
	expires := w.record(vitrine.RecordKey(w.started, liveUUID)).Expires.Add(vitrine.ExpiryGrace)
	for _, at := range to.expires {
		if !at.Equal(expires) {
			t.Errorf("an artifact may be removed on %s, want %s", at, expires)
		}
	}
	if len(to.expires) != 3 { // and the contents
		t.Errorf("%d artifacts", len(to.expires))
	}
}

// What a runner that was killed left half-sealed is rubbish to the next publish:
// the store has the parts.
func TestLiveKilled(t *testing.T) {
	w, to := newWorld(t), &watched{}
	b, log := w.begin(to)
	io.WriteString(log, canary)
	wait(t, "the line can be read", func() bool { return to.readable(t, w.alice) == canary })
	b.Close() // all of the process that the folder notices
	_, err := Resume(t.Context(), w.spool, liveUUID, func(*vitrine.Record) (storage.Writer, error) { return to, nil }, nil)
	if !errors.Is(err, ErrUnfinished) || !strings.Contains(err.Error(), "--drop "+liveUUID) {
		t.Errorf("resume: %v, want that it is unfinished and how to drop it", err)
	}
	entries, err := os.ReadDir(b.folder.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			t.Errorf("%s is left", e.Name())
		}
	}
	if err := Drop(w.spool, "../"+liveUUID); err == nil {
		t.Error("a path was dropped")
	}
	if err := Drop(w.spool, liveUUID); err != nil {
		t.Fatal(err)
	}
	if err := Drop(w.spool, liveUUID); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("dropped again: %v", err)
	}
	if waiting, err := Waiting(w.spool); err != nil || len(waiting) > 0 {
		t.Errorf("%v wait, error %v", waiting, err)
	}
}
