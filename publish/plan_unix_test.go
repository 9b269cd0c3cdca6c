//go:build !windows

package publish

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestPlanLinks(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret.txt")
	if err := os.WriteFile(secret, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, target string
		want         string // of the error; empty: the link is taken, or passed over
	}{
		{"out", secret, "leads out of the folder"},
		{"up", "../" + filepath.Base(filepath.Dir(secret)) + "/secret.txt", "leads out of the folder"},
		{"outfolder", "/etc", "leads out of the folder"},
		{"broken", "nothing", "where nothing is"},
		{"self", "self", "leads out"},
		{"hide", ".git/config", "name as of a secret"},
		{"hide2", "sub/hop", "name as of a secret"},
		{"good", "sub/a.log", ""},
		{"loop", ".", ""},
		{"folder", "sub", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			dir := w.workspace(map[string]string{"sub/a.log": "a", ".git/config": canary})
			for _, l := range [][2]string{{"../.git/config", "sub/hop"}, {test.target, test.name}} {
				if l[1] == "sub/hop" && test.name != "hide2" {
					continue
				}
				if err := os.Symlink(l[0], filepath.Join(dir, l[1])); err != nil {
					t.Fatal(err)
				}
			}
			files, err := Plan([]string{dir}, Choice{Exclude: globs(t, ".git", "hop")})
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "--exclude "+test.name) {
					t.Fatalf("got %v, want an error with %q and --exclude", err, test.want)
				}
				if _, err := Plan([]string{filepath.Join(dir, test.name)}, Choice{}); err == nil && test.name != "outfolder" {
					t.Errorf("taken when it is named itself")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"sub/a.log"}
			if test.name == "good" {
				want = []string{"good", "sub/a.log"}
			}
			if got := pathsOf(files); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestPlanSpecialFiles(t *testing.T) {
	dir, err := os.MkdirTemp("", "p") // t.TempDir is too long for a socket's name on some systems
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for arg, want := range map[string]string{
		filepath.Join(dir, "fifo"): "named pipe", filepath.Join(dir, "socket"): "socket", "/dev/null": "device", dir: "named pipe",
	} {
		if _, err := Plan([]string{arg}, Choice{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--exclude") {
			t.Errorf("%s: got %v, want an error with %q", arg, err, want)
		}
	}
}

// What was a file when it was found may be something else when it is opened.
func TestOpenChanged(t *testing.T) {
	w := newWorld(t)
	dir := w.workspace(map[string]string{"a": "x", "b": "x", "c": "x", "secret/d": canary})
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(sub, name)); err != nil {
			t.Fatal(err)
		}
	}
	files := w.plan(sub)
	for _, name := range []string{"a", "b", "c"} {
		if err := os.Remove(filepath.Join(sub, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(sub, "a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../secret/d", filepath.Join(sub, "b")); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"named pipe", "escapes", "no such file"} {
		f, _, err := files[i].open()
		if err == nil {
			f.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", files[i].Path, err, want)
		}
	}
}
