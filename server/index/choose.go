package index

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

const (
	// fewTerms is how many runs of an index are merged without a second thought.
	fewTerms = 64
	// maxTerms is how many may be: SQLite allows 500 in a statement.
	maxTerms = 300
	// Passing over a build costs about half of looking for a series' first.
	passesPerSeek = 2
	// passesPerBuild is how many passes for each build of a page are no matter.
	passesPerBuild = 10
)

// A chosen build is one of a page, before its row is read.
type chosen struct {
	id       int64
	position position
}

// A term is one run of an index: the builds within a window that have a value
// in a column, in order.
type term struct {
	where  string
	args   []any
	window window
}

// A plan says how to find the builds that a question asks for.
type plan struct {
	terms []term // to merge
	// Without terms, series are the ones to read, and hope has the terms that
	// find their builds among others.
	series []int64
	hope   []term

	// What a build that was found must be besides.
	wanted  []bool // by series; nil: all of them
	open    []bool // by series: its builds have not ended
	running window // of builds that have not ended
	uuids   []uuidRange
	whole   window
}

// having is the plan for all builds with a value in an indexed column.
func having(column string, value any) *plan {
	return &plan{terms: []term{{column + " = ?", []any{value}, everything}}, whole: everything}
}

// keep reports whether a build of the series, which a term found, is wanted.
func (p *plan) keep(series int64, at position) bool {
	if p.wanted != nil {
		if series < 1 || series >= int64(len(p.wanted)) || !p.wanted[series] {
			return false
		}
		if p.open[series] && !p.running.has(at) {
			return false
		}
	}
	return len(p.uuids) == 0 || slices.ContainsFunc(p.uuids, func(r uuidRange) bool {
		return string(r.first) <= at.uuid && at.uuid <= string(r.last)
	})
}

// plan settles the names of a question against the catalog and picks what to
// read: of the indexes that a filter has, the one that passes over the fewest.
func (x *Index) plan(q *question) *plan {
	p := &plan{uuids: q.uuids, whole: q.whole}
	names, all := x.catalog.snapshot()
	p.want(q, names, all, x.catalog.number)
	switch {
	case p.wanted != nil && len(p.series) == 0:
		return p // no build has such names
	case len(q.uuids) > 0 && narrow(q.uuids):
		for _, r := range q.uuids {
			p.terms = append(p.terms, term{"uuid BETWEEN ? AND ?" + in("change", q.changes) + inBytes("buildset", q.buildsets),
				[]any{r.first, r.last}, everything})
		}
	case len(q.buildsets) > 0:
		for _, b := range q.buildsets {
			p.terms = append(p.terms, term{"buildset = ?" + in("change", q.changes), []any{b}, everything})
		}
	case len(q.changes) > 0:
		for _, c := range q.changes {
			p.terms = append(p.terms, term{"change > 0 AND change = ?", []any{c}, everything})
		}
	case p.wanted == nil:
		p.terms = []term{{"true", nil, everything}}
	case len(p.series) <= fewTerms:
		p.terms = p.seriesTerms(p.series)
	case len(q.Job) > 0 && p.hopeFor("job", all, func(s series) int64 { return s.job }):
	case len(q.Service) > 0 && p.hopeFor("service", all, func(s series) int64 { return s.service }):
	default:
		p.hope = []term{{"true", nil, everything}}
	}
	return p
}

// hopeFor has the plan look among the builds of the jobs, or services, that its
// series have, if they are few.
func (p *plan) hopeFor(column string, all []series, value func(series) int64) bool {
	var values []int64
	for _, id := range p.series {
		if v := value(all[id]); !slices.Contains(values, v) {
			values = append(values, v)
		}
		if len(values) > fewTerms {
			return false
		}
	}
	for _, v := range values {
		p.hope = append(p.hope, term{column + " = ?", []any{v}, everything})
	}
	return true
}

