package keyring

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// goodDir is a good keyring in a directory of the test's own.
func goodDir(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keyring")
	if err := os.CopyFS(dir, goodFiles(t, name)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, dir, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(data)
}

func TestAddReader(t *testing.T) {
	key := newAgeKey(t)
	for _, tt := range []struct{ name, before, after string }{
		{"flow", "readers: [alice, bob]  # who\n", "readers: [alice, bob, carol]  # who\n"},
		{"flow over lines", "readers: [\n  alice, # a\n  'bob', # b\n]\n", "readers: [\n  alice, # a\n  'bob', carol, # b\n]\n"},
		{"block", "readers:\n  - alice\n  - \"bob\" # since May\n# the end\n", "readers:\n  - alice\n  - \"bob\" # since May\n  - carol\n# the end\n"},
		{"block without indent", "readers:\n- alice\n- bob\n\n", "readers:\n- alice\n- bob\n- carol\n\n"},
		{"block at the end of the file", "readers:\n  - alice\n  - bob", "readers:\n  - alice\n  - bob\n  - carol\n"},
		{"lines of Windows", "readers:\r\n  - alice\r\n  - bob\r\n", "readers:\r\n  - alice\r\n  - bob\r\n  - carol\r\n"},
		{"after text that is not ASCII", "description: \"Ünï\"\nreaders: [alice, bob]\n", "description: \"Ünï\"\nreaders: [alice, bob, carol]\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := goodDir(t, "plain")
			head := "# look after it well\njobs: [x] # one\npublishers: [bridge]\n"
			path := "services/codesearch.yaml"
			if err := os.WriteFile(filepath.Join(dir, path), []byte(head+tt.before), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(dir, path), 0o640); err != nil {
				t.Fatal(err)
			}
			changed, err := AddReader(dir, "codesearch", "carol", []string{"# carol's", key, ""})
			if err != nil || strings.Join(changed, " ") != "keys/carol.pub "+path {
				t.Fatalf("changed %q, error %v", changed, err)
			}
			if got := read(t, dir, path); got != head+tt.after {
				t.Errorf("got:\n%s\nwant:\n%s", got, head+tt.after)
			}
			if got := read(t, dir, "keys/carol.pub"); got != key+"\n" {
				t.Errorf("key file %q", got)
			}
			if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("mode %v, error %v", info.Mode(), err)
			}
			// Once more changes nothing.
			if changed, err := AddReader(dir, "codesearch", "carol", []string{key}); err != nil || len(changed) != 0 {
				t.Errorf("the second time: changed %q, error %v", changed, err)
			}
		})
	}
}

func TestAddReaderRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, service, person string
		keys                  []string
		want                  string
	}{
		{"unknown service", "wiki", "carol", []string{newAgeKey(t)}, `no service "wiki"`},
		{"service out of the keyring", "../keys/alice", "carol", nil, "no service"},
		{"bad name", "codesearch", "../carol", nil, "is not a name"},
		{"no key", "codesearch", "carol", []string{"# later"}, "carol has no key in the keyring yet"},
		{"private key", "codesearch", "carol", []string{"AGE-SECRET-KEY-1CANARY"}, "this is a private key"},
		{"another's key", "codesearch", "carol", []string{strings.TrimSpace(read(t, filepath.Join(corpus, "good/plain/keyring"), "keys/alice.pub"))},
			"keys/carol.pub:1: the same key belongs to alice already"},
		{"wrong class", "codesearch", "carol", []string{strings.Fields(read(t, filepath.Join(corpus, "good/every-kind/keyring"), "keys/dave.pub"))[0]},
			"carol has post-quantum keys only"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := goodDir(t, "plain")
			before := read(t, dir, "services/codesearch.yaml")
			changed, err := AddReader(dir, tt.service, tt.person, tt.keys)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("changed %q, error %v, want %q", changed, err, tt.want)
			}
			if read(t, dir, "services/codesearch.yaml") != before || read(t, dir, "keys/carol.pub") != "" {
				t.Error("something was written")
			}
		})
	}
}

// TestEditWritesAllOrNothing makes the last of three files fail: those before
// it are taken back.
func TestEditWritesAllOrNothing(t *testing.T) {
	dir := goodDir(t, "plain")
	before := read(t, dir, "services/codesearch.yaml")
	if err := os.Mkdir(filepath.Join(dir, "services/wiki.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	root, name, err := openAbove(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	set := &fileSet{}
	set.put("keys/carol.pub", []byte("new\n"))
	set.put("services/codesearch.yaml", []byte("new\n"))
	set.put("services/wiki.yaml", []byte("new\n"))
	if err := set.write(root, name); err == nil {
		t.Fatal("no error")
	}
	if read(t, dir, "services/codesearch.yaml") != before || read(t, dir, "keys/carol.pub") != "" {
		t.Error("half of the change was left")
	}
}

func TestAddService(t *testing.T) {
	dir := goodDir(t, "plain")
	o := ServiceOptions{
		Description: "Paste: \"text\" # for all", URL: "https://paste.example/?a=b&c",
		Jobs: []string{"paste-*", "123", "true"}, Readers: []string{"alice", "bob"}, Publishers: []string{"bridge"},
		Public: []string{"shots/**.png"}, Retention: "30d", MinReaders: 2, Class: Classic,
	}
	changed, err := AddService(dir, "paste", o)
	if err != nil || len(changed) != 1 || changed[0] != "services/paste.yaml" {
		t.Fatalf("changed %q, error %v", changed, err)
	}
	k, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := k.Services["paste"]
	if s.Description != o.Description || s.URL != o.URL || len(s.Jobs) != 3 || s.Jobs[1].String() != "123" || s.MinReaders != 2 || s.Retention.Hours() != 720 {
		t.Errorf("read back %+v", s)
	}
	if _, err := AddService(dir, "paste", o); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	o.Jobs = []string{"paste-x"}
	if _, err := AddService(dir, "paste2", o); err == nil || !strings.Contains(err.Error(), "can match the same job") || read(t, dir, "services/paste2.yaml") != "" {
		t.Errorf("a job of two services: %v", err)
	}
	if _, err := AddService(dir, "../x", o); err == nil || !strings.Contains(err.Error(), "is not a name") {
		t.Errorf("bad name: %v", err)
	}
}
