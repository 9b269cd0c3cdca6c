package index

import (
	"context"
	"errors"
	"time"

	"vitrine"
)

// Records completes builds of a list: their whole records, with readers and
// artifacts, as [Index.Build] has them. A build that went away meanwhile is left
// out.
func (x *Index) Records(ctx context.Context, builds []vitrine.Build) ([]vitrine.Build, error) {
	return nil, errors.ErrUnsupported
}

// BuildTimes returns builds that have ended, by their end, the last first. Of q
// it takes Project, Branch, Pipeline, Ref, Job, Final, Result, Skip and Limit;
// ended bounds the end, both bounds included, zero being none.
func (x *Index) BuildTimes(ctx context.Context, q Query, endedSince, endedUntil time.Time) ([]vitrine.Build, error) {
	return nil, errors.ErrUnsupported
}

// Version changes whenever what the index holds does, whoever changed it. It
// means something only while this Index is open.
func (x *Index) Version(ctx context.Context) (int64, error) { return 0, errors.ErrUnsupported }
