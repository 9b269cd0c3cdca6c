package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"vitrine"
)

// A ServiceHistory is what a service did of late.
type ServiceHistory struct {
	Name string
	Last []vitrine.Build // its last builds, newest first; at least one
	// Builds that began within the last 24 hours and have ended, and those of
	// them that succeeded.
	DayEnded, DaySucceeded int
}

// A JobHistory is what a job of a service did of late.
type JobHistory struct {
	Name string
	Last []vitrine.Build // its last builds, newest first; at least one
}

// overview keeps the last answers of Services: a wall asks again and again, and
// the bars of a hundred services are thousands of rows.
type overview struct {
	asking sync.Mutex // held to find an answer out

	mu      sync.Mutex
	as      asOf
	answers map[int][]ServiceHistory
}

// asOf is when an answer is right: for a version of the index, and a tick of time,
// as what time alone changes may do so late by that.
type asOf struct{ version, tick int64 }

const (
	tick       = 5 // seconds
	maxAnswers = 8 // of one version
)

// Services returns all services that ever had a build, by name, each with its
// last n builds. Callers share what they are told and must not change it.
func (x *Index) Services(ctx context.Context, n int) ([]ServiceHistory, error) {
	o := &x.overview
	list, told, err := x.told(ctx, n)
	if err == nil && list == nil {
		// One finds it out for all who ask at the same time.
		o.asking.Lock()
		defer o.asking.Unlock()
		if list, told, err = x.told(ctx, n); err == nil && list == nil {
			list, err = x.services(ctx, n)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.as == told && list != nil {
		o.answers[n] = list
	}
	return list, nil
}

// told is the answer for n, if there is one already, else nil; and of what state
// of the index it is, or one that is found out from now on.
func (x *Index) told(ctx context.Context, n int) ([]ServiceHistory, asOf, error) {
	version, err := x.Version(ctx) // before looking: what comes meanwhile is another's
	if err != nil {
		return nil, asOf{}, err
	}
	now, o := asOf{version, time.Now().Unix() / tick}, &x.overview
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.as != now || len(o.answers) >= maxAnswers {
		o.as, o.answers = now, make(map[int][]ServiceHistory)
	}
	return o.answers[n], now, nil
}

func (x *Index) services(ctx context.Context, n int) ([]ServiceHistory, error) {
	var list []ServiceHistory
	err := x.view(ctx, func(tx *sql.Tx) error {
		names, all := x.catalog.snapshot()
		services := make(map[int64]bool)
		for _, s := range all[1:] {
			if names[s.service] != "" { // as of an imported build that the keyring knows no service for
				services[s.service] = true
			}
		}
		ids := byName(services, names)
		last, err := x.last(ctx, tx, ids, func(id int64) ([]chosen, error) {
			return having("service", id).choose(ctx, tx, everything, false, min(n, MaxLimit))
		})
		if err != nil {
			return err
		}
		ended, succeeded, err := x.lastDay(ctx, tx)
		if err != nil {
			return err
		}
		for i, id := range ids {
			if len(last[i]) > 0 {
				list = append(list, ServiceHistory{names[id], last[i], ended[id], succeeded[id]})
			}
		}
		return nil
	})
	return list, err
}

// last reads the last builds of each of several names, as chosen.
func (x *Index) last(ctx context.Context, tx *sql.Tx, ids []int64, choose func(id int64) ([]chosen, error)) ([][]vitrine.Build, error) {
	var all []chosen
	var ends []int
	for _, id := range ids {
		list, err := choose(id)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		ends = append(ends, len(all))
	}
	builds, err := x.builds(ctx, tx, all)
	if err != nil {
		return nil, err
	}
	var parts [][]vitrine.Build
	start := 0
	for _, end := range ends {
		parts = append(parts, builds[start:end:end])
		start = end
	}
	return parts, nil
}

// lastDay counts the builds of the last 24 hours by service.
func (x *Index) lastDay(ctx context.Context, tx *sql.Tx) (ended, succeeded map[int64]int, err error) {
	names, all := x.catalog.snapshot()
	ended, succeeded = make(map[int64]int), make(map[int64]int)
	// Counted here, as GROUP BY would go through the whole index of series.
	rows, err := tx.QueryContext(ctx, "SELECT series FROM builds WHERE start > ? ORDER BY start", time.Now().Add(-24*time.Hour).Unix())
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, nil, err
		}
		switch s := all[id]; vitrine.Result(names[s.result]) {
		case "":
		case vitrine.Success:
			succeeded[s.service]++
			fallthrough
		default:
			ended[s.service]++
		}
	}
	return ended, succeeded, rows.Err()
}

// passesPerJob is how many builds of other services are passed over for those of
// one, before they are looked for by their series.
const passesPerJob = 500

