package index

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"vitrine"
)

// An Entry is a record as it is stored, and what is stored as its signature:
// nothing, where there is none, as of all that were imported.
type Entry struct {
	Record    []byte
	Signature []byte
}

// ErrDuplicate says that another build has the record's uuid. It is an
// [fs.ErrExist].
var ErrDuplicate = fmt.Errorf("another build of that uuid is in the history: %w", fs.ErrExist)

// Add puts a record into the index. Of records with one uuid a build.json counts
// before a started.json, that before an imported.json, then the earlier start,
// whichever came first, so that an index filled anew says the same. One that does
// not count is refused with [ErrDuplicate]; what began the build that is there, or
// is there already, changes nothing.
// A record that is not acceptable is an error that wraps [vitrine.ErrRecord].
func (x *Index) Add(ctx context.Context, e Entry) error {
	duplicates, err := x.AddAll(ctx, []Entry{e})
	if err == nil && len(duplicates) > 0 {
		err = fmt.Errorf("add to index: build %s: %w", duplicates[0].UUID, ErrDuplicate)
	}
	return err
}

// AddAll puts several records into the index at once, all or none. It returns
// those that Add would refuse with [ErrDuplicate].
func (x *Index) AddAll(ctx context.Context, list []Entry) (duplicates []*vitrine.Record, err error) {
	var arrivals []arrival
	for _, e := range list {
		r, err := x.parse(e)
		if err != nil {
			return nil, fmt.Errorf("add to index: %w", err)
		}
		arrivals = append(arrivals, arrival{uuid: r.UUID, day: r.StartTime, parsed: &parsed{r, e}})
	}
	if _, duplicates, err = x.addAll(ctx, arrivals); err != nil {
		return nil, fmt.Errorf("add to index: %w", err)
	}
	return duplicates, nil
}

type parsed struct {
	record *vitrine.Record
	entry  Entry
}

// An arrival is what is new of a build: its record, marks, or both.
type arrival struct {
	uuid   string
	day    time.Time // a time on the day of its start
	parsed *parsed   // nil: no news
	marks  []marking
}

func (x *Index) parse(e Entry) (*vitrine.Record, error) {
	if len(e.Signature) > vitrine.MaxSignatureSize {
		return nil, fmt.Errorf("%w: a signature of %d bytes, more than %d", vitrine.ErrRecord, len(e.Signature), vitrine.MaxSignatureSize)
	}
	r, err := vitrine.ParseRecord(e.Record)
	if err != nil {
		return nil, err
	}
	if r.IsImported() && len(e.Signature) > 0 {
		return nil, fmt.Errorf("%w: it was imported, and there is a signature", vitrine.ErrRecord)
	}
	if r.Tenant != x.tenant {
		return nil, fmt.Errorf("%w: tenant: is %q, this history is %q", vitrine.ErrRecord, r.Tenant, x.tenant)
	}
	return r, nil
}

