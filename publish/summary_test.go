package publish

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vitrine"
	"vitrine/keyring"
	"vitrine/summary"
)

const failedLog = `TASK [Deploy ` + canary + `] ***
fatal: [web01]: FAILED! => {"msg": "no space left", "rc": 1}

PLAY RECAP ***
web01 : ok=3 changed=1 unreachable=0 failed=1 skipped=2 rescued=0 ignored=0
`

func (w *world) summaryOptions() Options {
	o := w.options(testUUID)
	o.Summarize = true
	return o
}

// summaryOf is the summary of the published build, as a reader gets it.
func (w *world) summaryOf() (*summary.Summary, vitrine.Artifact) {
	w.t.Helper()
	r := w.record(vitrine.RecordKey(w.started, testUUID))
	if err := w.keyring().CheckRecord(r); err != nil {
		w.t.Error(err)
	}
	a, ok := r.Summary()
	if !ok {
		w.t.Fatalf("the build has no summary, but %v", r.Artifacts)
	}
	s, err := summary.Parse(w.open(a))
	if err != nil {
		w.t.Fatal(err)
	}
	w.noCanary()
	return s, a
}

func TestSummary(t *testing.T) {
	w := newWorld(t)
	var last Totals
	o := w.summaryOptions()
	o.Progress = func(t Totals) { last = t }
	o.Failures = []*regexp.Regexp{regexp.MustCompile("^boom")}
	dir := w.workspace(map[string]string{
		"ansible.log": failedLog, "plain.log": "nothing\n", "boom.log": "x\nboom\n", "data.json": "ERROR: x",
		"note.pub.txt": "ERROR: public, but told with the others\n",
	})
	if err := w.publish(o, dir, Outcome{Result: vitrine.Failure}); err != nil {
		t.Fatal(err)
	}
	s, a := w.summaryOf()
	var paths []string
	for _, l := range s.Logs {
		paths = append(paths, l.Path)
	}
	if want := []string{"ansible.log", "boom.log", "note.pub.txt"}; !slices.Equal(paths, want) {
		t.Fatalf("logs %q, want %q", paths, want)
	}
	n := s.Logs[0].Failures[0]
	if n.Line != 2 || n.Task != "Deploy "+canary || n.Host != "web01" || n.Message != "no space left (rc 1)" || s.Logs[0].Lines != 5 {
		t.Errorf("it tells %+v of %d lines", n, s.Logs[0].Lines)
	}
	if s.Logs[1].Failures[0].Message != "boom" {
		t.Errorf("the pattern found %+v", s.Logs[1])
	}
	if a.Path != summary.Path+vitrine.SealedSuffix || len(a.Metadata) != 2 || a.Metadata["type"] != vitrine.SummaryType || a.Lines != 1 || a.MediaType != "application/json" {
		t.Errorf("its entry is %+v", a)
	}
	if a.PlainSize != 16<<10 {
		t.Errorf("the record tells that the summary has %d bytes", a.PlainSize)
	}
	if last.Files != 6 || last.SealedFiles != last.Files || last.SentFiles != last.Files || last.PlainBytes != last.SealedBytes || last.SpoolBytes != last.SentBytes {
		t.Errorf("totals at the end: %+v", last)
	}
}

