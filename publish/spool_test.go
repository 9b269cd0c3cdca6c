package publish

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vitrine"
	"vitrine/storage"
)

func sha(b []byte) [32]byte { return sha256.Sum256(b) }

var errDown = errors.New("connection refused")

// to makes the function that Resume asks for a writer.
func to(w storage.Writer) func(*vitrine.Record) (storage.Writer, error) {
	return func(*vitrine.Record) (storage.Writer, error) { return w, nil }
}

// The store dies at each step of a publish in turn. The build is kept, sealed
// and signed, and resuming brings it in whole.
func TestStoreDiesAtEachStep(t *testing.T) {
	t.Parallel()
	files := map[string]string{"a.log": canary, "b.log": canary + "\n", "note.pub.txt": "x"}
	steps := len(files) + 4
	for step := range steps {
		t.Run(fmt.Sprint("object ", step), func(t *testing.T) {
			w := newWorld(t)
			var calls atomic.Int64
			o := w.options(testUUID)
			o.Writer = &hook{Writer: w.bucket, before: func(string) error {
				if int(calls.Add(1)) > step {
					return errDown
				}
				return nil
			}}
			err := w.publish(o, w.workspace(files), Outcome{Result: vitrine.Success})
			var kept *KeptError
			if !errors.As(err, &kept) || !kept.Signed || !errors.Is(err, errDown) ||
				kept.Dir != filepath.Join(w.spool, testUUID) || !strings.Contains(err.Error(), "--resume") || !strings.Contains(err.Error(), kept.Dir) {
				t.Fatalf("got %v, want a KeptError with the cause, the folder and --resume", err)
			}
			w.noCanary()
			for _, key := range w.keys() {
				if strings.HasSuffix(key, "/build.json") {
					t.Fatalf("published although a step failed")
				}
			}
			if got := w.waiting(); !slices.Equal(got, []string{testUUID}) {
				t.Fatalf("waiting: %v", got)
			}
			r, err := Resume(context.Background(), w.spool, testUUID, to(w.bucket), nil)
			if err != nil || r.UUID != testUUID {
				t.Fatalf("resume: %v", err)
			}
			w.check(testUUID, files)
			if got := w.waiting(); len(got) > 0 {
				t.Errorf("still waiting: %v", got)
			}
		})
	}
}

// The next publish of the same build sends what the spool holds, too.
func TestPublishAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := w.workspace(testFiles)
	var artifacts []string
	o := w.options(testUUID)
	o.Writer = &hook{Writer: w.bucket, before: func(key string) error {
		if strings.HasPrefix(key, vitrine.RecordsPrefix) && strings.Contains(key, "/build.json") {
			return errDown
		}
		return nil
	}}
	if err := w.publish(o, dir, Outcome{Result: vitrine.Success}); !errors.Is(err, errDown) {
		t.Fatal(err)
	}
	for _, key := range w.keys() {
		artifacts = append(artifacts, fmt.Sprintf("%s %x", key, sha(w.object(key))))
	}

	o = w.options(testUUID)
	o.Job.StartTime = o.Job.StartTime.Add(5 * time.Second) // another run, another clock
	o.Job.Buildset = ""
	if err := w.publish(o, dir, Outcome{Result: vitrine.Failure}); err == nil || !strings.Contains(err.Error(), "signed with result SUCCESS already") {
		t.Fatalf("another result: %v", err)
	}
	extra := w.workspace(map[string]string{"late.log": canary})
	if err := w.publish(o, extra, Outcome{Result: vitrine.Success}); err == nil || !strings.Contains(err.Error(), "signed without this file") {
		t.Fatalf("another file: %v", err)
	}
	if err := w.publish(o, dir, Outcome{Result: vitrine.Success}); err != nil {
		t.Fatal(err)
	}
	w.check(testUUID, testFiles)
	for _, line := range artifacts {
		key, sum, _ := strings.Cut(line, " ")
		if fmt.Sprintf("%x", sha(w.object(key))) != sum {
			t.Errorf("%s changed", key)
		}
	}
}

