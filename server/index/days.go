package index

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"vitrine"
)

const daySeconds = 24 * 60 * 60

// A Day counts the builds that began on one day in UTC and have ended, with the
// same result.
type Day struct {
	Day    time.Time // midnight
	Result vitrine.Result
	Builds int
	Took   time.Duration // in sum
}

// ServiceDays and JobDays count the builds of a service or a job, day by day from
// since on and before until, oldest first, the results of a day by name. Whole days
// count: since and until are rounded down to one. What they cost goes by the days,
// not by the builds.
func (x *Index) ServiceDays(ctx context.Context, service string, since, until time.Time) ([]Day, error) {
	return x.readDays(ctx, "service", service, since, until)
}

// JobDays: see [Index.ServiceDays].
func (x *Index) JobDays(ctx context.Context, job string, since, until time.Time) ([]Day, error) {
	return x.readDays(ctx, "job", job, since, until)
}

func (x *Index) readDays(ctx context.Context, kind, name string, since, until time.Time) ([]Day, error) {
	var list []Day
	err := x.view(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT day, names.name, builds, seconds FROM days JOIN names ON names.id = result
			WHERE kind = ? AND days.name = ? AND day >= ? AND day < ? AND builds > 0 ORDER BY day, names.name`,
			kind, x.catalog.number(name), dayOf(since), dayOf(until))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var d Day
			var number, seconds int64
			if err := rows.Scan(&number, &d.Result, &d.Builds, &seconds); err != nil {
				return err
			}
			d.Day, d.Took = time.Unix(number*daySeconds, 0).UTC(), time.Duration(seconds)*time.Second
			list = append(list, d)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("days of %s %.60q: %w", kind, name, err)
	}
	return list, nil
}

// dayOf is the number of a time's day since 1970, before which there is none.
func dayOf(t time.Time) int64 { return max(t.Unix(), 0) / daySeconds }

// A day is a row of the table of days, and a tally what it counts.
type day struct {
	kind         string
	name, number int64
	result       int64
}

type tally struct {
	builds  int
	seconds int64
}

// addDays adds up what a writing took note of.
func (w *writing) addDays(ctx context.Context) error {
	for d, t := range w.days {
		if t == (tally{}) {
			continue
		}
		err := w.exec(ctx, `INSERT INTO days (kind, name, day, result, builds, seconds) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (kind, name, day, result) DO UPDATE SET builds = builds + excluded.builds, seconds = seconds + excluded.seconds`,
			d.kind, d.name, d.number, d.result, t.builds, t.seconds)
		if err != nil {
			return fmt.Errorf("count days: %w", err)
		}
	}
	return nil
}
