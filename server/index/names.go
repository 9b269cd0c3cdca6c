package index

import (
	"context"
	"errors"
)

// Names are the names that builds of the history have, each list sorted.
type Names struct {
	Services, Jobs, Projects, Branches, Pipelines, Nodesets []string
}

// Names returns all names that any build has.
func (x *Index) Names(ctx context.Context) (Names, error) { return Names{}, errors.ErrUnsupported }
