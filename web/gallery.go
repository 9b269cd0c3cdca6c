package web

import (
	"fmt"
	"slices"
	"strings"

	"vitrine"
)

// MaxGallery bounds the images of one gallery, on each side.
const MaxGallery = 100

// A GalleryPage is the public images of a build, beside those of another build
// of the same job.
type GalleryPage struct {
	Build  vitrine.Build
	Beside *vitrine.Build // nil: there is none with images
	// Previews and BesidePreviews are of the images of both, as far as they were
	// looked at.
	Previews, BesidePreviews []Preview
	// Others are the builds of the job that it can be shown beside, newest first.
	Others []vitrine.Build
}

func (GalleryPage) template() string  { return "gallery" }
func (GalleryPage) section() string   { return "builds" }
func (p GalleryPage) title() string   { return "Screenshots · " + isolate(cut(p.Build.JobName)) }
func (GalleryPage) scripts() []string { return []string{"gallery.js"} }

// A shot is an image of one of the two builds.
type shot struct {
	vitrine.Artifact
	Preview
	URL string
}

// Tall reports whether the image is so tall that a list shows its top only.
func (s shot) Tall() bool { return s.Width > 0 && s.Height > 2*s.Width }

// A comparison is the images of one path. One of them may be missing.
type comparison struct {
	ID, Previous, Next string // of its full view, and those beside it
	Path               string
	Now, Before        *shot
	State              string // of same, changed, new, gone; empty without another build
}

// Word says what became of the image, as far as its size tells: nobody decodes it.
func (p comparison) Word() string {
	if p.State != "changed" {
		return map[string]string{"same": "the same", "new": "new", "gone": "only in the other build"}[p.State]
	}
	a, b := p.Before, p.Now
	switch more := b.Artifact.Size - a.Artifact.Size; {
	case a.Width > 0 && b.Width > 0 && (a.Width != b.Width || a.Height != b.Height):
		return fmt.Sprintf("changed, was %d × %d", a.Width, a.Height)
	case more > 0:
		return "changed, " + size(more) + " more"
	case more < 0:
		return "changed, " + size(-more) + " less"
	}
	return "changed"
}

// A gallery is the comparisons that a page shows: what changed before what did not.
type gallery struct {
	Pairs []comparison
	Cut   int // images that are left out
	n     map[string]int
}

// Gallery matches the images of the two builds by path.
func (d document) Gallery(p GalleryPage) gallery {
	g := gallery{n: make(map[string]int)}
	now, before := Images(p.Build), []vitrine.Artifact(nil)
	if p.Beside != nil {
		before = Images(*p.Beside)
	}
	g.Cut = max(0, len(now)-MaxGallery) + max(0, len(before)-MaxGallery)
	there := make(map[string]*shot)
	for _, a := range before[:min(len(before), MaxGallery)] {
		there[a.Path] = d.shot(*p.Beside, a, p.BesidePreviews)
	}
	for i, a := range now[:min(len(now), MaxGallery)] {
		v := comparison{ID: viewID(i), Path: a.Path, Now: d.shot(p.Build, a, p.Previews), Before: there[a.Path]}
		delete(there, a.Path)
		switch {
		case p.Beside == nil:
		case v.Before == nil:
			v.State = "new"
		case v.Before.SHA256 == a.SHA256 && a.SHA256 != "":
			v.State = "same"
		default:
			v.State = "changed"
		}
		g.Pairs = append(g.Pairs, v)
	}
	for _, a := range before {
		if s := there[a.Path]; s != nil {
			delete(there, a.Path)
			g.Pairs = append(g.Pairs, comparison{ID: viewID(len(g.Pairs)), Path: a.Path, Before: s, State: "gone"})
		}
	}
	order := []string{"", "changed", "new", "gone", "same"}
	slices.SortStableFunc(g.Pairs, func(a, b comparison) int { return slices.Index(order, a.State) - slices.Index(order, b.State) })
	for i := range g.Pairs {
		v := &g.Pairs[i]
		g.n[v.State]++
		v.Previous = g.Pairs[(i+len(g.Pairs)-1)%len(g.Pairs)].ID
		v.Next = g.Pairs[(i+1)%len(g.Pairs)].ID
	}
	return g
}

// viewID is where the i-th image of the build, from 0, is shown large: see
// [LargePath].
func viewID(i int) string { return fmt.Sprintf("view-%d", i+1) }

func (d document) shot(b vitrine.Build, a vitrine.Artifact, seen []Preview) *shot {
	s := &shot{Artifact: a, URL: ArtifactPath(d.Tenant, b.UUID, a.Path)}
	if i := slices.IndexFunc(seen, func(v Preview) bool { return v.Path == a.Path }); i >= 0 {
		s.Preview = seen[i]
	}
	return s
}

// Summary says what is to be seen.
func (g gallery) Summary() string {
	if len(g.Pairs) == 0 {
		return "No images"
	}
	var parts []string
	for _, w := range []struct{ state, word string }{{"changed", "changed"}, {"new", "new"}, {"gone", "gone"}, {"same", "the same"}} {
		if n := g.n[w.state]; n > 0 {
			parts = append(parts, count(n)+" "+w.word)
		}
	}
	all := plural(len(g.Pairs), "image", "images")
	if parts == nil {
		return all
	}
	return all + ": " + strings.Join(parts, ", ")
}

// IsBeside reports whether the gallery shows the build with the uuid beside its own.
func (d document) IsBeside(uuid string) bool {
	p, ok := d.Page.(GalleryPage)
	return ok && p.Beside != nil && p.Beside.UUID == uuid
}
