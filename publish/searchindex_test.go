package publish

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"vitrine"
	"vitrine/crypto"
	"vitrine/ngram"
)

// Text is sealed with a search index, whatever the record says that it is.
func TestSearchIndex(t *testing.T) {
	long := strings.Repeat(canary+"\n", 3<<20/(len(canary)+1))
	for _, c := range []struct {
		none, hidden bool
		want         string // the path of the artifact that has one
	}{{want: "long.log"}, {hidden: true}, {none: true}} {
		t.Run(fmt.Sprintf("none %v, hidden %v", c.none, c.hidden), func(t *testing.T) {
			w := newWorld(t)
			if c.hidden {
				w.files["services/codesearch.yaml"].Data = append(w.files["services/codesearch.yaml"].Data, "public_names: [\"nothing\"]\n"...)
			}
			o := w.options(testUUID)
			o.NoSearchIndex = c.none
			dir := w.workspace(map[string]string{"long.log": long, "short.log": canary, "core": "\x7fELF\x00" + long})
			if err := w.publish(o, dir, Outcome{Result: vitrine.Success}); err != nil {
				t.Fatal(err)
			}
			indexed := 0
			for _, a := range w.record(vitrine.RecordKey(w.started, testUUID)).Artifacts {
				sealed := w.object(vitrine.ArtifactKey(testUUID, a.Path))
				r, err := crypto.OpenAt(bytes.NewReader(sealed), int64(len(sealed)), w.alice)
				if err != nil {
					t.Fatal(err)
				}
				spans, ok, err := r.MayHold(ngram.NewQuery("quartz"))
				if err != nil || len(spans) > 0 {
					t.Errorf("%s: may hold what it does not in %v, error %v", a.Path, spans, err)
				}
				if ok {
					indexed++
				}
				if ok && c.want != "" && a.PlainPath() != c.want {
					t.Errorf("%s has an index", a.Path)
				}
			}
			if want := !c.none; (indexed == 1) != want {
				t.Errorf("%d artifacts have an index", indexed)
			}
		})
	}
}