// seriesTerms are the terms that read some series.
func (p *plan) seriesTerms(ids []int64) []term {
	var terms []term
	for _, id := range ids {
		t := term{"series = ?", []any{id}, everything}
		if p.open[id] {
			t.window = p.running
		}
		terms = append(terms, t)
	}
	return terms
}

// want notes the series that the question's names and results are about.
func (p *plan) want(q *question, names []string, all []series, number func(string) int64) {
	if len(q.Service)+len(q.Job)+len(q.Project)+len(q.Branch)+len(q.Pipeline)+len(q.Result) == 0 {
		return
	}
	var fields [5]map[int64]bool // nil: no filter
	for i, values := range [5][]string{q.Service, q.Job, q.Project, q.Branch, q.Pipeline} {
		if len(values) > 0 {
			fields[i] = numbers(values, names, number)
		}
	}
	has := func(i int, n int64) bool { return fields[i] == nil || fields[i][n] }

	p.running = everything
	running, lost := slices.Contains(q.Result, resultRunning), slices.Contains(q.Result, resultLost)
	switch {
	case running && !lost:
		p.running = since(q.cutoff)
	case lost && !running:
		p.running = until(q.cutoff)
	}
	p.wanted, p.open = make([]bool, len(all)), make([]bool, len(all))
	for id := 1; id < len(all); id++ {
		s, result := all[id], names[all[id].result]
		p.open[id] = result == ""
		p.wanted[id] = has(0, s.service) && has(1, s.job) && has(2, s.project) && has(3, s.branch) && has(4, s.pipeline) &&
			(len(q.Result) == 0 || p.open[id] && (running || lost) || !p.open[id] && slices.Contains(q.Result, result))
		if p.wanted[id] {
			p.series = append(p.series, int64(id))
		}
	}
}

// numbers are those of the names that the values of a field stand for.
func numbers(values, names []string, number func(string) int64) map[int64]bool {
	set := make(map[int64]bool)
	for _, v := range values {
		if !strings.Contains(v, "*") {
			set[number(v)] = true // 0 for a name that no build has
			continue
		}
		for i := 1; i < len(names); i++ {
			if matches(v, names[i]) {
				set[int64(i)] = true
			}
		}
	}
	return set
}

// narrow reports whether ranges of uuids are so short that sorting their builds
// is cheaper than finding them among all.
func narrow(ranges []uuidRange) bool {
	return !slices.ContainsFunc(ranges, func(r uuidRange) bool { return r.first[0] != r.last[0] })
}

// in and inBytes are conditions on values that were checked.
func in(column string, values []int64) string {
	if len(values) == 0 {
		return ""
	}
	return fmt.Sprintf(" AND %s IN (%s)", column, strings.Trim(strings.Join(strings.Fields(fmt.Sprint(values)), ", "), "[]"))
}

func inBytes(column string, values [][]byte) string {
	if len(values) == 0 {
		return ""
	}
	var s []string
	for _, v := range values {
		s = append(s, fmt.Sprintf("x'%x'", v))
	}
	return fmt.Sprintf(" AND %s IN (%s)", column, strings.Join(s, ", "))
}

// bounds is the condition of a window.
func (w window) bounds() (where string, args []any) {
	if w.oldest != beforeAll {
		where += " AND (start, uuid) > (?, ?)"
		args = append(args, w.oldest.start, []byte(w.oldest.uuid))
	}
	if w.newest != afterAll {
		where += " AND (start, uuid) < (?, ?)"
		args = append(args, w.newest.start, []byte(w.newest.uuid))
	}
	return where, args
}

func order(oldestFirst bool) string {
	if oldestFirst {
		return " ORDER BY start, uuid"
	}
	return " ORDER BY start DESC, uuid DESC"
}

