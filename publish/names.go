package publish

import (
	"fmt"
	"strings"

	"vitrine"
)

// recordRoom is what a record takes besides its artifacts, and entrySize what an
// artifact's entry takes besides its path, which stands in it twice. Both are
// in bytes and generous.
const (
	recordRoom = 256 << 10
	entrySize  = 528
)

// names are the paths of a build's files. It refuses, before anything is sealed,
// what a record would refuse at the end.
type names struct {
	plain, stored vitrine.Paths
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
	if err := n.plain.Add(p); err != nil {
		return err
	}
	stored := []string{p}
	if !public {
		stored = []string{p + vitrine.SealedSuffix, p + vitrine.SealedRawSuffix}
	}
	for _, s := range stored {
		if err := n.stored.Add(s); err != nil {
			return err
		}
	}
	return nil
}
