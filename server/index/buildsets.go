package index

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
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

// setResult is the result of a buildset as a query names it: the state of the row
// as of now, for time turns open builds into lost ones.
const setResult = "CASE WHEN open >= ? THEN '" + resultRunning + "' WHEN failed THEN 'FAILURE' ELSE 'SUCCESS' END"

// chooseSets finds the uuids of the buildsets of a page, in order.
func (x *Index) chooseSets(ctx context.Context, tx *sql.Tx, c *question) ([][]byte, error) {
	where, args := c.whole.bounds()
	if series, all := x.setSeries(c); !all {
		where += " AND series IN (SELECT value FROM json_each(?))"
		args = append(args, series)
	}
	if results, all := c.setResults(); !all {
		where += " AND " + setResult + " IN (SELECT value FROM json_each(?))"
		args = append(args, c.cutoff, results)
	}
	for _, f := range []struct {
		column string
		values []string
	}{{"patchset", c.Patchset}, {"ref", c.Ref}, {"newrev", c.NewRev}} {
		if len(f.values) > 0 {
			where += " AND " + f.column + " IN (SELECT value FROM json_each(?))"
			args = append(args, toJSON(f.values))
		}
	}
	if len(c.changes) > 0 {
		where += " AND change > 0"
	}
	rows, err := tx.QueryContext(ctx, "SELECT DISTINCT start, uuid FROM buildsets WHERE true"+where+in("change", c.changes)+
		inBytes("uuid", c.buildsets)+order(false)+" LIMIT ? OFFSET ?", append(args, c.Limit, c.Skip)...)
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

// setResults are the results of buildsets that a question is about, as JSON.
func (c *question) setResults() (list string, all bool) {
	var wanted []string
	results := []string{string(vitrine.Success), string(vitrine.Failure), resultRunning}
	for _, r := range results {
		if accepts(c.Result, r) && (c.Complete == nil || *c.Complete == (r != resultRunning)) {
			wanted = append(wanted, r)
		}
	}
	return toJSON(wanted), len(wanted) == len(results)
}

// setSeries are the series of buildsets that a question is about, as JSON.
func (x *Index) setSeries(c *question) (list string, all bool) {
	if len(c.Project)+len(c.Branch)+len(c.Pipeline) == 0 {
		return "", true
	}
	names, series := x.catalog.snapshot()
	wanted := []int{}
	for id, s := range series {
		if id > 0 && names[s.job] == "" && accepts(c.Project, names[s.project]) && accepts(c.Branch, names[s.branch]) &&
			accepts(c.Pipeline, names[s.pipeline]) {
			wanted = append(wanted, id)
		}
	}
	return toJSON(wanted), false
}

// accepts reports whether the values of a field of a query stand for s.
func accepts(values []string, s string) bool {
	none := true
	for _, v := range values {
		v, not := strings.CutPrefix(v, "not:")
		if matches(v, s) {
			if not {
				return false
			}
			return !slices.ContainsFunc(values, func(v string) bool {
				v, not := strings.CutPrefix(v, "not:")
				return not && matches(v, s)
			})
		}
		none = none && not
	}
	return none
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