// choose finds the first n builds of a plan within a window, newest first or
// oldest first.
func (p *plan) choose(ctx context.Context, tx *sql.Tx, w window, oldestFirst bool, n int) ([]chosen, error) {
	w = w.cut(p.whole)
	if len(p.terms) > 0 || len(p.series) == 0 {
		list, _, err := p.merge(ctx, tx, p.terms, w, oldestFirst, n, -1)
		return list, err
	}
	// Many series are as a rule many builds: going through these soon fills a
	// page.
	list, done, err := p.merge(ctx, tx, p.hope, w, oldestFirst, n, passesPerSeek*len(p.series)+passesPerBuild*n)
	if err != nil || done {
		return list, err
	}
	// Or they are rare. No page has builds of more series than it has builds.
	if n <= maxTerms {
		ids, err := p.nearest(ctx, tx, w, oldestFirst, n)
		if err != nil {
			return nil, err
		}
		list, _, err = p.merge(ctx, tx, p.seriesTerms(ids), w, oldestFirst, n, -1)
		return list, err
	}
	list, _, err = p.merge(ctx, tx, p.hope, w, oldestFirst, n, -1)
	return list, err
}

// merge reads terms in the order of builds until n builds were kept or, if most
// is not negative, most were seen; done is false if more might have been kept. A
// term reads its index in order and UNION ALL merges them as they come, so
// whoever stops after a page has read little more than that.
func (p *plan) merge(ctx context.Context, tx *sql.Tx, terms []term, w window, oldestFirst bool, n, most int) (list []chosen, done bool, err error) {
	var selects []string
	var args []any
	for _, t := range terms {
		tw := t.window.cut(w)
		if tw.oldest.compare(tw.newest) >= 0 {
			continue // nothing lies between
		}
		bounds, boundsArgs := tw.bounds()
		selects = append(selects, "SELECT id, start, uuid, series FROM builds WHERE "+t.where+bounds)
		args = append(append(args, t.args...), boundsArgs...)
	}
	if len(selects) == 0 || n <= 0 {
		return nil, true, nil
	}
	rows, err := tx.QueryContext(ctx, strings.Join(selects, " UNION ALL ")+order(oldestFirst), args...)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	var uuid sql.RawBytes
	for seen := 0; len(list) < n; seen++ {
		if seen == most {
			return nil, false, nil
		}
		if !rows.Next() {
			break
		}
		var c chosen
		var series int64
		if err := rows.Scan(&c.id, &c.position.start, &uuid, &series); err != nil {
			return nil, false, err
		}
		c.position.uuid = string(uuid)
		if p.keep(series, c.position) {
			list = append(list, c)
		}
	}
	return list, true, rows.Err()
}

// nearest are the n of the plan's series whose first build within the window
// comes first.
func (p *plan) nearest(ctx context.Context, tx *sql.Tx, w window, oldestFirst bool, n int) ([]int64, error) {
	// Both parts of a position as one text, to be compared as one.
	const place = "printf('%012d', start) || hex(uuid)"
	var candidates []string
	var args []any
	for _, open := range []bool{false, true} {
		ids := slices.Collect(func(yield func(int64) bool) {
			for _, id := range p.series {
				if p.open[id] == open && !yield(id) {
					return
				}
			}
		})
		part := w
		if open {
			part = w.cut(p.running)
		}
		if len(ids) == 0 || part.oldest.compare(part.newest) >= 0 {
			continue
		}
		list, err := json.Marshal(ids)
		if err != nil {
			return nil, err
		}
		bounds, boundsArgs := part.bounds()
		candidates = append(candidates, "SELECT value AS id, (SELECT "+place+" FROM builds WHERE series = value"+bounds+order(oldestFirst)+
			" LIMIT 1) AS place FROM json_each(?)")
		args = append(append(args, boundsArgs...), string(list))
	}
	if len(candidates) == 0 {
		return nil, nil
	}
	direction := "DESC"
	if oldestFirst {
		direction = "ASC"
	}
	rows, err := tx.QueryContext(ctx, fmt.Sprintf("SELECT id FROM (%s) WHERE place IS NOT NULL ORDER BY place %s LIMIT %d",
		strings.Join(candidates, " UNION ALL "), direction, n), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
