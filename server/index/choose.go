package index

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	// fewTerms is how many runs of an index are merged without looking at sheets.
	fewTerms = 64
	// What it costs to find the builds of a series, in builds that are passed over.
	passesPerSeek = 4
	skipStep      = 10_000 // builds that are kept in memory to be skipped
	// maxSkipPasses is how many builds are passed over for the sake of a skip.
	maxSkipPasses = 150_000
)

// A chosen build is one of a page, before its row is read.
type chosen struct {
	id       int64
	position position
}

// A term is one run of an index: the builds within a window that have a value
// in a column, in order.
type term struct {
	condition
	window window
}

// A plan says how to find the builds that a question asks for.
type plan struct {
	terms []term // to merge
	// Without terms, sheets tell where the builds are.
	sheets []sheet
	sieve  sieve

	// What a build that was found must be besides.
	wanted   []bool // by series; nil: all of them
	open     []bool // by series: its builds have not ended
	running  window // of builds that have not ended
	uuids    []uuidRange
	notUUIDs []uuidRange
	but      condition
	whole    window
	// isSifted says that sheets alone tell which builds are wanted.
	isSifted bool

	// passes bounds the builds that are read from now on: errPasses, when there
	// would be more. nil: no bound.
	passes *int
}

// errPasses says that a plan has read all the builds that it may.
var errPasses = errors.New("too many builds to pass over")

// pass counts a build that was read.
func (p *plan) pass() error {
	if p.passes == nil {
		return nil
	}
	if *p.passes--; *p.passes < 0 {
		return errPasses
	}
	return nil
}

// having is the plan for all builds with a value in an indexed column.
func having(column string, value any) *plan {
	return &plan{terms: []term{{condition{" AND " + column + " = ?", []any{value}}, everything}}, whole: everything}
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
	in := func(r uuidRange) bool { return string(r.first) <= at.uuid && at.uuid <= string(r.last) }
	return (len(p.uuids) == 0 || slices.ContainsFunc(p.uuids, in)) && !slices.ContainsFunc(p.notUUIDs, in)
}

// plan settles the names of a question against the catalog and picks what to
// read: the index of what few builds share, those of a few series, or the builds
// that sheets tell of.
func (x *Index) plan(ctx context.Context, tx *sql.Tx, q *question) (*plan, error) {
	p := &plan{uuids: q.uuids, notUUIDs: q.notUUIDs, but: q.but.with(q.patched), whole: q.whole}
	names, all := x.catalog.snapshot()
	series := p.want(q, names, all)
	if p.wanted != nil && len(series) == 0 {
		return p, nil // no build has such names
	}
	// Each of these is a run of few builds; what is not chosen is left to filter by.
	var newRevs, refs, changes, buildsets []condition
	newRevs = q.newRevs
	if !q.byHeads() {
		for _, v := range q.refs.yes {
			refs = append(refs, condition{" AND ref <> '' AND ref = ?", []any{v}})
		}
	}
	for _, v := range q.changes {
		changes = append(changes, condition{" AND change > 0 AND change = ?", []any{v}})
	}
	for _, v := range q.buildsets {
		buildsets = append(buildsets, condition{" AND buildset = ?", []any{v}})
	}
	var uuids []condition
	if len(q.uuids) > 0 && narrow(q.uuids) {
		for _, r := range q.uuids {
			uuids = append(uuids, condition{" AND uuid BETWEEN ? AND ?", []any{r.first, r.last}})
		}
	}
	for _, runs := range [][]condition{uuids, buildsets, newRevs, changes, refs} {
		switch {
		case len(runs) == 0:
		case len(p.terms) == 0:
			for _, r := range runs {
				p.terms = append(p.terms, term{r, everything})
			}
		default:
			p.but = p.but.with(anyOf(runs))
		}
	}
	if len(p.terms) > 0 {
		return p, nil
	}
	codes, exact := patchsetCodes(q.patchsets)
	if p.wanted == nil && codes == nil {
		p.terms = []term{{window: everything}}
	} else if len(series) <= fewTerms && p.wanted != nil && codes == nil {
		p.terms = p.seriesTerms(series)
	}
	if len(p.terms) > 0 && q.Skip == 0 {
		return p, nil
	}
	var err error
	p.sheets, err = x.sheets.at(ctx, tx)
	p.sieve = sieve{p.wanted, codes}
	p.isSifted = exact && len(q.uuids)+len(q.notUUIDs) == 0 && q.but.where == ""
	return p, err
}

// seriesTerms are the terms that read some series.
func (p *plan) seriesTerms(ids []int64) []term {
	var terms []term
	for _, id := range ids {
		t := term{condition{" AND series = ?", []any{id}}, everything}
		if p.open[id] {
			t.window = p.running
		}
		terms = append(terms, t)
	}
	return terms
}

