package publish

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vitrine"
)

func globs(t *testing.T, patterns ...string) []vitrine.Glob {
	t.Helper()
	var out []vitrine.Glob
	for _, p := range patterns {
		g, err := vitrine.ParseGlob(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, g)
	}
	return out
}

func pathsOf(files []File) []string {
	var out []string
	for _, f := range files {
		out = append(out, f.Path)
	}
	slices.Sort(out)
	return out
}

func TestPlan(t *testing.T) {
	w := newWorld(t)
	dir := w.workspace(map[string]string{
		"a.log": "1", "sub/b.log": "22", "sub/deep/c.log": "", ".git/config": "token", "certs/ca.pem": "x", "id_ed25519.pub": "y",
	})
	other := w.workspace(map[string]string{"d.log": "4"})
	files, err := Plan([]string{dir, filepath.Join(other, "d.log")}, Choice{
		Exclude: globs(t, ".git", "sub/deep/**"), Allow: globs(t, "*.pem"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := pathsOf(files), []string{"a.log", "certs/ca.pem", "d.log", "id_ed25519.pub", "sub/b.log"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, f := range files {
		if f.Path == "sub/b.log" && f.Size != 2 {
			t.Errorf("sub/b.log has %d bytes, want 2", f.Size)
		}
	}

	// A relative argument, and one that is the folder itself.
	t.Chdir(dir)
	for _, arg := range []string{"sub", "./sub/"} {
		files, err := Plan([]string{arg}, Choice{})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := pathsOf(files), []string{"b.log", "deep/c.log"}; !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", arg, got, want)
		}
	}
}

// What should never leave a workspace is refused by its name alone (T-8.6).
func TestPlanRefusesSecrets(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		".git/config", ".hg/hgrc", "sub/.svn/entries", ".env", ".env.local", ".ENV", ".netrc", ".npmrc", ".pypirc", ".git-credentials",
		".docker/config.json", ".aws/credentials", ".ssh/known_hosts", ".kube/config", "home/id_rsa", "id_ed25519", "id_ecdsa", "id_dsa", "id_rsa.bak",
		"tls/server.key", "tls/server.pem", "Server.PEM", "a.p12", "a.pfx", "a.kdbx", "a.jks", ".vault_pass.txt", ".vault_password", "vault_pass",
		"clouds.yaml", "kubeconfig", "terraform.tfstate",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			dir := w.workspace(map[string]string{"fine.log": "1", name: canary})
			_, err := Plan([]string{dir}, Choice{Public: func(string) bool { return true }})
			first, _, _ := strings.Cut(name, "/")
			if err == nil || !strings.Contains(err.Error(), first) || !strings.Contains(err.Error(), "--exclude") {
				t.Fatalf("got %v, want a refusal that names it and --exclude", err)
			}
			if strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "fine.log") {
				t.Errorf("error says too much: %v", err)
			}
			file := filepath.Join(dir, filepath.FromSlash(name))
			if _, err := Plan([]string{file}, Choice{}); err == nil {
				t.Errorf("taken when it is named itself")
			}
			if _, err := Plan([]string{dir}, Choice{Exclude: globs(t, name, first)}); err != nil {
				t.Errorf("with --exclude: %v", err)
			}
		})
	}
	t.Run("inside of a secret folder", func(t *testing.T) {
		w := newWorld(t)
		dir := w.workspace(map[string]string{".ssh/notes.txt": canary})
		for _, arg := range []string{filepath.Join(dir, ".ssh"), filepath.Join(dir, ".ssh", "notes.txt")} {
			if _, err := Plan([]string{arg}, Choice{}); err == nil || !strings.Contains(err.Error(), "is in .ssh") {
				t.Errorf("%s: %v", arg, err)
			}
		}
	})
}

func TestPlanRefusesNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		files []string
		want  string
	}{
		{[]string{"a b.log"}, "letters, digits"},
		{[]string{"a\x1b[2Jb.log"}, `\x1b[2J`},
		{[]string{"a\nb.log"}, `a\nb.log`},
		{[]string{"ünï.log"}, "letters, digits"},
		{[]string{".hidden"}, "start with a dot"},
		{[]string{"sub/.cache/x"}, "start with a dot"},
		{[]string{"con.log"}, "device"},
		{[]string{"A.log", "a.log"}, "already"},
		{[]string{"A/x.log", "a"}, "already"},
		{[]string{strings.Repeat("n", 201)}, "200 bytes"},
		{[]string{strings.Repeat("d/", maxDepth+1) + "f"}, "folders deep"},
		{[]string{"public/x.age"}, "taken for a sealed one"},
		{[]string{"x", "x.age/y"}, "is a file already"}, // x may be stored as x.age
	} {
		t.Run(strings.Join(test.files, " "), func(t *testing.T) {
			w := newWorld(t)
			files := make(map[string]string)
			for _, name := range test.files {
				files[name] = "x"
			}
			dir := w.workspace(files)
			_, err := Plan([]string{dir}, Choice{Public: func(p string) bool { return strings.HasPrefix(p, "public/") }})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "--exclude") {
				t.Fatalf("got %v, want an error with %q and --exclude", err, test.want)
			}
			if strings.Contains(err.Error(), "\x1b") {
				t.Errorf("the error holds an escape sequence: %q", err)
			}
		})
	}
	t.Run("twice", func(t *testing.T) {
		w := newWorld(t)
		dir := w.workspace(map[string]string{"a.log": "x"})
		if _, err := Plan([]string{dir, filepath.Join(dir, "a.log")}, Choice{}); err == nil || !strings.Contains(err.Error(), "already") {
			t.Fatal(err)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		if _, err := Plan([]string{t.TempDir()}, Choice{}); err == nil || !strings.Contains(err.Error(), "no file to publish") {
			t.Fatal(err)
		}
		if _, err := Plan([]string{filepath.Join(t.TempDir(), "missing")}, Choice{}); !os.IsNotExist(unjoin(err)) {
			t.Fatal(err)
		}
	})
	t.Run("all problems at once, but not without end", func(t *testing.T) {
		w := newWorld(t)
		files := make(map[string]string)
		for i := range 30 {
			files[fmt.Sprintf("%02d bad", i)] = "x"
		}
		_, err := Plan([]string{w.workspace(files)}, Choice{})
		if lines := strings.Split(fmt.Sprint(err), "\n"); len(lines) != maxProblems+1 || !strings.Contains(lines[maxProblems], "more") {
			t.Fatalf("%d lines: %v", len(lines), err)
		}
	})
}

// unjoin is the first of the errors that Plan joins.
func unjoin(err error) error {
	for {
		switch e := err.(type) {
		case interface{ Unwrap() []error }:
			err = e.Unwrap()[0]
		case interface{ Unwrap() error }:
			if os.IsNotExist(err) {
				return err
			}
			err = e.Unwrap()
		default:
			return err
		}
	}
}

func TestTooManyFiles(t *testing.T) {
	t.Parallel()
	var n names
	var err error
	count := 0
	for ; err == nil && count <= vitrine.MaxArtifacts; count++ {
		err = n.add(fmt.Sprintf("%0150d", count), false)
	}
	if err == nil || !strings.Contains(err.Error(), "too many for one record") {
		t.Fatalf("got %v after %d", err, count)
	}
	// What is taken fits into a record.
	r := vitrine.Record{
		Version: 1, Tenant: "t", Service: "s", UUID: testUUID, JobName: "j", Result: vitrine.Success, Buildset: testUUID, Publisher: "p",
		Keyring: vitrine.Keyring{Commit: testCommit},
	}
	r.StartTime = newWorld(t).started
	r.EndTime = r.StartTime
	for i := range count - 1 {
		path := fmt.Sprintf("%0150d", i)
		r.Artifacts = append(r.Artifacts, vitrine.Artifact{
			Name: path, Path: path + vitrine.SealedSuffix, Sealed: true, SHA256: strings.Repeat("a", 64), MediaType: "application/octet-stream",
			Size: vitrine.MaxArtifactSize, PlainSize: 1 << 60, Lines: 1 << 59,
			Metadata: map[string]string{vitrine.HeaderSHA256: strings.Repeat("a", 64)},
		})
	}
	if _, err := r.Marshal(); err != nil {
		t.Errorf("%d files: %v", count-1, err)
	}
}

func TestMediaType(t *testing.T) {
	long := strings.Repeat("x", headSize-1) + "ü"
	for _, test := range []struct{ name, head, want string }{
		{"a.log", "\x00", "text/plain"},
		{"a.PNG", "", "image/png"},
		{"a.yaml", "", "text/plain"},
		{"syslog", "text\n", "text/plain"},
		{"syslog", "", "text/plain"},
		{"syslog", long[:headSize], "text/plain"}, // cut in the ü
		{"core", "\x7fELF\x02\x01\x01\x00", "application/octet-stream"},
		{"latin1", "caf\xe9 au lait", "application/octet-stream"},
		{"odd", "\xff\xff\xff\xff", "application/octet-stream"},
	} {
		if got := mediaType(test.name, []byte(test.head)); got != test.want {
			t.Errorf("%s with %q: got %s, want %s", test.name, test.head, got, test.want)
		}
	}
}
