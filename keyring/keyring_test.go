package keyring

import (
	"crypto/ecdh"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"filippo.io/age"
	"filippo.io/age/plugin"

	"vitrine"
)

const corpus = "../testdata/keyring"

// problemLines are all problems as the corpus states them.
func problemLines(problems []Problem) string {
	var b strings.Builder
	for _, warnings := range []bool{false, true} {
		for _, p := range problems {
			if p.Warning == warnings {
				if p.Warning {
					b.WriteString("warning: ")
				}
				fmt.Fprintln(&b, p)
			}
		}
	}
	return b.String()
}

// TestCorpus is T-7.3 and T-7.4: every bad keyring is refused in the exact
// words of its file, every good one accepted with the warnings of its file.
func TestCorpus(t *testing.T) {
	for kind, least := range map[string]int{"bad": 40, "good": 3} {
		dirs, err := filepath.Glob(filepath.Join(corpus, kind, "*", "want"))
		if err != nil || len(dirs) < least {
			t.Fatalf("%s: found %d keyrings, error %v", kind, len(dirs), err)
		}
		for _, want := range dirs {
			dir := filepath.Dir(want)
			t.Run(kind+"/"+filepath.Base(dir), func(t *testing.T) {
				text, err := os.ReadFile(want)
				if err != nil {
					t.Fatal(err)
				}
				k, err := OpenDir(filepath.Join(dir, "keyring"))
				var problems []Problem
				var invalid *Invalid
				switch {
				case kind == "good" && err == nil:
					problems = k.Warnings
				case kind == "bad" && k == nil && errors.As(err, &invalid):
					problems = invalid.Problems
				default:
					t.Fatalf("keyring %v, error %v", k, err)
				}
				if got := problemLines(problems); got != string(text) {
					t.Errorf("problems:\n%swant:\n%s", got, text)
				}
				if err != nil && strings.Contains(err.Error(), "CANARY") {
					t.Errorf("the error prints a private key: %v", err)
				}
			})
		}
	}
}

// goodFiles is a good keyring in memory.
func goodFiles(t *testing.T, name string) fstest.MapFS {
	t.Helper()
	m := fstest.MapFS{}
	top := filepath.Join(corpus, "good", name, "keyring")
	for _, pattern := range []string{"*", "*/*"} {
		paths, _ := filepath.Glob(filepath.Join(top, pattern))
		for _, p := range paths {
			if data, err := os.ReadFile(p); err == nil {
				rel, _ := filepath.Rel(top, p)
				m[filepath.ToSlash(rel)] = &fstest.MapFile{Data: data}
			}
		}
	}
	return m
}

func newAgeKey(t testing.TB) string {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id.Recipient().String()
}

// wantProblem checks that loading fails with a problem of exactly these words.
func wantProblem(t *testing.T, err error, want string) {
	t.Helper()
	var invalid *Invalid
	if !errors.As(err, &invalid) {
		t.Fatalf("error %v, want problem %q", err, want)
	}
	for _, p := range invalid.Problems {
		if p.String() == want {
			return
		}
	}
	t.Errorf("problems:\n%swant: %s", problemLines(invalid.Problems), want)
}

