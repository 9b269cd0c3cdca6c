package index

import (
	"context"
	"errors"
	"time"

	"vitrine"
)

// A Buildset is the builds of one event, in sum.
type Buildset struct {
	ID   int64 // as [vitrine.Record.ID], of its first build's start and its own uuid
	UUID string
	// Result is empty while a build runs, Success if all voting builds succeeded
	// or were skipped, and else Failure.
	Result            vitrine.Result
	Pipeline, EventID string
	Start             time.Time // of the first build
	End               time.Time // of the last to end; zero while one runs
	Refs              []vitrine.Ref
}

// Buildsets returns the buildsets that q asks for, newest first. Of q it takes
// Project, Branch, Pipeline, Change, Patchset, Ref, NewRev, Buildset, Result (of
// the buildset), Complete, MinID, MaxID, Skip and Limit.
func (x *Index) Buildsets(ctx context.Context, q Query) ([]Buildset, error) {
	return nil, errors.ErrUnsupported
}
