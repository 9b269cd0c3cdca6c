package index

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"vitrine"
)

// Bounds of a query.
const (
	DefaultLimit = 50
	MaxLimit     = 1000
	MaxSkip      = 100_000_000
	maxValues    = 100 // of all fields together
	maxStars     = 8   // in one value
)

// ErrQuery is wrapped by the error of a query that makes no sense; its text is
// for whoever asked.
var ErrQuery = errors.New("invalid query")

// Words that Result knows beside the results of records.
const (
	resultRunning = "RUNNING"
	resultLost    = string(vitrine.LostResult)
)

// A Query says which builds are wanted. Several values of a field are or-ed,
// fields are and-ed, an empty field is no filter. In names, * stands for any
// run of characters; nothing else has a meaning. A value that begins with "not:"
// excludes: of a field with such values alone, all others are wanted.
type Query struct {
	Service, Job, Project, Branch, Pipeline, Nodeset []string

	Text     string   // part of the job's or the project's name, in whatever case
	Change   []string // numbers
	Patchset []string // whole, as the next
	Ref      []string
	NewRev   []string // whole, or 7 or more hex digits it begins with and a *
	Result   []string // results, and RUNNING; LOST are also builds that did not end in time, or were interrupted
	UUID     []string // whole, or a beginning with * after it
	Buildset []string // whole

	// Nil: whether or not. Complete builds have a result, be it LOST.
	Voting, Held, Final, Complete *bool

	Since, Until time.Time // start times from Since on and before Until
	MinID, MaxID int64     // see [vitrine.Record.ID]; both included, 0: no bound

	// Before and After are cursors from a [Page]: builds that come after it in
	// the list, being older, or before it. At most one of them is given.
	Before, After string
	// Skip is how many builds of the list to leave out first, up to MaxSkip, and not
	// with a cursor. What must be looked at one by one, as for UUID, Ref, Change or
	// a Patchset that is no number, can't be skipped by the hundred thousand.
	Skip  int
	Limit int // 1 to MaxLimit; 0 is DefaultLimit
}

// A Page is a part of a list of builds, newest first.
type Page struct {
	Builds []vitrine.Build
	// Older and Newer are cursors for the pages beside this one, empty where
	// there are no builds.
	Older, Newer string
}

// A position is a place in the order of builds: by start, then uuid. A uuid of
// no bytes comes before all, one of 17 bytes 0xff after all builds of a second.
type position struct {
	start int64
	uuid  string // bytes, not hex
}

var (
	beforeAll = position{start: math.MinInt64}
	afterAll  = position{start: math.MaxInt64}
	lastUUID  = strings.Repeat("\xff", 17)

	everything = window{beforeAll, afterAll}
)

func positionOf(b vitrine.Build) position {
	return position{b.StartTime.Unix(), string(unhex(b.UUID))}
}

func (p position) compare(q position) int {
	switch {
	case p.start < q.start:
		return -1
	case p.start > q.start:
		return 1
	}
	return strings.Compare(p.uuid, q.uuid)
}

// cursor is a position as it goes into an address.
func (p position) cursor() string { return fmt.Sprintf("%d-%x", p.start, p.uuid) }

// parseCursor is the strict inverse of cursor, for positions of builds.
func parseCursor(s string) (position, error) {
	start, uuid, ok := strings.Cut(s, "-")
	n, err := strconv.ParseInt(start, 10, 64)
	if !ok || err != nil || n < 0 || strconv.FormatInt(n, 10) != start || !vitrine.ValidUUID(uuid) {
		return position{}, fmt.Errorf("%w: %.60q is not the cursor of a page", ErrQuery, s)
	}
	return position{n, string(unhex(uuid))}, nil
}

// Cursor is the cursor of a build: the builds of a list after it are newer.
func Cursor(b vitrine.Build) string { return positionOf(b).cursor() }

// CursorAt is a cursor between two builds: before it are those that began
// before t, a whole second, and after it the others.
func CursorAt(t time.Time) string { return fmt.Sprintf("%d-%032x", max(t.Unix(), 0), 0) }

// A window is what lies between two positions, both excluded.
type window struct{ oldest, newest position }

func (w window) has(p position) bool { return p.compare(w.oldest) > 0 && p.compare(w.newest) < 0 }

// span is from the oldest to the newest of both windows.
func (w window) span(v window) window {
	if v.oldest.compare(w.oldest) < 0 {
		w.oldest = v.oldest
	}
	if v.newest.compare(w.newest) > 0 {
		w.newest = v.newest
	}
	return w
}

// cut is what lies in both windows.
func (w window) cut(v window) window {
	if v.oldest.compare(w.oldest) > 0 {
		w.oldest = v.oldest
	}
	if v.newest.compare(w.newest) < 0 {
		w.newest = v.newest
	}
	return w
}

// since is everything from the second s on, until is everything before it.
func since(s int64) window { return window{position{s - 1, lastUUID}, afterAll} }
func until(s int64) window { return window{beforeAll, position{s, ""}} }

// ceil is t in seconds since 1970, rounded up.
func ceil(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}

