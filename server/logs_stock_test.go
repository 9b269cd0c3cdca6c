//go:build stock

package server_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"vitrine"
)

// The script opens the sealed files with stock tools and no others, and leaves
// nothing where something is wrong.
func TestDownloadScript(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	seal := func(text []byte) []byte {
		var b bytes.Buffer
		w, err := age.Encrypt(&b, identity.Recipient())
		if err == nil {
			_, err = w.Write(text)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newLogsSite(t, nil)
	text := []byte(strings.Repeat("a line of the log\n", 9000))
	r := s.publishFiles(map[string][]byte{
		"-rf/a,b+c@1=2.log.zst.age": seal(enc.EncodeAll(text, nil)), "shot.png.age": seal([]byte("png")), "x.png": []byte("public"),
	})
	folder := t.TempDir()
	run := func(script string, args ...string) (string, error) {
		file := filepath.Join(t.TempDir(), "download-logs.sh")
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.Command("bash", append([]string{file}, args...)...)
		c.Dir = folder
		out, err := c.CombinedOutput()
		return string(out), err
	}
	key := filepath.Join(folder, "key.txt")
	if err := os.WriteFile(key, []byte(identity.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	resp, script := s.ask("GET", logs(r)+"download-logs.sh")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(script, "'https://vitrine.example.org"+logs(r)+"'") {
		t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, script)
	}
	script = strings.ReplaceAll(script, "https://vitrine.example.org", s.url)
	for name, dir := range map[string]string{"logs-" + r.UUID: "", "- my 'logs'": "- my 'logs'"} {
		args := []string{key}
		if dir != "" {
			args = append(args, dir)
		}
		if out, err := run(script, args...); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		for path, want := range map[string]string{"-rf/a,b+c@1=2.log": string(text), "shot.png": "png"} {
			if got, err := os.ReadFile(filepath.Join(folder, name, path)); err != nil || string(got) != want {
				t.Errorf("%s: %v, %d bytes", path, err, len(got))
			}
		}
		if list, _ := os.ReadDir(filepath.Join(folder, name)); len(list) != 2 {
			t.Errorf("left over: %v", list)
		}
	}

	other, _ := age.GenerateX25519Identity()
	stranger := filepath.Join(folder, "stranger.txt")
	if err := os.WriteFile(stranger, []byte(other.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hash := r.Artifacts[slices.IndexFunc(r.Artifacts, func(a vitrine.Artifact) bool { return a.Path == "shot.png.age" })].SHA256
	for name, c := range map[string]struct{ script, key, says string }{
		"no key":         {script, "", "usage"},
		"another's key":  {script, stranger, "no identity matched"},
		"other bytes":    {strings.ReplaceAll(script, hash, strings.Repeat("0", 64)), key, "not the bytes that were published"},
		"a file is gone": {strings.ReplaceAll(script, "'shot.png.age'", "'none.age'"), key, "404"},
	} {
		dir := filepath.Join(folder, strings.ReplaceAll(name, " ", "-"))
		out, err := run(c.script, c.key, dir)
		if _, there := os.Stat(filepath.Join(dir, "shot.png")); err == nil || !strings.Contains(out, c.says) || there == nil {
			t.Errorf("%s: %v, %s", name, err, out)
		}
		if list, _ := filepath.Glob(filepath.Join(dir, ".*ed.*")); len(list) > 0 {
			t.Errorf("%s: left over: %v", name, list)
		}
	}
	if out, err := exec.Command("bash", "-n", "-c", script).CombinedOutput(); err != nil {
		t.Errorf("%s: %v", out, err)
	}
}
