package publish

import (
	"fmt"
	"path"
	"strings"

	"vitrine"
)

// recordRoom is what a record takes besides its artifacts, and entrySize what an
// artifact's entry takes besides its path, which stands in it twice. Both are
// in bytes and generous.
const (
	recordRoom = 256 << 10
	entrySize  = 400
)

// names are the paths of a build's files. It refuses, before anything is sealed,
// what a record would refuse at the end.
type names struct {
	plain, stored paths
	count, size   int
}

// add takes a path in. The suffixes that sealing may give it count too: they
// must not meet another file's.
func (n *names) add(p string, public bool) error {
	if err := vitrine.ValidPath(p); err != nil {
		return err
	}
	if public && strings.HasSuffix(p, vitrine.SealedRawSuffix) {
		return fmt.Errorf("%q: a public file can't end in %s, it would be taken for a sealed one", p, vitrine.SealedRawSuffix)
	}
	n.count++
	n.size += entrySize + 2*len(p)
	if n.count > vitrine.MaxArtifacts || n.size > vitrine.MaxRecordSize-recordRoom {
		return fmt.Errorf("%d files are too many for one record: pack some of them into an archive", n.count)
	}
	if err := n.plain.add(p); err != nil {
		return err
	}
	stored := []string{p}
	if !public {
		stored = []string{p + vitrine.SealedSuffix, p + vitrine.SealedRawSuffix}
	}
	for _, s := range stored {
		if err := n.stored.add(s); err != nil {
			return err
		}
	}
	return nil
}

// paths are files and the folders above them, in lower case: what differs by
// case alone can't lie side by side on every system.
type paths map[string]string // "file" or "folder"

func (m *paths) add(p string) error {
	if *m == nil {
		*m = make(paths)
	}
	folded := strings.ToLower(p)
	if kind, ok := (*m)[folded]; ok {
		return fmt.Errorf("%q: there is a %s of that name already (upper and lower case count as one)", p, kind)
	}
	(*m)[folded] = "file"
	for dir := path.Dir(folded); dir != "."; dir = path.Dir(dir) {
		if (*m)[dir] == "file" {
			return fmt.Errorf("%q: %q is a file already", p, dir)
		}
		(*m)[dir] = "folder"
	}
	return nil
}
