package crypto

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
)

const vectorsDir = "../testdata/vectors/sealed"

// A vector is a file that any implementation must open, or refuse, the same.
// testdata/vectors/sealed/README.md describes the fields.
type vector struct {
	File     string   `json:"file"`
	Identity string   `json:"identity"`
	Expect   string   `json:"expect"`
	Size     int64    `json:"size,omitempty"`
	SHA256   string   `json:"sha256,omitempty"`
	Tables   string   `json:"tables,omitempty"`
	Feeds    []int    `json:"line_feeds,omitempty"`
	Blocks   [][2]int `json:"blocks,omitempty"`
	Comment  string   `json:"comment"`
}

var expectations = map[string]error{
	"ok": nil, "truncated": ErrTruncated, "extended": ErrExtended, "altered": ErrAltered,
	"corrupt": ErrCorrupt, "foreign": ErrForeign, "no match": new(age.NoIdentityMatchError),
}

func readVectors(t *testing.T) []vector {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(vectorsDir, "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&vectors); err != nil {
		t.Fatal(err)
	}
	return vectors
}

func vectorIdentities(t *testing.T, name string) []age.Identity {
	t.Helper()
	key, err := os.Open(filepath.Join(vectorsDir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	ids, err := ParseIdentities(key, name, UI{})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestVectors(t *testing.T) {
	vectors := readVectors(t)
	files, err := filepath.Glob(filepath.Join(vectorsDir, "*.age"))
	if err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 15 || len(files) != len(vectors) {
		t.Fatalf("%d vectors, %d files", len(vectors), len(files))
	}
	for _, v := range vectors {
		t.Run(v.File, func(t *testing.T) {
			want, ok := expectations[v.Expect]
			if !ok {
				t.Fatalf("expects %q, which is no outcome", v.Expect)
			}
			ids := vectorIdentities(t, v.Identity)
			sealed, err := os.ReadFile(filepath.Join(vectorsDir, v.File))
			if err != nil {
				t.Fatal(err)
			}
			plain, err := openAll(sealed, ids...)
			var noMatch *age.NoIdentityMatchError
			switch {
			case v.Expect == "no match":
				if !errors.As(err, &noMatch) {
					t.Errorf("error %v, want that no identity matches", err)
				}
			case !errors.Is(err, want):
				t.Errorf("error %v, want %v", err, want)
			case err == nil:
				if sum := sha256.Sum256(plain); v.Size != int64(len(plain)) || v.SHA256 != hex.EncodeToString(sum[:]) {
					t.Errorf("opens to other bytes than it should")
				}
				checkTables(t, v, sealed, ids)
			}
		})
	}
}

// checkTables checks what a vector's tables tell to whoever seeks or searches.
func checkTables(t *testing.T, v vector, sealed []byte, ids []age.Identity) {
	if v.Tables == "" || !strings.HasSuffix(v.File, ".zst.age") {
		return
	}
	s, err := takeApart(sealed, ids...)
	if refused := v.Tables != "ok"; (err != nil) != refused {
		t.Fatalf("its tables: error %v, want %s", err, v.Tables)
	}
	if err != nil {
		return
	}
	if feeds, blocks := s.countFeeds(), s.countBlocks(); !slices.Equal(feeds, v.Feeds) || !slices.Equal(blocks, v.Blocks) {
		t.Errorf("line feeds %v, frames and 4-grams of blocks %v; want %v, %v", feeds, blocks, v.Feeds, v.Blocks)
	}
}
