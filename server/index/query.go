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
	Patchset []string
	Ref      []string
	NewRev   []string
	Result   []string // results, and RUNNING; LOST are also builds that did not end in time, or were interrupted
	UUID     []string // whole, or a beginning with * after it
	Buildset []string // whole

	// Nil: whether or not. Complete builds have a result.
	Voting, Held, Final, Complete *bool

	Since, Until time.Time // start times from Since on and before Until
	MinID, MaxID int64     // see [vitrine.Record.ID]; both included, 0: no bound

	// Before and After are cursors from a [Page]: builds that come after it in
	// the list, being older, or before it. At most one of them is given.
	Before, After string
	Skip          int // builds of the list to leave out first, up to MaxSkip; not with a cursor
	Limit         int // 1 to MaxLimit; 0 is DefaultLimit
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

// A question is a query that was checked, as far as it can be answered without
// looking at names.
type question struct {
	Query
	changes   []int64
	buildsets [][]byte
	uuids     []uuidRange
	whole     window // of Since and Until
	page      window // of the cursor
	cutoff    int64  // see Index.cutoff
}

func (q Query) check(cutoff int64) (*question, error) {
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	if q.Limit < 1 || q.Limit > MaxLimit {
		return nil, fmt.Errorf("%w: a limit of %d: want 1 to %d", ErrQuery, q.Limit, MaxLimit)
	}
	n := 0
	for _, values := range [][]string{q.Service, q.Job, q.Project, q.Branch, q.Pipeline, q.Change, q.Result, q.UUID, q.Buildset} {
		n += len(values)
		for _, v := range values {
			if len(v) > vitrine.MaxString || strings.Count(v, "*") > maxStars {
				return nil, fmt.Errorf("%w: %.60q: want at most %d bytes and %d *", ErrQuery, v, vitrine.MaxString, maxStars)
			}
		}
	}
	if n > maxValues {
		return nil, fmt.Errorf("%w: %d values to filter by, more than %d", ErrQuery, n, maxValues)
	}
	c := &question{Query: q, cutoff: cutoff, whole: everything, page: everything}
	for _, v := range q.Change {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%w: change %.60q is not the number of one", ErrQuery, v)
		}
		c.changes = append(c.changes, n)
	}
	slices.Sort(c.changes)
	c.changes = slices.Compact(c.changes)
	buildsets := slices.Clone(q.Buildset)
	slices.Sort(buildsets)
	for _, v := range slices.Compact(buildsets) {
		if !vitrine.ValidUUID(v) {
			return nil, fmt.Errorf("%w: buildset %.60q is not 32 lower-case hex digits", ErrQuery, v)
		}
		c.buildsets = append(c.buildsets, unhex(v))
	}
	if err := c.checkUUIDs(); err != nil {
		return nil, err
	}
	if !q.Since.IsZero() {
		c.whole = c.whole.cut(since(ceil(q.Since)))
	}
	if !q.Until.IsZero() {
		c.whole = c.whole.cut(until(ceil(q.Until)))
	}
	var err error
	switch {
	case q.Before != "" && q.After != "":
		err = fmt.Errorf("%w: a page is before one cursor or after one, not both", ErrQuery)
	case q.Before != "":
		c.page.newest, err = parseCursor(q.Before)
	case q.After != "":
		c.page.oldest, err = parseCursor(q.After)
	}
	return c, err
}

func (c *question) checkUUIDs() error {
	var beginnings []string
	for _, v := range c.UUID {
		p, isPrefix := strings.CutSuffix(v, "*")
		if strings.Trim(p, "0123456789abcdef") != "" || len(p) > 32 || !isPrefix && len(p) != 32 {
			return fmt.Errorf("%w: uuid %.60q: want 32 lower-case hex digits, or the first of them and a *", ErrQuery, v)
		}
		beginnings = append(beginnings, p)
	}
	// Of a beginning and a longer one of the same, the first says it all; in
	// order, they are neighbours.
	slices.Sort(beginnings)
	last := -1
	for i, p := range beginnings {
		if last >= 0 && strings.HasPrefix(p, beginnings[last]) {
			continue
		}
		last = i
		if p != "" {
			pad := 32 - len(p)
			c.uuids = append(c.uuids, uuidRange{unhex(p + strings.Repeat("0", pad)), unhex(p + strings.Repeat("f", pad))})
		}
	}
	return nil
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