// addAll adds records and marks in one transaction, and returns the records that
// are refused as duplicates.
func (x *Index) addAll(ctx context.Context, list []arrival) (added int, duplicates []*vitrine.Record, err error) {
	err = x.change(ctx, func(w *writing) error {
		for _, a := range list {
			if a.parsed != nil {
				changed, err := x.add(ctx, w, *a.parsed)
				switch {
				case err == ErrDuplicate:
					duplicates = append(duplicates, a.parsed.record)
				case err != nil:
					return err
				case changed:
					added++
				}
			}
			for _, m := range a.marks {
				if err := x.mark(ctx, w, a.uuid, a.day, m); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
		}
		return nil
	})
	return added, duplicates, err
}

func (x *Index) add(ctx context.Context, w *writing, p parsed) (changed bool, err error) {
	r := p.record
	uuid := unhex(r.UUID)
	var id, start, ended, source int64
	err = w.row(ctx, "SELECT id, start, ended, source FROM builds WHERE uuid = ?", []any{uuid}, &id, &start, &ended, &source)
	there, comes := standingOf(ended != 0, source != 0), standingOf(!r.IsStarted(), r.IsImported())
	later := r.StartTime.Unix() - start
	switch {
	case err == sql.ErrNoRows:
		id = 0
	case err != nil:
		return false, err
	case comes > there:
		// takes the place
	case comes < there && later == 0: // what began the build
		return false, nil
	case comes < there, later > 0:
		return false, ErrDuplicate
	case later < 0:
		// takes the place
	default:
		var record []byte
		if err := w.QueryRowContext(ctx, "SELECT record FROM records WHERE build = ?", id).Scan(&record); err != nil {
			return false, err
		}
		if !bytes.Equal(record, p.entry.Record) {
			return false, ErrDuplicate
		}
		return false, nil
	}
	row, err := x.row(ctx, w.Tx, r)
	if err != nil {
		return false, err
	}
	if id == 0 {
		err = w.row(ctx, insertBuild, row, &id)
	} else if err = w.note(ctx, id, -1); err == nil {
		if err = w.exec(ctx, updateBuild, append(row, id)...); err == nil && later != 0 {
			err = dropMarks(ctx, w.Tx, id) // they are another build's
		}
	}
	if err == nil {
		err = w.note(ctx, id, 1)
	}
	if err != nil {
		return false, err
	}
	signature := p.entry.Signature
	if signature == nil {
		signature = []byte{}
	}
	err = w.exec(ctx, `INSERT INTO records (build, record, signature) VALUES (?, ?, ?)
		ON CONFLICT (build) DO UPDATE SET record = excluded.record, signature = excluded.signature`, id, p.entry.Record, signature)
	return err == nil, err
}

// A standing says which of the records of one uuid counts: the highest.
type standing int

const (
	isImported standing = iota + 1
	hasStarted
	hasEnded
)

func standingOf(ended, imported bool) standing {
	switch {
	case imported:
		return isImported
	case ended:
		return hasEnded
	}
	return hasStarted
}

// The columns of a build that its record gives, in the order of row.
const buildColumns = `start, uuid, series, service, job, buildset, change, ended, expires, sealed, public, bytes,
	patchset, ref, oldrev, newrev, ref_url, event_id, error_detail, keyring_commit, keyring_url, publisher, source`

const (
	buildValues = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
	insertBuild = "INSERT INTO builds (" + buildColumns + ") VALUES (" + buildValues + ") RETURNING id"
	// No build is interrupted that has ended, or that begins earlier than it was
	// thought to.
	updateBuild = "UPDATE builds SET (" + buildColumns + ", interrupted) = (" + buildValues + ", 0) WHERE id = ?"
)

// headPrefix is what the ref of a branch begins with.
const headPrefix = "refs/heads/"

func (x *Index) row(ctx context.Context, tx *sql.Tx, r *vitrine.Record) ([]any, error) {
	b := vitrine.Build{Record: *r}
	s := series{voting: r.Voting, held: b.Held(), final: b.Final()}
	head := ""
	if strings.HasPrefix(r.Ref.Ref, headPrefix) {
		head = r.Ref.Ref
	}
	for _, n := range []struct {
		number *int64
		name   string
	}{
		{&s.service, r.Service}, {&s.job, r.JobName}, {&s.project, r.Ref.Project}, {&s.branch, r.Ref.Branch},
		{&s.pipeline, r.Pipeline}, {&s.result, string(r.Result)}, {&s.nodeset, r.Nodeset}, {&s.head, head},
	} {
		if n.name == "" && (n.number == &s.nodeset || n.number == &s.head) {
			continue
		}
		var err error
		if *n.number, err = x.catalog.addName(ctx, tx, n.name); err != nil {
			return nil, err
		}
	}
	id, err := x.catalog.addSeries(ctx, tx, s)
	if err != nil {
		return nil, err
	}
	var source int64
	if r.IsImported() {
		if source, err = x.catalog.addName(ctx, tx, r.Imported.Source); err != nil {
			return nil, err
		}
	}
	sealed, public, size := count(r)
	return []any{
		r.StartTime.Unix(), unhex(r.UUID), id, s.service, s.job, unhex(r.Buildset), r.Ref.Change, unix(r.EndTime), unix(r.Expires),
		sealed, public, size,
		r.Ref.Patchset, r.Ref.Ref, r.Ref.OldRev, r.Ref.NewRev, r.Ref.RefURL, r.EventID, r.ErrorDetail,
		r.Keyring.Commit, r.Keyring.URL, r.Publisher, source,
	}, nil
}

// count sums up a record's artifacts.
func count(r *vitrine.Record) (sealed, public int, size int64) {
	for _, a := range r.Artifacts {
		if a.Sealed {
			sealed++
		} else {
			public++
		}
		size += a.Size
	}
	return sealed, public, size
}

// unhex is the bytes of an id that was checked before.
func unhex(uuid string) []byte {
	b, _ := hex.DecodeString(uuid)
	return b
}

// unix is t in seconds since 1970, and 0 for no time.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// fromUnix is the inverse of unix.
func fromUnix(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}