// A uuidRange is what a beginning of a uuid stands for, both ends included.
type uuidRange struct{ first, last []byte }

// A field is the values of a field of a query, sorted out: of yes any, if there
// are some, and of no none must stand for what a build has.
type field struct{ yes, no []string }

const notPrefix = "not:"

func sortOut(values []string) (f field) {
	for _, v := range values {
		if no, ok := strings.CutPrefix(v, notPrefix); ok {
			f.no = append(f.no, no)
		} else {
			f.yes = append(f.yes, v)
		}
	}
	return f
}

func (f field) empty() bool { return len(f.yes)+len(f.no) == 0 }

// wants reports whether the field's values, patterns, let a name through.
func (f field) wants(name string) bool {
	stands := func(pattern string) bool { return matches(pattern, name) }
	return (len(f.yes) == 0 || slices.ContainsFunc(f.yes, stands)) && !slices.ContainsFunc(f.no, stands)
}

// wantsExactly is wants for values that are no patterns.
func (f field) wantsExactly(value string) bool {
	return (len(f.yes) == 0 || slices.Contains(f.yes, value)) && !slices.Contains(f.no, value)
}

// A question is a query that was checked, as far as it can be answered without
// looking at names.
type question struct {
	Query
	changes   []int64     // to look for; those to leave out are in but, as of the next fields
	buildsets [][]byte    // likewise
	uuids     []uuidRange // likewise
	notUUIDs  []uuidRange
	patchsets field
	patched   condition // what they ask
	refs      field
	newRevs   []condition
	result    field
	text      string // in lower case
	but       condition
	whole     window // of Since, Until, MinID and MaxID
	page      window // of the cursor
	cutoff    int64  // see Index.cutoff
}

// A condition is a part of a WHERE, beginning with AND, and its values. A plus
// before a column tells SQLite that no index is to be picked for its sake.
type condition struct {
	where string
	args  []any
}

func (c *condition) and(where string, args ...any) {
	c.where += " AND " + where
	c.args = append(c.args, args...)
}

// andIn demands that a column has one of some values or, with not, none of them.
func (c *condition) andIn(column, not string, values []string) {
	if len(values) > 0 {
		c.and("+"+column+not+" IN (SELECT value FROM json_each(?))", toJSON(values))
	}
}

const isNot = " NOT"

func (q Query) check(cutoff int64) (*question, error) {
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	if q.Limit < 1 || q.Limit > MaxLimit {
		return nil, fmt.Errorf("%w: a limit of %d: want 1 to %d", ErrQuery, q.Limit, MaxLimit)
	}
	if q.Skip < 0 || q.Skip > MaxSkip {
		return nil, fmt.Errorf("%w: %d builds to skip: want 0 to %d", ErrQuery, q.Skip, MaxSkip)
	}
	n := 0
	for _, values := range [][]string{
		q.Service, q.Job, q.Project, q.Branch, q.Pipeline, q.Nodeset, {q.Text},
		q.Change, q.Patchset, q.Ref, q.NewRev, q.Result, q.UUID, q.Buildset,
	} {
		n += len(values)
		for _, v := range values {
			v = strings.TrimPrefix(v, notPrefix)
			if len(v) > vitrine.MaxString || strings.Count(v, "*") > maxStars {
				return nil, fmt.Errorf("%w: %.60q: want at most %d bytes and %d *", ErrQuery, v, vitrine.MaxString, maxStars)
			}
		}
	}
	if n > maxValues+1 { // the text is always there
		return nil, fmt.Errorf("%w: %d values to filter by, more than %d", ErrQuery, n-1, maxValues)
	}
	c := &question{
		Query: q, cutoff: cutoff, whole: everything, page: everything,
		patchsets: sortOut(q.Patchset), refs: sortOut(q.Ref), result: sortOut(q.Result), text: strings.ToLower(q.Text),
	}
	for _, check := range []func() error{c.checkChanges, c.checkBuildsets, c.checkUUIDs, c.checkNewRevs, c.checkWindows} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	c.patched.andIn("patchset", "", c.patchsets.yes)
	c.patched.andIn("patchset", isNot, c.patchsets.no)
	c.but.andIn("ref", isNot, slices.DeleteFunc(slices.Clone(c.refs.no), isHead)) // heads are in the series
	return c, nil
}

// isHead reports whether a ref is that of a branch, which series have.
func isHead(ref string) bool { return strings.HasPrefix(ref, headPrefix) }

// byHeads reports whether all refs that are wanted are those of branches.
func (c *question) byHeads() bool {
	return !slices.ContainsFunc(c.refs.yes, func(ref string) bool { return !isHead(ref) })
}

func (c *question) checkChanges() error {
	f := sortOut(c.Change)
	var not []string
	for i, v := range slices.Concat(f.yes, f.no) {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 1 {
			return fmt.Errorf("%w: change %.60q is not the number of one", ErrQuery, v)
		}
		if i < len(f.yes) {
			c.changes = append(c.changes, n)
		} else {
			not = append(not, strconv.FormatInt(n, 10))
		}
	}
	if len(not) > 0 {
		c.but.and("+change NOT IN (" + strings.Join(not, ", ") + ")")
	}
	slices.Sort(c.changes)
	c.changes = slices.Compact(c.changes)
	return nil
}

