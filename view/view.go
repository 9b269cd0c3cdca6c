// Package view shows the logs of a build in a browser on the reader's own machine.
//
// It serves plaintext, and so to nobody but the reader: it must listen on
// 127.0.0.1 alone, answer only below a random token, to its own Host and Origin,
// and load nothing from elsewhere. It must never write a file, or hold more than a
// piece of a log at a time.
package view

import (
	"context"
	"errors"
	"net/http"

	"vitrine/lines"
	"vitrine/summary"
)

// A Build is what is shown.
type Build struct {
	UUID, Job, Result, Page string // Page is the address of its public page
	Artifacts               []Artifact
	Summary                 *summary.Summary // may be nil
}

// An Artifact is a log of a build.
type Artifact struct {
	Path      string // as people know it
	MediaType string
	Size      int64 // of the plaintext
	// Open opens it; it is called once, when somebody looks at it.
	Open func(context.Context) (*lines.Log, error)
}

// A Server shows one build.
type Server struct{ http.Handler }

// New makes a server for those who come to host (127.0.0.1:PORT). Path is where
// its page is.
func New(host string, b Build) (s *Server, path string, err error) {
	return nil, "", errors.ErrUnsupported
}

// Gone is closed when nobody has looked for a while after somebody did.
func (s *Server) Gone() <-chan struct{} { return nil }