func TestSummaryOfOutput(t *testing.T) {
	w := newWorld(t)
	b, err := Start(context.Background(), w.summaryOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	log, err := b.Create("console.log")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(failedLog) {
		io.WriteString(log, line[:len(line)/2])
		io.WriteString(log, line[len(line)/2:])
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Finish(context.Background(), Outcome{Result: vitrine.Failure}); err != nil {
		t.Fatal(err)
	}
	if s, _ := w.summaryOf(); len(s.Logs) != 1 || s.Logs[0].Path != "console.log" || len(s.Logs[0].Failures) != 1 {
		t.Errorf("%+v", s.Logs)
	}
}

// Counts are public only where the keyring says so, and a record with others is
// refused.
func TestPublicSummary(t *testing.T) {
	w := newWorld(t)
	silent := w.keyring()
	w.files["services/codesearch.yaml"].Data = append(w.files["services/codesearch.yaml"].Data, "public_summary: [recap]\npublic: [\"*.json\"]\n"...)
	w.files["services/codesearch.yaml"].Data = []byte(strings.Replace(string(w.files["services/codesearch.yaml"].Data), "public: [\"screenshots/**.png\", \"*.pub.txt\"]\n", "", 1))
	if err := w.publish(w.summaryOptions(), w.workspace(map[string]string{"a.log": failedLog}), Outcome{Result: vitrine.Failure}); err != nil {
		t.Fatal(err)
	}
	_, a := w.summaryOf() // sealed, although *.json is public
	want := map[string]string{"type": "vitrine_summary", "ok": "3", "changed": "1", "unreachable": "0", "failed": "1", "skipped": "2", vitrine.HeaderSHA256: a.Metadata[vitrine.HeaderSHA256]}
	if !maps.Equal(a.Metadata, want) {
		t.Errorf("metadata %v, want %v", a.Metadata, want)
	}
	r := w.record(vitrine.RecordKey(w.started, testUUID))
	if got := r.Recap(); got == nil || *got != (vitrine.Recap{OK: 3, Changed: 1, Failed: 1, Skipped: 2}) {
		t.Errorf("recap %+v", got)
	}
	if err := silent.CheckRecord(r); !errors.Is(err, keyring.ErrRecord) || !strings.Contains(err.Error(), "counts of the recap") {
		t.Errorf("a service without public_summary: %v", err)
	}
	for _, i := range r.Artifacts {
		if !i.IsSummary() {
			continue
		}
		for name, change := range map[string]func(map[string]string){
			"a count that is none":     func(m map[string]string) { m["ok"] = "web01" },
			"a count with a sign":      func(m map[string]string) { m["ok"] = "+3" },
			"a negative count":         func(m map[string]string) { m["ok"] = "-3" },
			"a count less":             func(m map[string]string) { delete(m, "ok") },
			"more than the recap":      func(m map[string]string) { m["host"] = "web01" },
			"something in its place":   func(m map[string]string) { delete(m, "ok"); m["host"] = "web01" },
			"more than can be counted": func(m map[string]string) { m["ok"] = "9999999999999999" },
		} {
			clear(i.Metadata)
			maps.Copy(i.Metadata, want)
			change(i.Metadata)
			if err := w.keyring().CheckRecord(r); !errors.Is(err, keyring.ErrRecord) {
				t.Errorf("%s: %v", name, err)
			}
			if r.Recap() != nil {
				t.Errorf("%s is shown as a recap", name)
			}
		}
	}
}

// A publisher dies before the record is signed: what the logs told is told again,
// of those that are still there as they were.
func TestSummaryAfterCrash(t *testing.T) {
	t.Parallel()
	for _, made := range []bool{false, true} {
		w := newWorld(t)
		dir := w.workspace(map[string]string{"a.log": failedLog, "grown.log": "ERROR: first\n", "cut.log": "ERROR: " + canary + "\n", "new.log": "ERROR: new\n"})
		b, err := Start(context.Background(), w.summaryOptions())
		if err != nil {
			t.Fatal(err)
		}
		plan := w.plan(dir)
		if err := b.Add(context.Background(), slices.DeleteFunc(slices.Clone(plan), func(f File) bool { return f.Path == "new.log" })); err != nil {
			t.Fatal(err)
		}
		if made {
			if err := b.sealSummary(); err != nil {
				t.Fatal(err)
			}
		}
		b.Close()
		for name, text := range map[string]string{"grown.log": "ERROR: first\nERROR: second\n", "cut.log": "x"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.publish(w.summaryOptions(), dir, Outcome{Result: vitrine.Failure}); err != nil {
			t.Fatal(err)
		}
		s, _ := w.summaryOf()
		got := make(map[string]int)
		for _, l := range s.Logs {
			got[l.Path] = len(l.Failures) + len(l.Errors)
		}
		if want := map[string]int{"a.log": 1, "grown.log": 1, "new.log": 1}; !maps.Equal(got, want) {
			t.Errorf("made before %v: it tells of %v, want %v", made, got, want)
		}
	}
}

// Names that the service keeps to its readers are told to them, and to nobody else.
func TestSummaryHiddenNames(t *testing.T) {
	w := hidingWorld(t)
	if err := w.publish(w.summaryOptions(), w.workspace(map[string]string{hiddenName + ".log": failedLog}), Outcome{Result: vitrine.Failure}); err != nil {
		t.Fatal(err)
	}
	s, a := w.summaryOf()
	if len(s.Logs) != 1 || s.Logs[0].Path != hiddenName+".log" || a.Path != summary.Path+vitrine.SealedSuffix {
		t.Errorf("%s tells of %+v", a.Path, s.Logs)
	}
	for _, key := range w.keys() {
		if strings.Contains(string(w.object(key)), hiddenName) {
			t.Errorf("%s tells a hidden name", key)
		}
	}
}

// The contents are sealed even where files of their name may be public.
func TestContentsAreSealed(t *testing.T) {
	w := hidingWorld(t)
	w.files["services/codesearch.yaml"].Data = []byte(strings.Replace(string(w.files["services/codesearch.yaml"].Data), `"*.pub.txt"`, `"*.pub.txt", "*.json"`, 1))
	if err := w.publish(w.options(testUUID), w.workspace(hiddenFiles), Outcome{Result: vitrine.Success}); err != nil {
		t.Fatal(err)
	}
	w.checkHidden()
}

// There is none of a build without logs, where it is not wanted, or where a file
// has its name.
func TestNoSummary(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		files map[string]string
		off   bool
	}{
		"no logs":                           {map[string]string{"a.json": "{}"}, false},
		"not wanted":                        {map[string]string{"a.log": failedLog}, true},
		"taken":                             {map[string]string{"a.log": failedLog, summary.Path: `{"of":"a user"}`}, false},
		"taken but for the case of letters": {map[string]string{"a.log": failedLog, strings.ToUpper(summary.Path): "x"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o := w.summaryOptions()
			o.Summarize = !tt.off
			if err := w.publish(o, w.workspace(tt.files), Outcome{Result: vitrine.Failure}); err != nil {
				t.Fatal(err)
			}
			if _, ok := w.check(testUUID, tt.files).Summary(); ok {
				t.Error("it has a summary")
			}
		})
	}
}