// want notes the series that the question's names, flags and results are about,
// and returns them.
func (p *plan) want(q *question, names []string, all []series) []int64 {
	type column struct {
		values field
		of     func(s *series) int64
	}
	columns := slices.DeleteFunc([]column{
		{sortOut(q.Service), func(s *series) int64 { return s.service }},
		{sortOut(q.Job), func(s *series) int64 { return s.job }},
		{sortOut(q.Project), func(s *series) int64 { return s.project }},
		{sortOut(q.Branch), func(s *series) int64 { return s.branch }},
		{sortOut(q.Pipeline), func(s *series) int64 { return s.pipeline }},
		{sortOut(q.Nodeset), func(s *series) int64 { return s.nodeset }},
	}, func(c column) bool { return c.values.empty() })
	heads := field{no: slices.DeleteFunc(slices.Clone(q.refs.no), func(ref string) bool { return !isHead(ref) })}
	if q.byHeads() {
		heads.yes = q.refs.yes
	}
	if len(columns) == 0 && heads.empty() && q.result.empty() && q.text == "" &&
		q.Voting == nil && q.Held == nil && q.Final == nil && q.Complete == nil {
		return nil
	}

	is := func(want *bool, value bool) bool { return want == nil || *want == value }
	running := q.result.wantsExactly(resultRunning) && is(q.Complete, false)
	lost := q.result.wantsExactly(resultLost) && is(q.Complete, true)
	p.running = everything
	switch {
	case running && !lost:
		p.running = since(q.cutoff)
	case lost && !running:
		p.running = until(q.cutoff)
	}
	// Names are many fewer than series: each is looked at once.
	ofColumns := make([]verdicts, len(columns))
	for i := range columns {
		ofColumns[i] = newVerdicts(names, columns[i].values.wants)
	}
	inText := newVerdicts(names, func(name string) bool { return strings.Contains(strings.ToLower(name), q.text) })
	isHead := newVerdicts(names, heads.wantsExactly)
	isResult := newVerdicts(names, q.result.wantsExactly)

	p.wanted, p.open = make([]bool, len(all)), make([]bool, len(all))
	var ids []int64
next:
	for id := 1; id < len(all); id++ {
		s := &all[id]
		p.open[id] = names[s.result] == ""
		switch {
		case names[s.job] == "": // it is that of a buildset
			continue
		case p.open[id] && !running && !lost, !p.open[id] && !(is(q.Complete, true) && isResult.of(s.result)):
			continue
		case !is(q.Voting, s.voting), !is(q.Held, s.held), !is(q.Final, s.final):
			continue
		case !isHead.of(s.head):
			continue
		case q.text != "" && !inText.of(s.job) && !inText.of(s.project):
			continue
		}
		for i, c := range columns {
			if !ofColumns[i].of(c.of(s)) {
				continue next
			}
		}
		p.wanted[id] = true
		ids = append(ids, int64(id))
	}
	return ids
}

// verdicts are what is said of names, each asked for once.
type verdicts struct {
	names []string
	says  func(name string) bool
	said  []int8 // by number; 0: nothing yet
}

func newVerdicts(names []string, says func(string) bool) verdicts {
	return verdicts{names, says, make([]int8, len(names))}
}

func (v verdicts) of(number int64) bool {
	if v.said[number] == 0 {
		v.said[number] = -1
		if v.says(v.names[number]) {
			v.said[number] = 1
		}
	}
	return v.said[number] > 0
}

// narrow reports whether ranges of uuids are so short that sorting their builds
// is cheaper than finding them among all.
func narrow(ranges []uuidRange) bool {
	sum := uint64(0)
	for _, r := range ranges {
		sum += uint64(binary.BigEndian.Uint32(r.last)-binary.BigEndian.Uint32(r.first)) + 1
	}
	return sum <= 1<<24 // together as many as two digits stand for
}

func (c condition) with(d condition) condition {
	return condition{c.where + d.where, slices.Concat(c.args, d.args)}
}

// anyOf is the condition that one of several holds.
func anyOf(list []condition) condition {
	var any condition
	for i, c := range list {
		if i > 0 {
			any.where += " OR "
		}
		any.where += strings.TrimPrefix(c.where, " AND ")
		any.args = append(any.args, c.args...)
	}
	any.where = " AND (" + any.where + ")"
	return any
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
	if len(p.terms) > 0 || len(p.sheets) == 0 {
		return p.merge(ctx, tx, p.terms, w, oldestFirst, n)
	}
	return p.sift(ctx, tx, w, oldestFirst, n)
}

// merge reads terms in the order of builds until n builds were kept. A term reads
// its index in order and UNION ALL merges them as they come, so whoever stops
// after a page has read little more than that.
func (p *plan) merge(ctx context.Context, tx *sql.Tx, terms []term, w window, oldestFirst bool, n int) ([]chosen, error) {
	var selects []string
	var args []any
	for _, t := range terms {
		tw := t.window.cut(w)
		if tw.oldest.compare(tw.newest) >= 0 {
			continue // nothing lies between
		}
		bounds, boundsArgs := tw.bounds()
		selects = append(selects, "SELECT id, start, uuid, series FROM builds WHERE true"+t.where+p.but.where+bounds)
		args = append(append(append(args, t.args...), p.but.args...), boundsArgs...)
	}
	if len(selects) == 0 || n <= 0 {
		return nil, nil
	}
	return p.read(ctx, tx, strings.Join(selects, " UNION ALL ")+order(oldestFirst), args, 0, n)
}

