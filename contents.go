package vitrine

import (
	"encoding/json"
	"fmt"
)

// Where a service keeps names of files from the public, a sealed artifact's path
// begins with [HiddenPrefix] and tells nothing, and the artifact at
// [ContentsPath] says, to readers alone, what the names are.
const (
	HiddenPrefix = "hidden/"
	ContentsPath = "contents.json"
	// ContentsType is the "type" in the metadata of the contents.
	ContentsType = "vitrine_contents"
	// MaxContentsSize bounds the plaintext of the contents, in bytes.
	MaxContentsSize = MaxRecordSize
)

// Contents are the names of a build's hidden files.
type Contents struct {
	Version int               `json:"version"` // 1
	Names   map[string]string `json:"names"`   // plain path in the record to the real one
}

// Contents returns the artifact that holds the names of hidden files, if there
// are any.
func (r *Record) Contents() (Artifact, bool) {
	for _, a := range r.Artifacts {
		if a.Sealed && a.Metadata["type"] == ContentsType {
			return a, true
		}
	}
	return Artifact{}, false
}

// ParseContents parses contents. Each real name is one that a file may have.
func ParseContents(text []byte) (*Contents, error) {
	c := new(Contents)
	if len(text) > MaxContentsSize {
		return nil, fmt.Errorf("contents: more than %d bytes", MaxContentsSize)
	}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("contents: %w", err)
	}
	if c.Version != 1 {
		return nil, fmt.Errorf("contents: version %d, this vitrine reads 1", c.Version)
	}
	for hidden, name := range c.Names {
		if err := ValidPath(name); err != nil {
			return nil, fmt.Errorf("contents: name of %s: %w", hidden, err)
		}
	}
	return c, nil
}