// lastOfSeries chooses the last n builds of some series, of which each is read no
// further than that.
func lastOfSeries(ctx context.Context, tx *sql.Tx, ids []int64, n int) ([]chosen, error) {
	return new(plan).read(ctx, tx, `SELECT builds.id, start, uuid, series FROM json_each(?) CROSS JOIN builds
		WHERE builds.id IN (SELECT id FROM builds WHERE series = value ORDER BY start DESC, uuid DESC LIMIT ?)`+order(false), []any{toJSON(ids), n}, 0, n)
}

// Jobs returns all jobs of which the service ever had a build, by name, each
// with its last n builds for that service. Where there are more than most jobs,
// only those that ran last have n builds: the others have their last one.
func (x *Index) Jobs(ctx context.Context, service string, n, most int) ([]JobHistory, error) {
	var list []JobHistory
	err := x.view(ctx, func(tx *sql.Tx) error {
		names, all := x.catalog.snapshot()
		number := x.catalog.number(service)
		wanted, jobs := make([]bool, len(all)), make(map[int64]bool)
		for id, s := range all {
			if id > 0 && s.service == number {
				wanted[id], jobs[s.job] = true, true
			}
		}
		ids := byName(jobs, names)
		open := make([]bool, len(all)) // none is to be told from the others
		lastOf := func(n int) func(id int64) ([]chosen, error) {
			return func(id int64) ([]chosen, error) {
				p := having("job", id)
				p.wanted, p.open = wanted, open
				left := passesPerJob + 10*n
				p.passes = &left
				list, err := p.choose(ctx, tx, everything, false, min(n, MaxLimit))
				if !errors.Is(err, errPasses) {
					return list, err
				}
				// Most of the job's last builds are of other services.
				var of []int64
				for s := range all {
					if wanted[s] && all[s].job == id {
						of = append(of, int64(s))
					}
				}
				return lastOfSeries(ctx, tx, of, min(n, MaxLimit))
			}
		}
		many := len(ids) > most
		first := n
		if many {
			first = 1
		}
		last, err := x.last(ctx, tx, ids, lastOf(first))
		if err != nil {
			return err
		}
		for i, id := range ids {
			if len(last[i]) > 0 {
				list = append(list, JobHistory{names[id], last[i]})
			}
		}
		if !many {
			return nil
		}
		latest := make([]*JobHistory, len(list))
		for i := range list {
			latest[i] = &list[i]
		}
		slices.SortStableFunc(latest, func(a, b *JobHistory) int { return b.Last[0].StartTime.Compare(a.Last[0].StartTime) })
		latest = latest[:min(len(latest), most)]
		ids = ids[:0]
		for _, j := range latest {
			ids = append(ids, x.catalog.number(j.Name))
		}
		if last, err = x.last(ctx, tx, ids, lastOf(n)); err != nil {
			return err
		}
		for i, j := range latest {
			j.Last = last[i]
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list jobs of %.60q: %w", service, err)
	}
	return list, nil
}

// LastBuilds returns the last build of each of several jobs, in their order; the
// zero value of one that has none.
func (x *Index) LastBuilds(ctx context.Context, jobs []string) ([]vitrine.Build, error) {
	builds := make([]vitrine.Build, len(jobs))
	err := x.view(ctx, func(tx *sql.Tx) error {
		var ids []int64
		for _, name := range jobs {
			ids = append(ids, x.catalog.number(name))
		}
		last, err := x.last(ctx, tx, ids, func(id int64) ([]chosen, error) {
			return having("job", id).choose(ctx, tx, everything, false, 1)
		})
		for i, list := range last {
			for _, b := range list {
				builds[i] = b
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list last builds: %w", err)
	}
	return builds, nil
}

// Neighbours returns n builds of b's job around it, newest first and b itself
// among them: as many older as newer ones, and more of the one where there are
// too few of the other.
func (x *Index) Neighbours(ctx context.Context, b vitrine.Build, n int) ([]vitrine.Build, error) {
	n = min(n, MaxLimit)
	var list []vitrine.Build
	err := x.view(ctx, func(tx *sql.Tx) error {
		p, at := having("job", x.catalog.number(b.JobName)), positionOf(b)
		newer, err := p.choose(ctx, tx, window{at, afterAll}, true, n-1)
		if err != nil {
			return err
		}
		// The build itself is the first of what is not newer.
		older, err := p.choose(ctx, tx, window{beforeAll, position{at.start, at.uuid + "\x00"}}, false, n)
		if err != nil {
			return err
		}
		newer = newer[:min(len(newer), max(n/2, n-len(older)))]
		older = older[:min(len(older), n-len(newer))]
		slices.Reverse(newer)
		list, err = x.builds(ctx, tx, append(newer, older...))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("builds around %s: %w", b.UUID, err)
	}
	return list, nil
}

// byName sorts numbers by the names they stand for.
func byName(numbers map[int64]bool, names []string) []int64 {
	return slices.SortedFunc(maps.Keys(numbers), func(a, b int64) int {
		switch {
		case names[a] < names[b]:
			return -1
		case names[a] > names[b]:
			return 1
		}
		return 0
	})
}