// read runs a query for builds in order until n were kept after the first skip.
func (p *plan) read(ctx context.Context, tx *sql.Tx, query string, args []any, skip, n int) (list []chosen, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var uuid sql.RawBytes
	for len(list) < n && rows.Next() {
		if err := p.pass(); err != nil {
			return nil, err
		}
		var c chosen
		var series int64
		if err := rows.Scan(&c.id, &c.position.start, &uuid, &series); err != nil {
			return nil, err
		}
		c.position.uuid = string(uuid)
		switch {
		case !p.keep(series, c.position):
		case skip > 0:
			skip--
		default:
			list = append(list, c)
		}
	}
	return list, rows.Err()
}

// sift goes through sheets in the order of their days until they promise enough
// builds, reads those, and goes on where less was kept than they promised.
func (p *plan) sift(ctx context.Context, tx *sql.Tx, w window, oldestFirst bool, n int) ([]chosen, error) {
	var list []chosen
	days := p.within(w, oldestFirst)
	for due := n; len(days) > 0 && len(list) < n; due *= 2 {
		matched, total, end := 0, 0, 0
		var series []int64
		for end < len(days) && matched < due {
			matched += p.sieve.count(days[end], &series)
			total += len(days[end].entries) / entrySize
			end++
		}
		part := days[0].window().span(days[end-1].window()).cut(w)
		days = days[end:]
		if matched == 0 {
			continue
		}
		slices.Sort(series)
		series = slices.Compact(series)
		more, err := p.readPart(ctx, tx, part, oldestFirst, n-len(list), series, matched, total)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

// walk is after, of a plan whose builds must be looked at one by one.
func (p *plan) walk(ctx context.Context, tx *sql.Tx, w window, skip int) (window, int, error) {
	if len(p.sheets) > 0 {
		most := 0
		for _, s := range p.within(w, false) {
			most += p.sieve.count(s, nil)
		}
		if most <= skip {
			return window{}, 0, nil
		}
	}
	left := maxSkipPasses
	p.passes = &left
	defer func() { p.passes = nil }()
	for skip > skipStep {
		list, err := p.choose(ctx, tx, w, false, skipStep)
		if errors.Is(err, errPasses) {
			err = fmt.Errorf("%w: that many builds can't be skipped with such a filter: want less, or the cursor of a page", ErrQuery)
		}
		if err != nil || len(list) < skipStep {
			return window{}, 0, err
		}
		w.newest = list[skipStep-1].position
		skip -= skipStep
	}
	return w, skip, nil
}

// within are the sheets of a window's days, in the order to read.
func (p *plan) within(w window, oldestFirst bool) []sheet {
	var days []sheet
	for _, s := range p.sheets {
		if part := s.window().cut(w); part.oldest.compare(part.newest) < 0 {
			days = append(days, s)
		}
	}
	if !oldestFirst {
		slices.Reverse(days)
	}
	return days
}

// readPart finds the first n wanted builds within a window that has total builds,
// of which about matched are wanted, and are of these series: by passing over the
// others or, if that is dearer, by series.
func (p *plan) readPart(ctx context.Context, tx *sql.Tx, w window, oldestFirst bool, n int, series []int64, matched, total int) ([]chosen, error) {
	if total*min(n, matched)/matched <= passesPerSeek*len(series)+matched {
		return p.merge(ctx, tx, []term{{window: everything}}, w, oldestFirst, n)
	}
	bounds, args := w.bounds()
	query := "SELECT builds.id, start, uuid, series FROM json_each(?) CROSS JOIN builds INDEXED BY builds_by_series ON series = value WHERE true"
	return p.read(ctx, tx, query+p.but.where+bounds+order(oldestFirst), slices.Concat([]any{toJSON(series)}, p.but.args, args), 0, n)
}

// after is the window of what is left of w when the first skip builds of the plan
// are left out, and how many of these still lie in it.
func (p *plan) after(ctx context.Context, tx *sql.Tx, w window, skip int) (window, int, error) {
	w = w.cut(p.whole)
	if !p.isSifted { // they are few, or nobody pages through them: one after the other
		return p.walk(ctx, tx, w, skip)
	}
	for _, s := range p.within(w, false) {
		day := s.window()
		part := day.cut(w)
		n := 0
		if part == day && (p.wanted == nil || day.cut(p.running) == day) {
			n = p.sieve.count(s, nil)
		} else if list, err := p.choose(ctx, tx, part, false, skip+1); err != nil {
			return w, 0, err
		} else {
			n = len(list)
		}
		if n > skip {
			return w.cut(window{beforeAll, day.newest}), skip, nil
		}
		skip -= n
	}
	return window{}, 0, nil
}
