package publish

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file of /proc has content and no size. It must not be published as an empty
// one without a word.
func TestFileWithoutSize(t *testing.T) {
	w := newWorld(t)
	files, err := Plan([]string{"/proc/self/limits"}, Choice{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Start(context.Background(), w.options(testUUID))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	err = b.Add(context.Background(), files)
	if !errors.Is(err, errUnsized) || !strings.HasPrefix(err.Error(), "limits: ") || !strings.Contains(err.Error(), "publish the copy") {
		t.Fatalf("got %v, want errUnsized with the file's name", err)
	}
}

// A log that gets its first line just after it was found empty is none of those.
func TestCheckEmptyGrows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	for _, text := range []string{"", "first line\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := checkEmpty(f); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
