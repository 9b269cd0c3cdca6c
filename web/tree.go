package web

import (
	"strings"

	"vitrine"
)

// What a build's page lists of its artifacts before it points at the folder of
// all of them: files and folders together.
const (
	maxListed  = 150
	maxDepth   = 10 // folders within each other; what lies deeper is not taken apart
	openFolder = 40 // a build of so many files has its folders open
)

// A file is an artifact on a build's page.
type file struct {
	vitrine.Artifact
	Base  string // its name in its folder
	URL   string
	Shown string // link to its preview, or empty
	Gone  bool   // the store has it no longer
}

// A folder is a part of the tree of artifacts.
type folder struct {
	Name           string // may have slashes: folders that hold nothing but one are one
	Files          []file
	Folders        []*folder
	Sealed, Public int   // files below, all
	Size           int64 // of them, as stored
	Open           bool
	Hidden         int // files below that the page does not list
}

// Tree is the artifacts by folder. Only so much of it is listed that the page
// stays small: the upper levels before what lies below them. Files lead to where
// they are on the page.
func (d document) Tree(b vitrine.Build, on shownFiles) *folder {
	shown := on.places()
	root := new(folder)
	within := map[string]*folder{"": root}
	for _, a := range b.Artifacts {
		parts := strings.SplitN(a.PlainPath(), "/", maxDepth)
		at, dir := root, ""
		at.count(a)
		for _, part := range parts[:len(parts)-1] {
			dir += part + "/"
			next := within[dir]
			if next == nil {
				next = &folder{Name: part, Open: len(b.Artifacts) <= openFolder}
				within[dir] = next
				at.Folders = append(at.Folders, next)
			}
			at = next
			at.count(a)
		}
		f := file{Artifact: a, Base: parts[len(parts)-1], URL: ArtifactPath(d.Tenant, b.UUID, a.Path)}
		if f.Gone = on.gone[a.Path]; !f.Gone {
			f.Shown = shown[a.Path]
		}
		at.Files = append(at.Files, f)
	}
	room := maxListed
	for level := []*folder{root}; len(level) > 0; {
		var next []*folder
		for _, f := range level {
			f.join()
			f.limit(&room)
			next = append(next, f.Folders...)
		}
		level = next
	}
	return root
}

func (f *folder) count(a vitrine.Artifact) {
	f.Size += a.Size
	if a.Sealed {
		f.Sealed++
	} else {
		f.Public++
	}
}

// Count is how many files there are below.
func (f *folder) Count() int { return f.Sealed + f.Public }

// join makes one of a folder and the one that is all it holds. The root, which
// has no name, stays.
func (f *folder) join() {
	for f.Name != "" && len(f.Files) == 0 && len(f.Folders) == 1 {
		only := f.Folders[0]
		f.Name, f.Files, f.Folders = f.Name+"/"+only.Name, only.Files, only.Folders
	}
}

// limit leaves out what there is no room for.
func (f *folder) limit(room *int) {
	n := min(len(f.Files), *room)
	f.Hidden = len(f.Files) - n
	f.Files = f.Files[:n]
	*room -= n
	n = min(len(f.Folders), *room)
	for _, left := range f.Folders[n:] {
		f.Hidden += left.Count()
	}
	f.Folders = f.Folders[:n]
	*room -= n
}

// A branch is a folder as a template draws it, with what all its files share.
type branch struct {
	*folder
	Partial, Expired bool
}

// Branch is the root of a build's tree.
func (d document) Branch(f *folder) branch {
	p, ok := d.Page.(BuildPage)
	return branch{f, ok && p.Build.State == vitrine.Interrupted, ok && !p.Build.Expired.IsZero()}
}

// Branches are the folders within.
func (b branch) Branches() []branch {
	var list []branch
	for _, f := range b.Folders {
		list = append(list, branch{f, b.Partial, b.Expired})
	}
	return list
}
