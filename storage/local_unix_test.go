//go:build linux || darwin

package storage_test

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vitrine"
	"vitrine/storage"
)

// A full disk, as a limit on the size of a file plays it, is a clear error and
// leaves nothing. The limit is the whole process's, so a child has it.
func TestLocalDiskFull(t *testing.T) {
	if dir := os.Getenv("VITRINE_TEST_FULL_DISK"); dir != "" {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 64 << 10, Max: 64 << 10}); err != nil {
			t.Fatal(err)
		}
		b := openLocal(t, dir)
		err := create(t.Context(), b, key, strings.Repeat("x", 1<<20))
		if !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), key) {
			t.Errorf("Create: %v", err)
		}
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLocalDiskFull$")
	cmd.Env = append(os.Environ(), "VITRINE_TEST_FULL_DISK="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	if err := create(t.Context(), openLocal(t, dir), key, "x"); err != nil {
		t.Errorf("once there is room again: %v", err)
	}
}

// A named pipe in the place of an object must not stop whoever asks for it.
func TestLocalPipe(t *testing.T) {
	dir := t.TempDir()
	b := openLocal(t, dir)
	if err := os.MkdirAll(filepath.Join(dir, "artifacts", uuid), 0o755); err != nil {
		t.Fatal(err)
	}
	pipe := vitrine.ArtifactKey(uuid, "pipe")
	if err := syscall.Mkfifo(filepath.Join(dir, pipe), 0o644); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := b.Open(t.Context(), pipe)
		done <- errors.Join(err, create(t.Context(), b, pipe, "x"))
	}()
	select {
	case err := <-done:
		if !errors.Is(err, os.ErrNotExist) || !errors.Is(err, os.ErrExist) {
			t.Errorf("got %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("Open hangs")
	}
	if got := keys(t, storage.Bucket(b)); len(got) > 0 {
		t.Errorf("listed %q", got)
	}
}
