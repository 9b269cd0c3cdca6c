package index

import (
	"context"
	"errors"
	"time"

	"vitrine"
)

// A Day counts the builds that began on one day in UTC and have ended, with the
// same result.
type Day struct {
	Day    time.Time // midnight
	Result vitrine.Result
	Builds int
	Took   time.Duration // in sum
}

// ServiceDays and JobDays count the builds of a service or a job, day by day from
// since on and before until, oldest first. What they cost goes by the days, not
// by the builds.
func (x *Index) ServiceDays(ctx context.Context, service string, since, until time.Time) ([]Day, error) {
	return nil, errors.ErrUnsupported
}

func (x *Index) JobDays(ctx context.Context, job string, since, until time.Time) ([]Day, error) {
	return nil, errors.ErrUnsupported
}
