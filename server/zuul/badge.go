package zuul

import (
	"fmt"
	"net/http"

	"vitrine"
	"vitrine/server/index"
)

// badgeSVG takes a word and a colour.
const badgeSVG = `<svg xmlns="http://www.w3.org/2000/svg" width="88" height="20" role="img" aria-label="build %[1]s"><title>build %[1]s</title>` +
	`<rect width="88" height="20" rx="3" fill="#555"/><path fill="%[2]s" d="M37 0h48a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3H37z"/>` +
	`<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11"><text x="19" y="14">build</text><text x="62" y="14">%[1]s</text></g></svg>` + "\n"

// badge is GET …/badge: how the newest buildset that is complete ended.
func (a *api) badge(w http.ResponseWriter, r *http.Request) error {
	p := parseParams(r)
	complete := true
	q := index.Query{Project: p.fuzzy("project"), Pipeline: p.fuzzy("pipeline"), Branch: p.fuzzy("branch"), Complete: &complete, Limit: 1}
	if p.err != nil {
		return p.err
	}
	var sets []index.Buildset
	if !p.nothing {
		var err error
		if sets, err = a.Index.Buildsets(r.Context(), q); err != nil {
			return err
		}
	}
	if len(sets) == 0 {
		return refuse(http.StatusNotFound, "No buildset found")
	}
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Content-Type", "image/svg+xml")
	word, colour := "failing", "#c7362f"
	if sets[0].Result == vitrine.Success {
		word, colour = "passing", "#2f8f46"
	}
	fmt.Fprintf(w, badgeSVG, word, colour)
	return nil
}
