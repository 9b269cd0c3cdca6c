package storage_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/storage"
	"vitrine/storage/storagetest"
)

const uuid = "3f0c2b7a9d8e4f10a1b2c3d4e5f60718"

var key = vitrine.ArtifactKey(uuid, "deploy.log.zst.age")

func TestMemory(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Bucket { return storage.NewMemory() })
}

func TestLocal(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Bucket {
		dir := filepath.Join(t.TempDir(), "made", "by", "open")
		// What lies beside the objects is never taken for one, nor touched.
		foreign := []string{"README", "lost+found/x", "records/notes", "artifacts/.hidden/x", "artifacts/" + uuid + "/.secret"}
		for _, name := range foreign {
			write(t, filepath.Join(dir, name), "mine")
		}
		b := openLocal(t, dir)
		t.Cleanup(func() {
			for _, name := range foreign {
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != "mine" {
					t.Errorf("%s: %q, %v", name, got, err)
				}
			}
			if temps, err := filepath.Glob(filepath.Join(dir, ".tmp", "*")); err != nil || len(temps) > 0 {
				t.Errorf("temporary files left: %q, %v", temps, err)
			}
		})
		return b
	})
}

// A crash between the temporary file and its link leaves the former alone.
func TestLocalCrash(t *testing.T) {
	dir := t.TempDir()
	old, young := filepath.Join(dir, ".tmp", "OLD"), filepath.Join(dir, ".tmp", "YOUNG")
	write(t, old, "half of a bo")
	write(t, young, "another process is writing th")
	yesterday := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(old, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	b := openLocal(t, dir)
	if got := keys(t, b); len(got) > 0 {
		t.Errorf("listed %q", got)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the old temporary file is still there: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("the young temporary file is gone: %v", err)
	}
	if err := create(t.Context(), b, key, "whole"); err != nil {
		t.Error(err)
	}
}

func TestLocalModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "open")
	b := openLocal(t, dir)
	if err := create(t.Context(), b, key, "x"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{
		".": fs.ModeDir | 0o755, "../..": fs.ModeDir | 0o755,
		key: 0o644, filepath.Dir(key): fs.ModeDir | 0o755, "artifacts": fs.ModeDir | 0o755,
	} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
}

// No link in the directory is followed out of it, and none is an object.
func TestLocalSymlinks(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "secret"), "secret")
	dir := t.TempDir()
	b := openLocal(t, dir)
	folder := filepath.Join(dir, "artifacts", uuid)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"file": filepath.Join(outside, "secret"), "folder": outside, "self": "self", "sibling": "real",
	} {
		if err := os.Symlink(target, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(folder, "real"), "x")
	for _, name := range []string{"file", "folder/secret", "folder", "self", "sibling"} {
		k := vitrine.ArtifactKey(uuid, name)
		if r, err := b.Open(t.Context(), k); err == nil {
			r.Close()
			t.Errorf("Open(%s) succeeded", k)
		}
	}
	for _, name := range []string{"file", "folder/new", "folder/deep/new", "self", "sibling"} {
		if err := create(t.Context(), b, vitrine.ArtifactKey(uuid, name), "x"); err == nil {
			t.Errorf("Create(%s) succeeded", name)
		}
	}
	if got, want := keys(t, b), []string{vitrine.ArtifactKey(uuid, "real")}; !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside: %v, %v", entries, err)
	}
}

// A file can't lie below a file: no record names such a pair, and storing one
// fails without harm.
func TestLocalFileAndFolder(t *testing.T) {
	b := openLocal(t, t.TempDir())
	if err := create(t.Context(), b, vitrine.ArtifactKey(uuid, "a"), "file"); err != nil {
		t.Fatal(err)
	}
	if err := create(t.Context(), b, vitrine.ArtifactKey(uuid, "a/b/c"), "below"); err == nil {
		t.Error("created an object below an object")
	}
	if got := keys(t, b); len(got) != 1 {
		t.Errorf("listed %q", got)
	}
}

// A failure that has nothing to do with the body leaves no file and no folder.
func TestLocalFailureLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".tmp"), "in the way")
	b, err := storage.OpenLocal(dir)
	if err == nil {
		err = create(t.Context(), b, key, "x")
	}
	if err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("error %v, want one that says what is wrong", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("in the directory: %v, %v", entries, err)
	}
}

// Deleting a build's last object removes its folders, beside writers that make them.
func TestLocalDeleteBesideCreate(t *testing.T) {
	dir := t.TempDir()
	b := openLocal(t, dir)
	done := make(chan error, 2)
	for _, name := range []string{"deep/a", "deep/b"} {
		go func() {
			k := vitrine.ArtifactKey(uuid, name)
			var err error
			for range 50 {
				if err == nil {
					err = create(t.Context(), b, k, "x")
				}
				if err == nil {
					err = b.Delete(t.Context(), k)
				}
			}
			done <- err
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "artifacts")); !os.IsNotExist(err) {
		t.Errorf("empty folders are left: %v", err)
	}
}

func TestOpenBucket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a bucket")
	if _, err := storage.OpenBucket(t.Context(), dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: error %v", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{dir, "file://" + dir, "file://" + strings.ReplaceAll(dir, " ", "%20")} {
		b, err := storage.OpenBucket(t.Context(), place)
		if err != nil {
			t.Fatal(err)
		}
		if err := create(t.Context(), b, key, "x"); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, key)); err != nil {
			t.Errorf("%s: %v", place, err)
		}
	}
	for _, place := range []string{
		"", "ftp://host/dir", "s4://user:hunter2@host/x", "file://host/dir", "file://", "file:///dir?x=hunter2",
		"file:///dir#x", "file://user:hunter2@/dir", "file:///%zz", filepath.Join(dir, key),
	} {
		_, err := storage.OpenBucket(t.Context(), place)
		if err == nil {
			t.Errorf("OpenBucket(%q) succeeded", place)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("OpenBucket(%q): the error has the password: %v", place, err)
		}
	}
	_, err := storage.OpenBucket(t.Context(), "ftp://host/dir")
	if err == nil || !strings.Contains(err.Error(), "file:///dir") {
		t.Errorf("error %v, want one that names what is supported", err)
	}
}

func openLocal(t *testing.T, dir string) *storage.Local {
	t.Helper()
	b, err := storage.OpenLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func create(ctx context.Context, b storage.Bucket, key, body string) error {
	return b.Create(ctx, key, bytes.NewReader([]byte(body)),
		storage.CreateOptions{Size: int64(len(body)), SHA256: sha256.Sum256([]byte(body))})
}

func keys(t *testing.T, b storage.Bucket) []string {
	t.Helper()
	var keys []string
	for o, err := range b.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

func write(t *testing.T, name, body string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
}
