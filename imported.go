package vitrine

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// Limits of an imported build.
const (
	MaxLinks        = 1000    // links of one build
	MaxLinkMetadata = 8 << 10 // bytes of one link's metadata, as compact JSON
	MaxLinkDepth    = 16      // objects and arrays in one another, of one link's metadata
)

// An Imported says that a record was not published here but read from another
// CI's history by whoever runs this one: imported.json. Nobody signed it, it
// was sealed to nobody, and what files it had lie elsewhere, as links. Such a
// record has a result, and no keyring, publisher, readers or artifacts; its
// service is empty where the keyring knows none that has the job.
type Imported struct {
	Source string `json:"source"`  // URL of the API's tenant that it was read from
	LogURL string `json:"log_url"` // folder of the build's files, or empty
	Held   bool   `json:"held"`
	Final  bool   `json:"final"` // false: an attempt that was tried again
	Links  []Link `json:"links"`
}

// A Link is an artifact of an imported build.
type Link struct {
	Name string `json:"name"`
	URL  string `json:"url"` // http or https, without a user
	// Metadata is a JSON object, as Zuul has it ("type" says what the artifact is).
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// IsImported reports whether the record is an imported.json.
func (r *Record) IsImported() bool { return r.Imported != nil }

func (r *Record) validateImported(bad badFunc) error {
	if r.Service != "" && !ValidName(r.Service) {
		return bad("service", "%q is not a name", r.Service)
	}
	if r.IsStarted() {
		return bad("result", "is empty, but only builds that have ended are imported")
	}
	if r.Publisher != "" || r.Keyring != (Keyring{}) || !r.Expires.IsZero() || len(r.Readers)+len(r.SkippedReaders)+len(r.Artifacts) > 0 {
		return bad("imported", "is set, but there is a publisher, keyring, reader, artifact or expiry")
	}
	i := r.Imported
	for _, l := range []struct {
		field, value string
		optional     bool
	}{{"imported.source", i.Source, false}, {"imported.log_url", i.LogURL, true}} {
		if (l.value != "" || !l.optional) && !ValidLink(l.value) {
			return bad(l.field, "%q is not an http or https URL without a user", l.value)
		}
	}
	if len(i.Links) > MaxLinks {
		return bad("imported.links", "%d, more than %d", len(i.Links), MaxLinks)
	}
	for n, l := range i.Links {
		if err := ValidText(l.Name, MaxString); err != nil || l.Name == "" {
			return bad("imported.links", "name %d, %q: empty, too long, or with a control character", n, l.Name)
		}
		if !ValidLink(l.URL) {
			return bad("imported.links", "%q is not an http or https URL without a user", l.URL)
		}
		if err := validMetadata(l.Metadata); err != "" {
			return bad("imported.links", "metadata of %q: %s", l.Name, err)
		}
	}
	return nil
}

// validMetadata says what is wrong with the metadata of a link: the record is
// accepted only in one form, so that must be compact but for the record's indent.
func validMetadata(m json.RawMessage) string {
	if m == nil {
		return ""
	}
	var b bytes.Buffer
	if err := json.Compact(&b, m); err != nil {
		return "is not JSON"
	}
	if b.Len() > MaxLinkMetadata {
		return "is too large"
	}
	if b.Len() < 2 || b.Bytes()[0] != '{' {
		return "is not an object"
	}
	// What lies deep is indented far: eight kilobytes could become megabytes.
	depth := 0
	for dec := json.NewDecoder(&b); ; {
		token, err := dec.Token()
		switch v := token.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				depth++
			} else {
				depth--
			}
		case string:
			if ValidText(v, MaxText) != nil {
				return "has a text that is too long, or with a control character"
			}
		}
		if depth > MaxLinkDepth {
			return "lies too deep"
		}
		if errors.Is(err, io.EOF) {
			return ""
		} else if err != nil {
			return "is not JSON"
		}
	}
}