// A publisher is killed after some files were sealed, and perhaps sent. What is
// sealed is used again byte for byte, since the store would refuse other bytes.
func TestKilledBetweenSteps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := w.workspace(testFiles)
	files := w.plan(dir)
	b, err := Start(context.Background(), w.options(testUUID))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Add(context.Background(), files[:4]); err != nil {
		t.Fatal(err)
	}
	// What a crash leaves half-written has a temporary name.
	if err := os.WriteFile(filepath.Join(w.spool, testUUID, tempPrefix+"1"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}

	if _, err := Start(context.Background(), w.options(testUUID)); !errors.Is(err, ErrBusy) {
		t.Fatalf("a second publisher of the same build: %v", err)
	}
	if _, err := Resume(context.Background(), w.spool, testUUID, to(w.bucket), nil); !errors.Is(err, ErrBusy) {
		t.Fatalf("a resume beside the publisher: %v", err)
	}
	b.Close() // as the death of the process does
	_, err = Resume(context.Background(), w.spool, testUUID, to(w.bucket), nil)
	if !errors.Is(err, ErrUnfinished) || !strings.Contains(err.Error(), "--uuid "+testUUID+" --job deploy-codesearch") {
		t.Fatalf("resume of a half build: %v", err)
	}

	if err := w.publish(w.options(testUUID), dir, Outcome{Result: vitrine.Success}); err != nil {
		t.Fatal(err)
	}
	w.check(testUUID, testFiles)
	w.noCanary()
}

func TestGoOnRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*world, *Options)
		want   string
	}{
		{"another job", func(_ *world, o *Options) { o.Job.Name = "deploy-other" }, "that of job deploy-codesearch"},
		{"another tenant", func(_ *world, o *Options) { o.Job.Tenant = "other" }, "in tenant demo"},
		{"another keyring", func(_ *world, o *Options) { o.Keyring.Commit = strings.Repeat("f", 40) }, "begun with the keyring at commit " + testCommit},
		{"other readers", func(w *world, o *Options) {
			w.files["keys/bob.pub"].Data = w.files["keys/alice.pub"].Data
			delete(w.files, "keys/alice.pub")
			w.files["services/codesearch.yaml"].Data = []byte(strings.Replace(string(w.files["services/codesearch.yaml"].Data), "[alice, bob]", "[bob]", 1))
			o.Keyring = w.keyring()
		}, "for other readers"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			b, err := Start(context.Background(), w.options(testUUID))
			if err != nil {
				t.Fatal(err)
			}
			b.Close()
			o := w.options(testUUID)
			test.change(w, &o)
			if _, err := Start(context.Background(), o); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want an error with %q", err, test.want)
			}
			// The refusal must not have harmed the build that waits.
			if got := w.waiting(); !slices.Equal(got, []string{testUUID}) {
				t.Errorf("waiting: %v", got)
			}
		})
	}
}

// A file that was public must not go out when the keyring does not want it.
func TestSpooledPublicFile(t *testing.T) {
	w := newWorld(t)
	dir := w.workspace(map[string]string{"note.pub.txt": "x"})
	b, err := Start(context.Background(), w.options(testUUID))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Add(context.Background(), w.plan(dir)); err != nil {
		t.Fatal(err)
	}
	b.Close()
	w.files["services/codesearch.yaml"].Data = []byte(strings.Replace(string(w.files["services/codesearch.yaml"].Data), `, "*.pub.txt"`, "", 1))
	if err := w.publish(w.options(testUUID), dir, Outcome{Result: vitrine.Success}); err == nil || !strings.Contains(err.Error(), "otherwise than the keyring wants") {
		t.Fatalf("got %v", err)
	}
}

