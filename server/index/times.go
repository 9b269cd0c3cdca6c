package index

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"vitrine"
)

// fewBuilds is how many are rather sorted by their ends than looked for among all.
const fewBuilds = 2000

// BuildTimes returns builds that have ended, by their end, the last first. Of q
// it takes Project, Branch, Pipeline, Ref, Job, Final, Result, Skip and Limit;
// ended bounds the end, both bounds included, zero being none.
func (x *Index) BuildTimes(ctx context.Context, q Query, endedSince, endedUntil time.Time) ([]vitrine.Build, error) {
	q = Query{Project: q.Project, Branch: q.Branch, Pipeline: q.Pipeline, Ref: q.Ref, Job: q.Job, Final: q.Final, Result: q.Result,
		Skip: q.Skip, Limit: q.Limit}
	c, err := q.check(x.cutoff())
	if err != nil {
		return nil, err
	}
	ended := condition{where: " AND ended > 0"}
	if !endedSince.IsZero() {
		ended.and("ended >= ?", ceil(endedSince))
	}
	if !endedUntil.IsZero() {
		ended.and("ended <= ?", endedUntil.Unix())
	}
	var builds []vitrine.Build
	err = x.view(ctx, func(tx *sql.Tx) error {
		list, err := x.chooseByEnd(ctx, tx, c, ended)
		if err == nil {
			builds, err = x.builds(ctx, tx, list)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list build times: %w", err)
	}
	return builds, nil
}

// chooseByEnd finds the builds of a page of build times.
func (x *Index) chooseByEnd(ctx context.Context, tx *sql.Tx, c *question, ended condition) ([]chosen, error) {
	p := &plan{but: c.but}
	names, all := x.catalog.snapshot()
	wanted := p.want(c, names, all)
	if p.wanted != nil && len(wanted) == 0 {
		return nil, nil
	}
	if !c.byHeads() {
		p.but.andIn("ref", "", c.refs.yes)
	}
	const columns, inOrder = "SELECT builds.id, start, uuid, series FROM ", " ORDER BY ended DESC, start DESC, uuid DESC"
	from := "builds INDEXED BY builds_by_end WHERE true"
	var args []any
	refs, err := fewOfRefs(ctx, tx, c)
	if err != nil {
		return nil, err
	}
	switch {
	case refs != nil:
		from = "json_each(?) CROSS JOIN builds INDEXED BY builds_by_ref ON ref = value WHERE ref <> ''"
		args = []any{toJSON(refs)}
	case p.wanted == nil: // SQLite skips faster than we do
		return p.read(ctx, tx, columns+from+ended.where+p.but.where+inOrder+" LIMIT ? OFFSET ?",
			slices.Concat(ended.args, p.but.args, []any{c.Limit, c.Skip}), 0, c.Limit)
	case oneJob(all, wanted):
		from, args = "builds INDEXED BY builds_by_job_end WHERE job = ?", []any{all[wanted[0]].job}
	default:
		few, err := x.fewSeries(ctx, tx, p.wanted)
		if err != nil {
			return nil, err
		}
		if few != nil {
			from = "json_each(?) CROSS JOIN builds INDEXED BY builds_by_series ON series = value WHERE true"
			args = []any{toJSON(few)}
		}
	}
	return p.read(ctx, tx, columns+from+ended.where+p.but.where+inOrder, slices.Concat(args, ended.args, p.but.args), c.Skip, c.Limit)
}

// fewOfRefs are the refs that are asked for, if any of them is not in the series and
// their builds are few; else nil.
func fewOfRefs(ctx context.Context, tx *sql.Tx, c *question) ([]string, error) {
	if c.byHeads() {
		return nil, nil
	}
	refs := slices.Compact(slices.Sorted(slices.Values(c.refs.yes)))
	var n int
	err := tx.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM json_each(?) CROSS JOIN builds INDEXED BY builds_by_ref
		ON ref = value WHERE ref <> '' LIMIT ?)`, toJSON(refs), fewBuilds+1).Scan(&n)
	if err != nil || n > fewBuilds {
		return nil, err
	}
	return refs, nil
}

// oneJob reports whether series are all of the same job.
func oneJob(all []series, ids []int64) bool {
	return !slices.ContainsFunc(ids, func(id int64) bool { return all[id].job != all[ids[0]].job })
}

// fewSeries are those of the wanted series that have builds, if these are few; else
// nil.
func (x *Index) fewSeries(ctx context.Context, tx *sql.Tx, wanted []bool) ([]int64, error) {
	days, err := x.sheets.at(ctx, tx)
	if err != nil {
		return nil, err
	}
	found, v := []int64{}, sieve{wanted: wanted}
	for _, s := range days {
		if v.count(s, &found); len(found) > fewBuilds {
			return nil, nil
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}
