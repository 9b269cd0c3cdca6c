package index

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"vitrine"
)

// A Buildset is the builds of one event, in sum: of its first [MaxLimit] builds.
type Buildset struct {
	ID   int64 // as [vitrine.Record.ID], of its first build's start and its own uuid
	UUID string
	// Result is empty while a build runs, Success if all voting builds succeeded
	// or were skipped, and else Failure; lost and interrupted builds failed.
	Result            vitrine.Result
	Pipeline, EventID string        // of the first build
	Start             time.Time     // of the first build
	End               time.Time     // of the last to end; zero while one runs
	Refs              []vitrine.Ref // in the order of their first use, at most 32
}

// Buildsets returns the buildsets that q asks for, newest first. Of q it takes
// Project, Branch, Pipeline, Change, Patchset, Ref, NewRev, Buildset, Result (of
// the buildset), Complete, MinID, MaxID, Skip and Limit. All that is asked of a
// ref must be true of one of the buildset's.
func (x *Index) Buildsets(ctx context.Context, q Query) ([]Buildset, error) {
	c, err := q.check(x.cutoff())
	if err != nil {
		return nil, err
	}
	var list []Buildset
	err = x.view(ctx, func(tx *sql.Tx) error {
		uuids, err := x.chooseSets(ctx, tx, c)
		if err == nil {
			list, err = x.readSets(ctx, tx, uuids, c.cutoff)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list buildsets: %w", err)
	}
	return list, nil
}

// BuildsetSum is what [Index.Buildsets] says of one buildset; [fs.ErrNotExist], if
// there is none.
func (x *Index) BuildsetSum(ctx context.Context, uuid string) (Buildset, error) {
	if !vitrine.ValidUUID(uuid) {
		return Buildset{}, fmt.Errorf("buildset %.60q: %w", uuid, fs.ErrNotExist)
	}
	var list []Buildset
	err := x.view(ctx, func(tx *sql.Tx) (err error) {
		list, err = x.readSets(ctx, tx, [][]byte{unhex(uuid)}, x.cutoff())
		return err
	})
	if err == nil && len(list) == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return Buildset{}, fmt.Errorf("buildset %s: %w", uuid, err)
	}
	return list[0], nil
}

// lastSets is how many buildsets are looked through before those are sorted that
// have what was asked for.
const lastSets = 20_000

// chooseSets finds the uuids of the buildsets of a page, in order.
func (x *Index) chooseSets(ctx context.Context, tx *sql.Tx, c *question) ([][]byte, error) {
	settled, open, all := x.setSeries(c)
	if len(settled)+len(open) == 0 {
		return nil, nil
	}
	where, args := c.whole.bounds()
	runs, filter := c.setRuns(settled, open, all)
	if len(runs) > 0 {
		return readRuns(ctx, tx, c, runs, filter.with(condition{where, args}))
	}
	// The last buildsets fill the page, as a rule.
	last := c.whole
	var uuid []byte
	err := tx.QueryRowContext(ctx, fmt.Sprintf("SELECT start, uuid FROM buildsets WHERE true%s%s LIMIT 1 OFFSET %d", where, order(false), lastSets), args...).
		Scan(&last.oldest.start, &uuid)
	if err != nil && err != sql.ErrNoRows {
		return nil, err
	}
	isWhole := all || err == sql.ErrNoRows
	if !isWhole {
		last.oldest.uuid = string(uuid)
		where, args = last.bounds()
	}
	list, err := readRuns(ctx, tx, c, []condition{{where, args}}, filter)
	if err != nil || isWhole || len(list) == c.Limit {
		return list, err
	}
	where, args = c.whole.bounds()
	return readRuns(ctx, tx, c, []condition{{" AND id IN (SELECT id FROM buildsets WHERE series IN (SELECT value FROM json_each(?)))" + where,
		slices.Concat([]any{toJSON(slices.Concat(settled, open))}, args)}}, filter)
}

// readRuns reads runs of an index, each in the order of buildsets, and merges them.
// That a buildset has rows for several refs is gone with the UNION.
func readRuns(ctx context.Context, tx *sql.Tx, c *question, runs []condition, filter condition) ([][]byte, error) {
	var selects []string
	var args []any
	for _, r := range runs {
		selects = append(selects, "SELECT DISTINCT start, uuid FROM buildsets WHERE true"+r.where+filter.where)
		args = append(append(args, r.args...), filter.args...)
	}
	rows, err := tx.QueryContext(ctx, strings.Join(selects, " UNION ")+order(false)+" LIMIT ? OFFSET ?", append(args, c.Limit, c.Skip)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list [][]byte
	for rows.Next() {
		var start int64
		var uuid []byte
		if err := rows.Scan(&start, &uuid); err != nil {
			return nil, err
		}
		list = append(list, uuid)
	}
	return list, rows.Err()
}

// setRuns are the runs of an index to read for a question about some series, and
// what to leave out of them. No run: there is no index that fits.
func (c *question) setRuns(settled, open []int64, all bool) (runs []condition, filter condition) {
	each := func(where string, values ...any) {
		for _, v := range values {
			runs = append(runs, condition{" AND " + where, []any{v}})
		}
	}
	exactly := func(column string, values []string) []any {
		f := sortOut(values)
		filter.andIn(column, "", f.yes)
		filter.andIn(column, " NOT", f.no)
		var runs []any
		for _, v := range f.yes {
			if v == "" { // of which there is no index
				return nil
			}
			runs = append(runs, v)
		}
		return runs
	}
	exactly("patchset", c.Patchset)
	newRevs, refs := exactly("newrev", c.NewRev), exactly("ref", c.Ref)
	filter.where += in("+change", c.changes)
	for _, v := range sortOut(c.Change).no {
		n, _ := strconv.ParseInt(v, 10, 64) // it was checked
		filter.and("+change <> ?", n)
	}
	for _, v := range sortOut(c.Buildset).no {
		filter.and("+uuid <> ?", unhex(v))
	}
	running, lost := c.wantsResult(resultRunning), c.wantsResult(string(vitrine.Success)) || c.wantsResult(string(vitrine.Failure))
	switch {
	case all:
	case len(open) == 0:
		filter.and("+series IN (SELECT value FROM json_each(?))", toJSON(settled))
	default: // what becomes of open ones, time tells: nobody writes it
		filter.and(`(+series IN (SELECT value FROM json_each(?)) OR +series IN (SELECT value FROM json_each(?)) AND
			CASE WHEN open >= ? THEN ? WHEN failed THEN ? ELSE ? END)`, toJSON(settled), toJSON(open), c.cutoff,
			running, c.wantsResult(string(vitrine.Failure)), c.wantsResult(string(vitrine.Success)))
	}
	switch {
	case len(c.buildsets) > 0:
		for _, b := range c.buildsets {
			each("uuid = ?", b)
		}
	case len(newRevs) > 0:
		each("newrev <> '' AND newrev = ?", newRevs...)
	case len(c.changes) > 0:
		for _, n := range c.changes {
			each("change > 0 AND change = ?", n)
		}
	case len(refs) > 0:
		each("ref <> '' AND ref = ?", refs...)
	case running && !lost:
		each("id IN (SELECT id FROM buildsets WHERE open > 0 AND open >= ?)", c.cutoff)
	case !all && len(settled)+len(open) <= fewTerms:
		for _, id := range slices.Concat(settled, open) {
			each("series = ?", id)
		}
	}
	return runs, filter
}

// wantsResult reports whether a question is about buildsets with a result, or
// running ones.
func (c *question) wantsResult(r string) bool {
	return c.result.wantsExactly(r) && (c.Complete == nil || *c.Complete == (r != resultRunning))
}

// setSeries are the series of buildsets that a question is about: those of settled
// buildsets, and those of open ones, which may have any result by now.
func (x *Index) setSeries(c *question) (settled, open []int64, all bool) {
	names, series := x.catalog.snapshot()
	projects, branches, pipelines := sortOut(c.Project), sortOut(c.Branch), sortOut(c.Pipeline)
	all = true
	running := c.wantsResult(resultRunning)
	success, failure := c.wantsResult(string(vitrine.Success)), c.wantsResult(string(vitrine.Failure))
	for i, s := range series {
		switch {
		case i == 0 || names[s.job] != "": // that of builds
		case !projects.wants(names[s.project]) || !branches.wants(names[s.branch]) || !pipelines.wants(names[s.pipeline]):
			all = false
		case names[s.result] == "":
			all = all && running && success && failure
			if running || success || failure {
				open = append(open, int64(i))
			}
		case c.wantsResult(names[s.result]):
			settled = append(settled, int64(i))
		default:
			all = false
		}
	}
	return settled, open, all
}

func toJSON(v any) string {
	b, _ := json.Marshal(v) // of numbers and texts, which can't fail
	return string(b)
}

// readSets reads buildsets in the order of a list. One that is not there is left
// out.
func (x *Index) readSets(ctx context.Context, tx *sql.Tx, uuids [][]byte, cutoff int64) ([]Buildset, error) {
	if len(uuids) == 0 {
		return nil, nil
	}
	rows, err := tx.QueryContext(ctx, `SELECT uuid, start, series, change, open, failed, ended, patchset, ref, oldrev, newrev, ref_url, event_id
		FROM buildsets WHERE true`+inBytes("uuid", uuids)+" ORDER BY uuid, nth")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, all := x.catalog.snapshot()
	sets := make(map[string]*Buildset, len(uuids))
	for rows.Next() {
		var uuid []byte
		var b Buildset
		var r vitrine.Ref
		var start, number, open, ended int64
		var failed bool
		if err := rows.Scan(&uuid, &start, &number, &r.Change, &open, &failed, &ended,
			&r.Patchset, &r.Ref, &r.OldRev, &r.NewRev, &r.RefURL, &b.EventID); err != nil {
			return nil, err
		}
		if number < 1 || number >= int64(len(all)) || len(uuid) != 16 {
			return nil, fmt.Errorf("index: the row of buildset %x is broken", uuid)
		}
		r.Project, r.Branch = names[all[number].project], names[all[number].branch]
		s := sets[string(uuid)]
		if s == nil {
			s = &b
			sets[string(uuid)] = s
			s.UUID, s.Pipeline, s.Start = hex.EncodeToString(uuid), names[all[number].pipeline], fromUnix(start)
			s.ID = (&vitrine.Record{UUID: s.UUID, StartTime: s.Start}).ID()
			switch {
			case open >= cutoff: // one runs
			case failed:
				s.Result, s.End = vitrine.Failure, fromUnix(ended)
			default:
				s.Result, s.End = vitrine.Success, fromUnix(ended)
			}
		}
		s.Refs = append(s.Refs, r)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	list := make([]Buildset, 0, len(uuids))
	for _, u := range uuids {
		if s := sets[string(u)]; s != nil {
			list = append(list, *s)
		}
	}
	return list, nil
}
