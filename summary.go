package vitrine

import (
	"fmt"
	"strconv"
)

// SummaryType is the "type" in the metadata of a build's summary: a sealed
// artifact that tells readers what failed. Package summary makes it.
const SummaryType = "vitrine_summary"

// A Recap is what Ansible counted over all hosts of a build.
type Recap struct {
	OK          int64 `json:"ok"`
	Changed     int64 `json:"changed"`
	Unreachable int64 `json:"unreachable"`
	Failed      int64 `json:"failed"`
	Skipped     int64 `json:"skipped"`
}

// maxRecap bounds a count.
const maxRecap = 1 << 40

func (r *Recap) fields() []struct {
	name  string
	count *int64
} {
	return []struct {
		name  string
		count *int64
	}{{"ok", &r.OK}, {"changed", &r.Changed}, {"unreachable", &r.Unreachable}, {"failed", &r.Failed}, {"skipped", &r.Skipped}}
}

// String is the recap in words, without what did not happen.
func (r Recap) String() string {
	words := fmt.Sprintf("%d ok", r.OK)
	for _, n := range []struct {
		count int64
		what  string
	}{{r.Changed, "changed"}, {r.Skipped, "skipped"}, {r.Unreachable, "unreachable"}, {r.Failed, "failed"}} {
		if n.count > 0 {
			words += fmt.Sprintf(", %d %s", n.count, n.what)
		}
	}
	return words
}

// SummaryMetadata is the metadata of a summary. A recap in it is public.
func SummaryMetadata(recap *Recap) map[string]string {
	m := map[string]string{"type": SummaryType}
	if recap != nil {
		for _, f := range recap.fields() {
			m[f.name] = strconv.FormatInt(min(*f.count, maxRecap), 10)
		}
	}
	return m
}

// IsSummary reports whether an artifact is the summary of its build.
func (a Artifact) IsSummary() bool { return a.Sealed && a.Metadata["type"] == SummaryType }

// Summary returns the artifact that is the build's summary, if there is one.
func (r *Record) Summary() (Artifact, bool) {
	for _, a := range r.Artifacts {
		if a.IsSummary() {
			return a, true
		}
	}
	return Artifact{}, false
}

// PublicRecap returns the counts that a summary's metadata tells everybody; nil
// if it tells none. An error says that it tells anything else; its [HeaderSHA256]
// tells nothing of it.
func (a Artifact) PublicRecap() (*Recap, error) {
	entries := len(a.Metadata)
	if _, ok := a.Metadata[HeaderSHA256]; ok {
		entries--
	}
	if entries == 1 {
		return nil, nil
	}
	r := new(Recap)
	for _, f := range r.fields() {
		text, ok := a.Metadata[f.name]
		n, err := strconv.ParseInt(text, 10, 64)
		if !ok || err != nil || n < 0 || n > maxRecap || strconv.FormatInt(n, 10) != text {
			return nil, fmt.Errorf("metadata of a summary: %s is %q: want a number", f.name, text)
		}
		*f.count = n
	}
	if entries != len(r.fields())+1 {
		return nil, fmt.Errorf("metadata of a summary: %d entries: want its type and the counts of a recap", entries)
	}
	return r, nil
}

// Recap returns the counts of a build's recap that are public, or nil.
func (r *Record) Recap() *Recap {
	a, ok := r.Summary()
	if !ok {
		return nil
	}
	recap, err := a.PublicRecap()
	if err != nil {
		return nil
	}
	return recap
}
