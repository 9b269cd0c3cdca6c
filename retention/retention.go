// Package retention removes from a history what has had its time: the artifacts
// of expired builds, and what no build will ever name. Records stay for ever.
//
// What is removed can't be had again, so it must never remove what it is not sure
// of. The bucket alone says what there is: the index may only suggest a build,
// whose record is read again before anything of it goes. What can't be listed,
// read or parsed is kept and reported.
package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vitrine"
	"vitrine/server/index"
	"vitrine/storage"
)

const (
	// DefaultGrace is how long artifacts without a record are left alone.
	DefaultGrace = vitrine.MaxBuildAge + 24*time.Hour
	// maxClockSkew is how far the newest record, or the store's clock, may be from
	// ours: beyond it nothing that depends on the time is decided.
	maxClockSkew = 24 * time.Hour
	// keptFor is longer than keeping a build takes.
	keptFor = time.Hour
)

// ErrClock says that this machine's clock can't be right.
var ErrClock = errors.New("the clock is wrong")

// A Reason is why something is removed.
type Reason string

const (
	Expired    Reason = "expired"    // the time that its record names has come
	Unfinished Reason = "unfinished" // the build began and never ended
	Orphaned   Reason = "orphaned"   // no record has its uuid
	Parts      Reason = "parts"      // of an object that was never completed
)

// An Item is one thing that was removed, or would be; or one that was not, and
// why.
type Item struct {
	UUID    string    `json:"uuid"`
	Reason  Reason    `json:"reason,omitempty"`
	Job     string    `json:"job_name,omitempty"` // of an expired build
	Key     string    `json:"key,omitempty"`      // of an object that was never completed
	Objects int       `json:"objects"`
	Bytes   int64     `json:"bytes"`
	Expired time.Time `json:"expired,omitzero"` // by its record
	Last    time.Time `json:"last,omitzero"`    // when the store last took something of it
	Problem string    `json:"problem,omitempty"`
}

// Options say what to remove, and whom to tell.
type Options struct {
	// Tenant is whose history it is.
	Tenant string
	// Grace is how old artifacts without a record must be. Default DefaultGrace;
	// not less than [vitrine.MaxBuildAge], in which a record may still come.
	Grace time.Duration
	// Delete removes. Without it nothing is changed but the index.
	Delete bool
	// Report is called for each item, one at a time; nil is fine.
	Report func(Item)
	// Now is the time; zero means that of the clock.
	Now time.Time
}

// A Summary counts what was removed, or would be.
type Summary struct {
	Expired  int   `json:"expired"` // builds
	Orphans  int   `json:"orphans"` // builds without a record, or an end, and uploads
	Objects  int   `json:"objects"`
	Bytes    int64 `json:"bytes"`
	Exempt   int   `json:"exempt"`   // expired builds that are kept, or a job's last success
	Problems int   `json:"problems"` // things that were left alone because something is wrong
}

// Collect removes what has had its time. It brings the index up to date before,
// and tells it of what it marks. An error ends it; what it says of single items
// goes into the report.
//
// A build that expires is marked first, and then its artifacts go: where that
// breaks off, the next call goes on. Two calls at once do no harm.
func Collect(ctx context.Context, bucket storage.Bucket, x *index.Index, o Options) (Summary, error) {
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.Grace < vitrine.MaxBuildAge {
		return Summary{}, fmt.Errorf("a grace of %s: want at least %s, in which the record of a build may still come", o.Grace, vitrine.MaxBuildAge)
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Report == nil {
		o.Report = func(Item) {}
	}
	c := &collection{Options: o, bucket: bucket, index: x, last: make(map[string]*vitrine.Record)}
	err := c.run(ctx)
	return c.sum, err
}
