package vitrine_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/doc"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"go/parser"
	"go/token"
	"path/filepath"
)

// layers says which packages of ours each package may depend on, directly or
// not, and why it is no more.
var layers = map[string]struct {
	may []string
	why string
}{
	"vitrine":                                {nil, "the words: they mean the same to everybody, so they lean on nobody"},
	"vitrine/crypto":                         {[]string{"vitrine/ngram"}, "sealing knows nothing of builds, keyrings or stores"},
	"vitrine/ngram":                          {nil, "sets of a text, whoever keeps them"},
	"vitrine/lines":                          {nil, "lines of bytes, wherever they come from"},
	"vitrine/remote":                         {nil, "ranges of bytes that it can't read"},
	"vitrine/terminal":                       {nil, "text for a terminal, whatever it says"},
	"vitrine/grep":                           {[]string{"vitrine/lines", "vitrine/ngram"}, "it searches what it is given and opens nothing"},
	"vitrine/outline":                        {nil, "what a line is, wherever it stands"},
	"vitrine/summary":                        {[]string{"vitrine", "vitrine/outline"}, "what logs tell, whoever seals it"},
	"vitrine/view":                           {[]string{"vitrine", "vitrine/grep", "vitrine/lines", "vitrine/ngram", "vitrine/outline", "vitrine/summary"}, "a page of logs that somebody else opened: it holds no key"},
	"vitrine/signature":                      {[]string{"vitrine"}, "a signature is over bytes, whatever they say"},
	"vitrine/storage":                        {[]string{"vitrine"}, "a store moves bytes that it can't read"},
	"vitrine/storage/storagetest":            {[]string{"vitrine", "vitrine/storage"}, "the suite asks only what the interface promises"},
	"vitrine/storage/storagetest/faultproxy": {nil, "it breaks HTTP, whatever is said in it"},
	"vitrine/keyring":                        {[]string{"vitrine"}, "who may read is decided by files in git alone"},
	"vitrine/ansible":                        {nil, "Ansible's words: it knows nothing of builds, or of who shows them"},
	"vitrine/web":                            {[]string{"vitrine", "vitrine/ansible"}, "a page shows what it is given"},
	"vitrine/client":                         {[]string{"vitrine", "vitrine/remote", "vitrine/signature", "vitrine/storage"}, "it moves bytes and opens nothing"},
	"vitrine/publish":                        {[]string{"vitrine", "vitrine/crypto", "vitrine/keyring", "vitrine/ngram", "vitrine/outline", "vitrine/signature", "vitrine/storage", "vitrine/summary"}, "it does not know whether a server or a bucket takes the build"},
	"vitrine/server/index":                   {[]string{"vitrine", "vitrine/storage"}, "a cache of records, which it does not judge"},
	"vitrine/server/index/indextest":         {[]string{"vitrine", "vitrine/storage"}, "it makes records up, as many as one likes"},
	"vitrine/zuul":                           {[]string{"vitrine"}, "the words of Zuul's API, and a client that reads it"},
	"vitrine/server/zuul":                    {[]string{"vitrine", "vitrine/server/index", "vitrine/storage", "vitrine/zuul"}, "it says in Zuul's words what the index knows"},
	"vitrine/retention":                      {[]string{"vitrine", "vitrine/server/index", "vitrine/storage"}, "what has had its time, records and the store say"},
	"vitrine/server":                         {[]string{"vitrine", "vitrine/ansible", "vitrine/keyring", "vitrine/retention", "vitrine/server/index", "vitrine/server/zuul", "vitrine/signature", "vitrine/storage", "vitrine/web", "vitrine/zuul"}, "the server can't open a log: never crypto"},
	"vitrine/test/allocs":                    {nil, "tests alone"},
	"vitrine/test/browser":                   {nil, "tests alone"},
	"vitrine/cmd/vitrine":                    {[]string{"*"}, "it joins them all"},
	"vitrine/testdata":                       {nil, "files"},
}

type listedPackage struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Deps       []string
	Imports    []string
}

func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Deps,Imports", "./...", "./testdata").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listedPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < len(layers) {
		t.Fatalf("%d packages listed, %d expected", len(all), len(layers))
	}
	return all
}

func TestLayers(t *testing.T) {
	for _, p := range listPackages(t) {
		layer, ok := layers[p.ImportPath]
		if !ok {
			t.Errorf("%s has no row in layers: what may it depend on, and why?", p.ImportPath)
			continue
		}
		for _, dep := range p.Deps {
			ours := dep == "vitrine" || strings.HasPrefix(dep, "vitrine/")
			if ours && !slices.Contains(layer.may, dep) && !slices.Contains(layer.may, "*") {
				t.Errorf("%s depends on %s and may not: %s", p.ImportPath, dep, layer.why)
			}
		}
		if p.ImportPath == "vitrine" {
			for _, dep := range p.Imports {
				if strings.Contains(strings.SplitN(dep, "/", 2)[0], ".") {
					t.Errorf("the root package imports %s: it uses the standard library alone", dep)
				}
			}
		}
	}
}

// Echo stays inside server, SQL inside server/index: so that each can be replaced.
func TestLibrariesStayInTheirRoom(t *testing.T) {
	rooms := map[string]string{
		"github.com/labstack/echo/v4": "vitrine/server",
		"modernc.org/sqlite":          "vitrine/server/index",
		"database/sql":                "vitrine/server/index",
		"github.com/spf13/cobra":      "vitrine/cmd/vitrine",
	}
	for _, p := range listPackages(t) {
		for _, dep := range p.Imports {
			if room, ok := rooms[dep]; ok && p.ImportPath != room {
				t.Errorf("%s imports %s, which belongs into %s", p.ImportPath, dep, room)
			}
		}
	}
}

// Every package says what it is for and what it must never do.
func TestPackageComments(t *testing.T) {
	for _, p := range listPackages(t) {
		var comment string
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			comment += f.Doc.Text()
		}
		if new(doc.Package).Synopsis(comment) == "" || (!strings.Contains(comment, "never") && p.ImportPath != "vitrine/testdata" && p.ImportPath != "vitrine/storage/storagetest") {
			t.Errorf("%s: the package comment says not what it is for, or not what it must never do: %q", p.ImportPath, comment)
		}
	}
}