func TestLimits(t *testing.T) {
	service := "jobs: [many]\nreaders: [%s]\npublishers: [bridge]\n"
	t.Run("oversized file", func(t *testing.T) {
		m := goodFiles(t, "plain")
		m["keys/bob.pub"].Data = append(m["keys/bob.pub"].Data, strings.Repeat("# x\n", 64<<10)...)
		_, err := Load(m)
		wantProblem(t, err, "keys/bob.pub: is larger than 256 kB")
	})
	t.Run("all files too large", func(t *testing.T) {
		m := goodFiles(t, "plain")
		for i := range 40 {
			m[fmt.Sprintf("keys/p%02d.pub", i)] = &fstest.MapFile{Data: []byte(strings.Repeat("# "+strings.Repeat("x", 1021)+"\n", 240))}
		}
		_, err := Load(m)
		wantProblem(t, err, "keys/p34.pub: with this file the keyring is larger than 8 MB")
	})
	t.Run("too many files", func(t *testing.T) {
		m := goodFiles(t, "plain")
		for i := range maxFiles {
			m[fmt.Sprintf("keys/p%d.pub", i)] = &fstest.MapFile{}
		}
		_, err := Load(m)
		wantProblem(t, err, "keys: the keyring has more than 10000 files")
	})
	t.Run("too many recipients", func(t *testing.T) {
		m := goodFiles(t, "plain")
		keys := ""
		for range 200 {
			keys += newAgeKey(t) + "\n"
		}
		m["keys/carol.pub"] = &fstest.MapFile{Data: []byte(keys)}
		keys = ""
		for range 57 {
			keys += newAgeKey(t) + "\n"
		}
		m["keys/dave.pub"] = &fstest.MapFile{Data: []byte(keys)}
		m["services/many.yaml"] = &fstest.MapFile{Data: fmt.Appendf(nil, service, "carol, dave")}
		_, err := Load(m)
		wantProblem(t, err, "services/many.yaml:2: 257 recipients, more than 256")
	})
	t.Run("long line", func(t *testing.T) {
		m := goodFiles(t, "plain")
		m["keys/bob.pub"].Data = []byte(strings.Repeat("a", 9<<10))
		_, err := Load(m)
		wantProblem(t, err, "keys/bob.pub:1: line is longer than 8192 bytes")
	})
	t.Run("endless problems", func(t *testing.T) {
		m := goodFiles(t, "plain")
		m["keys/bob.pub"].Data = []byte(strings.Repeat("x\n", 100_000))
		_, err := Load(m)
		var invalid *Invalid
		if !errors.As(err, &invalid) || len(invalid.Problems) != maxProblems {
			t.Errorf("want %d problems", maxProblems)
		}
	})
	t.Run("deep YAML", func(t *testing.T) {
		m := goodFiles(t, "plain")
		m["groups.yaml"] = &fstest.MapFile{Data: []byte("a: " + strings.Repeat("[", 200_000))}
		if _, err := Load(m); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("patterns made to take long", func(t *testing.T) {
		m := goodFiles(t, "plain")
		for i := range 10 {
			var jobs []string
			for j := range 10 {
				jobs = append(jobs, fmt.Sprintf("*/%s%02d-%03d/*", strings.Repeat("a", 200), i, j))
			}
			m[fmt.Sprintf("services/s%d.yaml", i)] = &fstest.MapFile{
				Data: fmt.Appendf(nil, "jobs: [\"%s\"]\nreaders: [alice, bob]\npublishers: [bridge]\n", strings.Join(jobs, "\", \""))}
		}
		_, err := Load(m)
		if err == nil || !strings.Contains(err.Error(), "jobs: too many patterns that are too much alike to compare; use fewer *") {
			t.Errorf("error %v", err)
		}
	})
}

// TestIrregular is T-7.5 for a directory: nothing but regular files is opened.
func TestIrregular(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside.pub")
	if err := os.WriteFile(outside, []byte(newAgeKey(t)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, want string
		make       func(dir string) error
	}{
		{"symlink out", "keys/carol.pub: is a symbolic link; only regular files belong here",
			func(dir string) error { return os.Symlink(outside, filepath.Join(dir, "keys/carol.pub")) }},
		{"symlink in", "keys/carol.pub: is a symbolic link; only regular files belong here",
			func(dir string) error { return os.Symlink("alice.pub", filepath.Join(dir, "keys/carol.pub")) }},
		{"pipe", "keys/carol.pub: is a device, pipe or socket; only regular files belong here",
			func(dir string) error { return exec.Command("mkfifo", filepath.Join(dir, "keys/carol.pub")).Run() }},
		{"symlinked folder", "services: is a symbolic link; want a folder",
			func(dir string) error {
				return errors.Join(os.Rename(filepath.Join(dir, "services"), filepath.Join(dir, "../services")),
					os.Symlink("../services", filepath.Join(dir, "services")))
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "keyring")
			if err := os.CopyFS(dir, goodFiles(t, "plain")); err != nil {
				t.Fatal(err)
			}
			if err := tt.make(dir); err != nil {
				t.Fatal(err)
			}
			_, err := OpenDir(dir)
			wantProblem(t, err, tt.want)
		})
	}
}

func TestService(t *testing.T) {
	k, err := Load(goodFiles(t, "every-kind"))
	if err != nil {
		t.Fatal(err)
	}
	for job, want := range map[string]string{
		"infra-prod-service-codesearch": "codesearch", "infra-prod-codesearch-x": "codesearch",
		"gitea-a/b": "gitea", "vault": "vault", "infra-prod-codesearch-a/b": "", "vault2": "", "": "",
	} {
		s, err := k.ServiceOf(job)
		switch {
		case want == "" && !errors.Is(err, ErrNoService):
			t.Errorf("%s: error %v, want ErrNoService", job, err)
		case want != "" && (err != nil || s.Name != want):
			t.Errorf("%s: %v, %v; want %s", job, s, err, want)
		}
	}
	s := k.Services["codesearch"]
	if !s.IsPublic("screenshots/a/b.png") || s.IsPublic("screenshots/a.txt") || s.IsPublic("log.png") {
		t.Error("IsPublic differs from the patterns")
	}
	if s.Retention != 180*24*time.Hour || k.Services["gitea"].Retention != 0 || k.Services["vault"].Retention != 48*time.Hour {
		t.Error("wrong retention")
	}
	if s.Class != Classic || k.Services["vault"].Class != PostQuantum {
		t.Error("wrong class")
	}
	if got := k.PublisherKeys("gitea"); len(got) != 2 || len(got["token"]) != 1 || got["token"][0].Type() != "sk-ssh-ed25519@openssh.com" {
		t.Errorf("publisher keys %v", got)
	}
	if len(k.PublisherKeys("nobody")) != 0 {
		t.Error("keys for a service that is not there")
	}
	for _, line := range strings.Split(strings.TrimSpace(string(k.AllowedSigners())), "\n") {
		if f := strings.Fields(line); len(f) != 4 || f[1] != `namespaces="vitrine-record@v1"` {
			t.Errorf("allowed signer %q", line)
		}
	}
}

func TestRecipients(t *testing.T) {
	k, err := Load(goodFiles(t, "every-kind"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	names := func(r Recipients) (out []string) {
		for _, p := range r.Readers {
			for _, f := range p.Fingerprints {
				out = append(out, p.Name+" "+strings.SplitN(f, ":", 2)[0][:4])
			}
		}
		return out
	}
	for service, want := range map[string][]string{
		"codesearch": {"alice age1", "bob SHA2"},
		"gitea":      {"alice age1", "carol age1", "carol SHA2", "erin age1"},
		"vault":      {"alice age1", "bob age1", "dave age1"},
	} {
		r, err := k.Recipients(service, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := names(r); !reflect.DeepEqual(got, want) || len(r.Age) != len(want) || len(r.Skipped) != 0 {
			t.Errorf("%s: %v, %d recipients, skipped %v; want %v", service, got, len(r.Age), r.Skipped, want)
		}
		if _, err := age.Encrypt(&strings.Builder{}, r.Age...); err != nil {
			t.Errorf("%s: age refuses the recipients: %v", service, err)
		}
	}
	if _, err := k.Recipients("nobody", at); err == nil {
		t.Error("recipients of a service that is not there")
	}
}

func TestExpiry(t *testing.T) {
	m := goodFiles(t, "plain")
	m["keys/bob.pub"].Data = []byte(newAgeKey(t) + " expires=2026-10-01\n")
	k, err := Load(m)
	if err != nil {
		t.Fatal(err)
	}
	last := time.Date(2026, 10, 1, 23, 59, 59, 999_999_999, time.UTC)
	if r, err := k.Recipients("codesearch", last); err != nil || len(r.Age) != 2 {
		t.Errorf("on the last day: %d recipients, error %v", len(r.Age), err)
	}
	r, err := k.Recipients("codesearch", last.Add(1))
	if !errors.Is(err, ErrTooFewReaders) || !strings.Contains(err.Error(), "bob (key expired 2026-10-01)") || len(r.Age) != 0 {
		t.Errorf("below min_readers: %d recipients, error %v", len(r.Age), err)
	}
	m["services/codesearch.yaml"].Data = []byte(strings.Replace(string(m["services/codesearch.yaml"].Data), "min_readers: 2", "min_readers: 1", 1))
	if k, err = Load(m); err != nil {
		t.Fatal(err)
	}
	r, err = k.Recipients("codesearch", last.Add(1))
	want := []vitrine.SkippedReader{{Name: "bob", Reason: "key expired 2026-10-01"}}
	if err != nil || len(r.Age) != 1 || !reflect.DeepEqual(r.Skipped, want) {
		t.Errorf("%d recipients, skipped %v, error %v", len(r.Age), r.Skipped, err)
	}

	for days, warn := range map[int]string{10: "expires on", 40: ""} {
		day := time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly)
		m["keys/bob.pub"].Data = []byte(newAgeKey(t) + " expires=" + day + "\n")
		k, err := Load(m)
		if err != nil {
			t.Fatal(err)
		}
		if got := problemLines(k.Warnings); (warn == "") != (got == "") || !strings.Contains(got, warn) {
			t.Errorf("%d days before expiry: warnings %q", days, got)
		}
	}
}

// TestLowOrder has a well-formed key to which age can't seal anything: one such
// line in git would stop every deploy.
func TestLowOrder(t *testing.T) {
	zero, err := ecdh.X25519().NewPublicKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	line, err := plugin.EncodeX25519Recipient(zero)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseKey(line); err == nil || err.Error() != "nothing can be sealed to this X25519 key" {
		t.Errorf("error %v", err)
	}
}

func TestOverlap(t *testing.T) {
	// Against what the patterns do with all short strings over an alphabet that
	// has the one byte that matters to a star.
	const alphabet = "a/b"
	var all []string
	for n, from := 0, []string{""}; n <= 4; n++ {
		all = append(all, from...)
		var longer []string
		for _, s := range from {
			for _, c := range alphabet {
				longer = append(longer, s+string(c))
			}
		}
		from = longer
	}
	patterns := []string{"a", "b", "/", "*", "**", "a*", "*a", "**a", "a**", "a*b", "a**b", "*/*", "**/**", "/*", "*/", "a/*", "*/b",
		"***", "a*a", "*a*", "**/a", "ab", "*b*a", "a***", "*/**", "b/**", "**/*b"}
	for _, a := range patterns {
		for _, b := range patterns {
			ga, err := vitrine.ParseGlob(a)
			if err != nil {
				t.Fatal(err)
			}
			gb, _ := vitrine.ParseGlob(b)
			want := false
			for _, s := range all {
				want = want || ga.Match(s) && gb.Match(s)
			}
			steps := 0
			if got := overlap(a, b); got != want {
				t.Errorf("overlap(%q, %q) = %v", a, b, got)
			}
			if got := mayOverlap(a, b, &steps); got != want {
				t.Errorf("mayOverlap(%q, %q) = %v", a, b, got)
			}
		}
	}
}

func FuzzParseKey(f *testing.F) {
	paths, _ := filepath.Glob(filepath.Join(corpus, "*/*/keyring/*/*.pub"))
	for _, p := range paths {
		data, _ := os.ReadFile(p)
		for line := range strings.Lines(string(data)) {
			f.Add(strings.TrimRight(line, "\n"))
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		k, err := ParseKey(line)
		_, _ = parsePublisherKey(line)
		if err != nil {
			return
		}
		if k.Recipient == nil || k.Kind == "" || k.Fingerprint == "" || len(k.Fingerprint) > vitrine.MaxString {
			t.Errorf("key %+v", k)
		}
		if _, err := age.Encrypt(&strings.Builder{}, k.Recipient); err != nil {
			t.Errorf("accepted, and age refuses it: %v", err)
		}
	})
}

func FuzzService(f *testing.F) {
	paths, _ := filepath.Glob(filepath.Join(corpus, "*/*/keyring/services/*.yaml"))
	for _, p := range paths {
		data, _ := os.ReadFile(p)
		f.Add(data)
	}
	var base []file
	for _, path := range []string{"keys/alice.pub", "keys/bob.pub", "publishers/bridge.pub"} {
		data, err := os.ReadFile(filepath.Join(corpus, "good/plain/keyring", path))
		if err != nil {
			f.Fatal(err)
		}
		base = append(base, file{path: path, name: strings.TrimSuffix(filepath.Base(path), keySuffix), data: data})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxFileSize {
			return
		}
		x := file{path: "services/x.yaml", name: "x", data: data}
		k, err := check(append(slices.Clone(base), x), new(report), time.Now())
		if err != nil {
			return
		}
		s := k.Services["x"]
		if len(s.Jobs) == 0 || len(s.Readers) == 0 || len(s.Publishers) == 0 || s.MinReaders < 1 || s.Class == "" || s.Retention < 0 {
			t.Errorf("accepted %+v", s)
		}
		// What can be read can be added to, or is refused; nothing else is changed.
		if text, err := addToReaders(x, "zoe"); err == nil && string(text) != string(data) {
			r := new(report)
			again := parseService(file{path: x.path, name: x.name, data: text}, r)
			if again == nil || r.errors > 0 || !reflect.DeepEqual(again.Readers, append(s.Readers, "zoe")) {
				t.Errorf("after adding a reader: %v\n%s", r.problems, text)
			}
		}
	})
}
