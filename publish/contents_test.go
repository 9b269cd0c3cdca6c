package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vitrine"
	"vitrine/crypto"
)

const hiddenName = "acme-merger"

var hiddenFiles = map[string]string{
	"run.log":                     "a name for everybody",
	hiddenName + ".log":           canary,
	"sub/" + hiddenName + ".gz":   "\x1f\x8b" + canary,
	hiddenName + "/screen.pub.md": canary, // of no public pattern
	"note.pub.txt":                "for everybody\n",
}

// hidingWorld is a world whose service keeps names to its readers.
func hidingWorld(t *testing.T) *world {
	w := newWorld(t)
	w.files["services/codesearch.yaml"].Data = append(w.files["services/codesearch.yaml"].Data, "public_names: [run.log]\n"...)
	return w
}

// open returns the plaintext of a sealed artifact.
func (w *world) open(a vitrine.Artifact) []byte {
	w.t.Helper()
	w.checkHeader(testUUID, a)
	r, err := crypto.Open(bytes.NewReader(w.object(vitrine.ArtifactKey(testUUID, a.Path))), w.alice)
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// checkHidden checks the build that hiddenFiles were published as: readers get
// all under the real names, and the store holds none of the hidden ones.
func (w *world) checkHidden() {
	w.t.Helper()
	r := w.record(vitrine.RecordKey(w.started, testUUID))
	sealed, ok := r.Contents()
	if !ok {
		w.t.Fatal("the record has no contents")
	}
	contents, err := vitrine.ParseContents(w.open(sealed))
	if err != nil {
		w.t.Fatal(err)
	}
	got := make(map[string]string)
	for _, a := range r.Artifacts {
		name, hidden := contents.Names[a.PlainPath()]
		switch {
		case a.Path == sealed.Path:
		case hidden:
			if a.Name != a.PlainPath() || a.MediaType != "application/octet-stream" || a.Lines != 0 {
				w.t.Errorf("the entry of a hidden file tells of it: %+v", a)
			}
			got[name] = string(w.open(a))
		case a.Sealed:
			got[a.PlainPath()] = string(w.open(a))
		default:
			got[a.Path] = string(w.object(vitrine.ArtifactKey(testUUID, a.Path)))
		}
	}
	if !maps.Equal(got, hiddenFiles) {
		w.t.Errorf("a reader gets %q, want %q", got, hiddenFiles)
	}
	for _, key := range w.keys() {
		if strings.Contains(key, hiddenName) || bytes.Contains(w.object(key), []byte(hiddenName)) {
			w.t.Errorf("object %s tells a hidden name", key)
		}
	}
	w.noCanary()
	if got := w.waiting(); len(got) > 0 {
		w.t.Errorf("still waiting: %v", got)
	}
}

func TestHiddenNames(t *testing.T) {
	w := hidingWorld(t)
	var last Totals
	o := w.options(testUUID)
	o.Progress = func(t Totals) { last = t }
	if err := w.publish(o, w.workspace(hiddenFiles), Outcome{Result: vitrine.Success}); err != nil {
		t.Fatal(err)
	}
	w.checkHidden()
	if last.Files != len(hiddenFiles)+1 || last.SealedFiles != last.Files || last.SentFiles != last.Files ||
		last.PlainBytes != last.SealedBytes || last.SpoolBytes != last.SentBytes {
		t.Errorf("totals at the end: %+v", last)
	}
}

// A publisher dies when all is sealed, and perhaps the contents too, but nothing
// signed. The next one goes on with the hidden paths that are stored already.
func TestHiddenNamesAfterCrash(t *testing.T) {
	t.Parallel()
	for _, contents := range []bool{false, true} {
		t.Run(fmt.Sprintf("contents sealed %v", contents), func(t *testing.T) {
			w := hidingWorld(t)
			dir := w.workspace(hiddenFiles)
			b, err := Start(context.Background(), w.options(testUUID))
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Add(context.Background(), w.plan(dir)); err != nil {
				t.Fatal(err)
			}
			b.upload.wg.Wait() // all that is sealed is stored
			if contents {
				if err := b.sealContents(); err != nil {
					t.Fatal(err)
				}
			}
			b.Close()
			before := w.keys()
			if len(before) != len(hiddenFiles)+2 {
				t.Fatalf("stored before the crash: %q", before)
			}
			if _, err := Resume(context.Background(), w.spool, testUUID, to(w.bucket), nil); !errors.Is(err, ErrUnfinished) {
				t.Fatalf("resume of what is not signed: %v", err)
			}

			if err := w.publish(w.options(testUUID), dir, Outcome{Result: vitrine.Success}); err != nil {
				t.Fatal(err)
			}
			w.checkHidden()
			// The contents, the record and its signature are new, and nothing else.
			if after := w.keys(); len(after) != len(before)+3 {
				t.Errorf("stored before the crash %q, after it %q", before, after)
			}
		})
	}
}

// The store dies before the contents are sent: what is signed is sent by a resume,
// or by the next publish of the same build, as it was signed.
func TestHiddenNamesResumed(t *testing.T) {
	t.Parallel()
	for _, again := range []bool{false, true} {
		t.Run(fmt.Sprintf("published again %v", again), func(t *testing.T) {
			w := hidingWorld(t)
			dir := w.workspace(hiddenFiles)
			o := w.options(testUUID)
			o.Writer = &hook{Writer: w.bucket, before: func(key string) error {
				if strings.Contains(key, vitrine.ContentsPath) {
					return errDown
				}
				return nil
			}}
			if err := w.publish(o, dir, Outcome{Result: vitrine.Success}); !errors.Is(err, errDown) {
				t.Fatal(err)
			}
			signed, err := os.ReadFile(filepath.Join(w.spool, testUUID, finalFile))
			if err != nil {
				t.Fatal(err)
			}
			if again {
				err = w.publish(w.options(testUUID), dir, Outcome{Result: vitrine.Success})
			} else {
				_, err = Resume(context.Background(), w.spool, testUUID, to(w.bucket), nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			w.checkHidden()
			if !bytes.Equal(w.object(vitrine.RecordKey(w.started, testUUID)), signed) {
				t.Error("another record was stored than the one that was signed")
			}
		})
	}
}