// A store that refuses for good: the error says what to do, the spool is kept.
func TestConflict(t *testing.T) {
	w := newWorld(t)
	dir := w.workspace(map[string]string{"a.log": canary})
	if err := w.publish(w.options(testUUID), dir, Outcome{Result: vitrine.Success}); err != nil {
		t.Fatal(err)
	}
	before := len(w.keys())
	err := w.publish(w.options(testUUID), dir, Outcome{Result: vitrine.Success})
	var kept *KeptError
	if !errors.As(err, &kept) || !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "under another uuid") {
		t.Fatalf("got %v, want a KeptError that is fs.ErrExist and says to use another uuid", err)
	}
	if got := w.waiting(); !slices.Equal(got, []string{testUUID}) || len(w.keys()) != before {
		t.Errorf("waiting %v, %d objects, want %d", got, len(w.keys()), before)
	}
}

func TestResumeRefuses(t *testing.T) {
	t.Parallel()
	kept := func(t *testing.T) *world {
		w := newWorld(t)
		o := w.options(testUUID)
		o.Writer = &hook{before: func(string) error { return errDown }}
		if err := w.publish(o, w.workspace(map[string]string{"a.log": canary}), Outcome{Result: vitrine.Success}); !errors.Is(err, errDown) {
			t.Fatal(err)
		}
		return w
	}
	entry := func(w *world) string { return filepath.Join(w.spool, testUUID, artifactFile("a.log")) }
	t.Run("unknown", func(t *testing.T) {
		w := newWorld(t)
		if _, err := Resume(context.Background(), w.spool, testUUID, to(w.bucket), nil); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if got := w.waiting(); len(got) > 0 {
			t.Errorf("waiting: %v", got)
		}
	})
	t.Run("truncated artifact", func(t *testing.T) {
		w := kept(t)
		if err := os.Truncate(entry(w), 10); err != nil {
			t.Fatal(err)
		}
		if _, err := Resume(context.Background(), w.spool, testUUID, to(w.bucket), nil); err == nil || !strings.Contains(err.Error(), "not there whole") {
			t.Fatal(err)
		}
	})
	t.Run("altered artifact", func(t *testing.T) {
		w := kept(t)
		text, err := os.ReadFile(entry(w))
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)-1] ^= 1
		if err := os.WriteFile(entry(w), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Resume(context.Background(), w.spool, testUUID, to(w.bucket), nil); !errors.Is(err, storage.ErrIntegrity) {
			t.Fatal(err)
		}
	})
	t.Run("altered record", func(t *testing.T) {
		w := kept(t)
		if err := os.WriteFile(filepath.Join(w.spool, testUUID, finalFile), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Resume(context.Background(), w.spool, testUUID, to(w.bucket), nil); !errors.Is(err, vitrine.ErrRecord) {
			t.Fatal(err)
		}
	})
	t.Run("no writer", func(t *testing.T) {
		w := kept(t)
		_, err := Resume(context.Background(), w.spool, testUUID, func(*vitrine.Record) (storage.Writer, error) { return nil, errDown }, nil)
		if !errors.Is(err, errDown) || len(w.waiting()) != 1 {
			t.Fatal(err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		w := kept(t)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := Resume(ctx, w.spool, testUUID, to(w.bucket), nil); !errors.Is(err, context.Canceled) || len(w.waiting()) != 1 {
			t.Fatal(err)
		}
	})
}

// A removal that was cut short leaves rubbish, which is no build.
func TestRubbish(t *testing.T) {
	w := newWorld(t)
	old := filepath.Join(w.spool, testUUID, artifactFile("a.log"))
	if err := os.MkdirAll(filepath.Dir(old), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{old, filepath.Join(w.spool, testUUID, finalFile)} {
		if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.waiting(); len(got) > 0 {
		t.Errorf("waiting: %v", got)
	}
	files := map[string]string{"a.log": canary}
	if err := w.publish(w.options(testUUID), w.workspace(files), Outcome{Result: vitrine.Success}); err != nil {
		t.Fatal(err)
	}
	w.check(testUUID, files)
}
