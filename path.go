package vitrine

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

var (
	pathSegment = regexp.MustCompile(`^[A-Za-z0-9_+@=,-][A-Za-z0-9._+@=,-]*$`)
	// Windows opens a device whatever the extension.
	deviceName = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[0-9]|lpt[0-9]|conin\$|conout\$)(\.|$)`)
)

// ValidPath reports why p may not be the path of a published file, or nil. A
// path is relative, slash-separated, of ASCII letters, digits and . _ + @ = , -,
// no part of it starts with a dot or ends in one, and at most [MaxPath] bytes,
// so that it can be written on every system that a reader may have.
func ValidPath(p string) error {
	if p == "" || len(p) > MaxPath {
		return fmt.Errorf("%q: a path has 1 to %d bytes", p, MaxPath)
	}
	for part := range strings.SplitSeq(p, "/") {
		switch {
		case strings.HasPrefix(part, "."):
			return fmt.Errorf("%q: a part of a path may not start with a dot", p)
		case !pathSegment.MatchString(part):
			return fmt.Errorf("%q: a path is made of letters, digits and . _ + @ = , - between single slashes", p)
		case strings.HasSuffix(part, "."):
			return fmt.Errorf("%q: a part of a path may not end in a dot", p)
		case deviceName.MatchString(part):
			return fmt.Errorf("%q: %s is the name of a device on Windows", p, part)
		}
	}
	return nil
}

// Paths are those of files that are to lie beside each other in a folder of a
// system that ignores case. The zero value holds none.
type Paths struct {
	kinds map[string]string // a path in lower case to "file" or "folder"
}

// Add notes a file's path, and the folders above it. The error says which other
// file or folder stands in its way.
func (p *Paths) Add(name string) error {
	if p.kinds == nil {
		p.kinds = make(map[string]string)
	}
	folded := strings.ToLower(name)
	if kind, ok := p.kinds[folded]; ok {
		return fmt.Errorf("%q: there is a %s of that name already (upper and lower case count as one)", name, kind)
	}
	p.kinds[folded] = "file"
	for dir := path.Dir(folded); dir != "."; dir = path.Dir(dir) {
		if p.kinds[dir] == "file" {
			return fmt.Errorf("%q: %q is a file already", name, dir)
		}
		p.kinds[dir] = "folder"
	}
	return nil
}