func (c *question) checkBuildsets() error {
	f := sortOut(c.Buildset)
	for _, v := range slices.Concat(f.yes, f.no) {
		if !vitrine.ValidUUID(v) {
			return fmt.Errorf("%w: buildset %.60q is not 32 lower-case hex digits", ErrQuery, v)
		}
	}
	slices.Sort(f.yes)
	for _, v := range slices.Compact(f.yes) {
		c.buildsets = append(c.buildsets, unhex(v))
	}
	for _, v := range f.no {
		c.but.and("+buildset <> ?", unhex(v))
	}
	return nil
}

// minRevision is how many digits the beginning of a revision has at least: what
// shares fewer may be many builds.
const minRevision = 7

func (c *question) checkNewRevs() error {
	f := sortOut(c.NewRev)
	slices.Sort(f.yes)
	f.yes = slices.Compact(f.yes)
	var beginnings []string
	for i, v := range slices.Concat(f.yes, f.no) {
		var d condition
		p, isPrefix := strings.CutSuffix(v, "*")
		switch {
		case v == "" || strings.Contains(p, "*") || isPrefix && (len(p) < minRevision || strings.Trim(p, "0123456789abcdef") != ""):
			return fmt.Errorf("%w: newrev %.60q: want a revision, or %d or more lower-case hex digits that it begins with and a *", ErrQuery, v, minRevision)
		case isPrefix:
			d.and("newrev <> '' AND newrev BETWEEN ? AND ?", p, p+"g") // the digit after f
		default:
			d.and("newrev <> '' AND newrev = ?", v)
		}
		switch {
		case i >= len(f.yes):
			c.but.and("NOT ("+strings.TrimPrefix(d.where, " AND ")+")", d.args...)
		case !slices.ContainsFunc(beginnings, func(p string) bool { return strings.HasPrefix(v, p) }):
			c.newRevs = append(c.newRevs, d)
			if isPrefix {
				beginnings = append(beginnings, p)
			}
		}
	}
	return nil
}

func (c *question) checkWindows() error {
	if !c.Since.IsZero() {
		c.whole = c.whole.cut(since(ceil(c.Since)))
	}
	if !c.Until.IsZero() {
		c.whole = c.whole.cut(until(ceil(c.Until)))
	}
	if c.MinID != 0 {
		first, _ := ofID(c.MinID)
		c.whole = c.whole.cut(window{first, afterAll})
	}
	if c.MaxID != 0 {
		_, last := ofID(c.MaxID)
		c.whole = c.whole.cut(window{beforeAll, last})
	}
	var err error
	switch {
	case c.Before != "" && c.After != "":
		err = fmt.Errorf("%w: a page is before one cursor or after one, not both", ErrQuery)
	case c.Skip > 0 && c.Before+c.After != "":
		err = fmt.Errorf("%w: a page is named by a cursor or by what it skips, not both", ErrQuery)
	case c.Before != "":
		c.page.newest, err = parseCursor(c.Before)
	case c.After != "":
		c.page.oldest, err = parseCursor(c.After)
	}
	return err
}

// ofID is right before the first and right after the last position that an id
// may stand for: see [vitrine.Record.ID].
func ofID(id int64) (before, after position) {
	start := idEpoch + id>>22
	top := []byte{byte(id >> 14), byte(id >> 6), byte(id << 2)}
	before = position{start, string(top)} // shorter than any uuid
	top[2] |= 3
	return before, position{start, string(top) + lastUUID}
}

var idEpoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

func (c *question) checkUUIDs() (err error) {
	f := sortOut(c.UUID)
	if c.uuids, err = uuidRanges(f.yes); err == nil {
		c.notUUIDs, err = uuidRanges(f.no)
	}
	if slices.Contains(f.yes, "*") {
		c.uuids = nil
	}
	return err
}

// uuidRanges are those of uuids and beginnings of some.
func uuidRanges(values []string) ([]uuidRange, error) {
	var beginnings []string
	for _, v := range values {
		p, isPrefix := strings.CutSuffix(v, "*")
		if strings.Trim(p, "0123456789abcdef") != "" || len(p) > 32 || !isPrefix && len(p) != 32 {
			return nil, fmt.Errorf("%w: uuid %.60q: want 32 lower-case hex digits, or the first of them and a *", ErrQuery, v)
		}
		beginnings = append(beginnings, p)
	}
	// Of a beginning and a longer one of the same, the first says it all; in
	// order, they are neighbours.
	slices.Sort(beginnings)
	var ranges []uuidRange
	last := -1
	for i, p := range beginnings {
		if last >= 0 && strings.HasPrefix(p, beginnings[last]) {
			continue
		}
		last = i
		pad := 32 - len(p)
		ranges = append(ranges, uuidRange{unhex(p + strings.Repeat("0", pad)), unhex(p + strings.Repeat("f", pad))})
	}
	return ranges, nil
}

// matches reports whether pattern, in which * stands for any run of characters,
// stands for s.
func matches(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}
