package index

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"vitrine"
	"vitrine/storage"
)

const (
	syncReaders  = 8         // objects read at once
	batchRecords = 1024      // records added in one transaction, at most
	batchBytes   = 4 << 20   // of records kept for it, about
	bigRecord    = 256 << 10 // records above this many bytes are parsed one at a time
	maxProblems  = 100       // that a report lists
	maxProblem   = 500       // bytes of one
)

// firstDay is the earliest that a record can have.
var firstDay = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// A Report says what a sync found.
type Report struct {
	Builds int // builds in the bucket, on the days that were looked at
	Added  int // records that the index did not have
	// Problems are the records that were passed over, and why; at most some
	// hundred. A broken one is read and reported once, then ignored as long as
	// the index is open.
	Problems []string
}

// Sync adds the records in a bucket that the index does not have, of builds
// that began on since's day in UTC or later; of all builds, if since is zero.
// What is there already costs only the listing.
//
// A record that is broken is reported and stops nothing. One that can't be read
// now stops nothing either, but then the sync ends in an error, as it must be
// tried again; so it does where one of several stores is not available, which is
// [storage.ErrIncomplete]. A bucket that can't be listed ends it where it is.
func (x *Index) Sync(ctx context.Context, from storage.Reader, since time.Time) (Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &syncer{x: x, from: from, found: make(chan found), read: make(chan arrival)}
	var readers sync.WaitGroup
	for range syncReaders {
		readers.Go(func() {
			for f := range s.found {
				s.readBuild(ctx, f)
			}
		})
	}
	go func() {
		err := s.list(ctx, since)
		close(s.found)
		readers.Wait()
		if err != nil {
			cancel(err)
		}
		close(s.read)
	}()
	// What was read before a failure is still good, and added.
	err := s.addAll(context.WithoutCancel(ctx), func() { cancel(errors.New("stopped")) })
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil && s.unread > 0 {
		err = fmt.Errorf("%w: %d, such as %s", ErrUnreadable, s.unread, s.example)
	}
	if err == nil && since.IsZero() {
		err = x.markWhole(ctx)
	}
	if s.more > 0 {
		s.report.Problems = append(s.report.Problems, fmt.Sprintf("and %d more", s.more))
	}
	if err != nil {
		return s.report, fmt.Errorf("sync index: %w", err)
	}
	return s.report, nil
}

// ErrUnreadable says that a sync has added all records but some that the bucket
// lists and does not give out now.
var ErrUnreadable = errors.New("records that can't be read now")

// A syncer is one sync under way.
type syncer struct {
	x     *Index
	from  storage.Reader
	found chan found   // what the index lacks
	read  chan arrival // what of it is acceptable

	big sync.Mutex // held to parse a big record, or mark

	mu      sync.Mutex
	report  Report
	more    int    // problems beyond those in the report
	unread  int    // records that can't be read now
	example string // one of them, and why
}

// A found build is one whose records the index does not have, or not the last, or
// whose marks are others than it has.
type found struct {
	day     time.Time
	uuid    string
	records [hasEnded + 1]storage.Object // by standing; without a key: not there
	marks   map[vitrine.KeyKind]storage.Object
	had     indexed
}

// indexed is what the index has of a build.
type indexed struct {
	standing standing                  // 0: it does not know the build
	marks    map[vitrine.KeyKind]int64 // when they were stored
}

// news are the standings of the records that count before what the index has, the
// highest first.
func (f *found) news() []standing {
	var list []standing
	for _, s := range []standing{hasEnded, hasStarted, isImported} {
		if f.records[s].Key != "" && s > f.had.standing {
			list = append(list, s)
		}
	}
	return list
}

// list looks for builds that the index lacks.
func (s *syncer) list(ctx context.Context, since time.Time) error {
	if since.IsZero() {
		return s.listPrefix(ctx, vitrine.RecordsPrefix)
	}
	if since.Before(firstDay) {
		since = firstDay
	}
	// A runner's clock may be ahead of ours, but not by a day.
	end := time.Now().Add(24 * time.Hour)
	var incomplete error
	for day := since.UTC().Truncate(24 * time.Hour); !day.After(end); day = day.AddDate(0, 0, 1) {
		err := s.listPrefix(ctx, vitrine.DayPrefix(day))
		if errors.Is(err, storage.ErrIncomplete) {
			incomplete = err
		} else if err != nil {
			return err
		}
	}
	return incomplete
}

// listPrefix goes through records in the order of their keys, so by day, then
// by build.
func (s *syncer) listPrefix(ctx context.Context, prefix string) error {
	var have map[string]*indexed // of the day, by uuid
	var f found
	flush := func() error {
		if f.uuid == "" {
			return nil
		}
		if had := have[f.uuid]; had != nil {
			f.had = *had
		}
		if f.had.standing > 0 && len(f.news()) == 0 && len(f.newMarks()) == 0 {
			s.count(1)
			return nil
		}
		select {
		case s.found <- f:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for o, err := range s.from.List(ctx, prefix) {
		if errors.Is(err, storage.ErrIncomplete) {
			return cmp.Or(flush(), err) // what there is was listed
		} else if err != nil {
			return err
		}
		key, err := vitrine.ParseKey(o.Key)
		if s.x.broken.has(o.Key) || s.x.broken.has(markVersion(o)) {
			continue
		}
		if err != nil {
			s.passOver(o.Key, err)
			continue
		}
		if key.UUID != f.uuid || !key.Day.Equal(f.day) {
			if err := flush(); err != nil {
				return err
			}
			if have == nil || !key.Day.Equal(f.day) {
				if have, err = s.x.indexedOn(ctx, key.Day); err != nil {
					return err
				}
			}
			f = found{day: key.Day, uuid: key.UUID}
		}
		switch key.Kind {
		case vitrine.StartedKind:
			f.records[hasStarted] = o
		case vitrine.RecordKind:
			f.records[hasEnded] = o
		case vitrine.ImportedKind:
			f.records[isImported] = o
		case vitrine.InterruptedKind, vitrine.KeptKind, vitrine.ExpiredKind:
			if f.marks == nil {
				f.marks = make(map[vitrine.KeyKind]storage.Object)
			}
			f.marks[key.Kind] = o
		}
	}
	return flush()
}

// indexedOn are the builds of a day that the index has.
func (x *Index) indexedOn(ctx context.Context, day time.Time) (map[string]*indexed, error) {
	rows, err := x.read.QueryContext(ctx, `SELECT uuid, ended <> 0, source <> 0, kind, stored FROM builds LEFT JOIN marks ON build = id
		WHERE start >= ? AND start < ?`, day.Unix(), day.AddDate(0, 0, 1).Unix())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	have := make(map[string]*indexed)
	var uuid sql.RawBytes
	var ended, imported bool
	var kind sql.NullString
	var stored sql.NullInt64
	for rows.Next() {
		if err := rows.Scan(&uuid, &ended, &imported, &kind, &stored); err != nil {
			return nil, err
		}
		b := have[hex.EncodeToString(uuid)]
		if b == nil {
			b = &indexed{standing: standingOf(ended, imported)}
			have[hex.EncodeToString(uuid)] = b
		}
		if kind.Valid {
			b.note(kind.String, stored.Int64)
		}
	}
	return have, rows.Err()
}

// readBuild reads the record that says most about a build, and its marks.
func (s *syncer) readBuild(ctx context.Context, f found) {
	a := arrival{uuid: f.uuid, day: f.day}
	for _, standing := range f.news() {
		if a.parsed = s.readRecord(ctx, f.records[standing]); a.parsed != nil {
			break
		}
	}
	switch {
	case a.parsed != nil:
	case f.had.standing > 0:
		s.count(1)
	default:
		return
	}
	if a.marks = s.readMarks(ctx, f); a.parsed != nil || len(a.marks) > 0 {
		s.read <- a
	}
}

// readRecord reads and parses one record; what it returns is nil if it can't.
func (s *syncer) readRecord(ctx context.Context, o storage.Object) *parsed {
	if o.Size > bigRecord {
		s.big.Lock()
		defer s.big.Unlock()
	}
	p, err := s.parse(ctx, o.Key)
	switch {
	case ctx.Err() != nil: // which Sync itself reports
	case err == nil:
		return &p
	case errors.Is(err, vitrine.ErrRecord):
		s.passOver(o.Key, err)
	case errors.Is(err, fs.ErrNotExist): // deleted since it was listed
		s.problem(o.Key, err)
	default:
		s.retryLater(o.Key, err)
	}
	return nil
}

func (s *syncer) parse(ctx context.Context, key string) (p parsed, err error) {
	if p.entry.Record, err = s.readAll(ctx, key, vitrine.MaxRecordSize); err != nil {
		return p, err
	}
	if k, _ := vitrine.ParseKey(key); k.Kind != vitrine.ImportedKind {
		p.entry.Signature, err = s.readAll(ctx, vitrine.SignatureKey(key), vitrine.MaxSignatureSize)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // unsigned is for others to judge
			return p, err
		}
	}
	if p.record, err = s.x.parse(p.entry); err != nil {
		return p, err
	}
	if key != p.record.Key() {
		return p, fmt.Errorf("%w: it is that of another build or state: uuid %s, start %s, result %q",
			vitrine.ErrRecord, p.record.UUID, p.record.StartTime.Format(time.RFC3339), p.record.Result)
	}
	return p, nil
}

func (s *syncer) readAll(ctx context.Context, key string, limit int64) ([]byte, error) {
	r, err := s.from.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%w: more than %d bytes", vitrine.ErrRecord, limit)
	}
	return b, err
}

// addAll adds what was read, many records at a time, until there is no more. On
// failure it calls stop and reads on, so that nobody waits for it.
func (s *syncer) addAll(ctx context.Context, stop func()) error {
	var batch []arrival
	var failed error
	size, records := 0, 0
	flush := func() {
		if len(batch) == 0 {
			return
		}
		added, duplicates, err := s.x.addAll(ctx, batch)
		if err != nil {
			failed = err
			stop()
			return
		}
		for _, r := range duplicates {
			if r.IsImported() { // of a build that was published: nothing is wrong
				s.x.broken.add(r.Key())
				continue
			}
			s.passOver(r.Key(), ErrDuplicate)
			records--
		}
		s.count(records) // whichever of two came first
		s.report.Added += added
		clear(batch)
		batch, size, records = batch[:0], 0, 0
	}
	for a := range s.read {
		if failed != nil {
			continue
		}
		batch = append(batch, a)
		if a.parsed != nil {
			size += len(a.parsed.entry.Record)
			records++
		}
		for _, m := range a.marks {
			size += len(m.text)
		}
		if len(batch) >= batchRecords || size >= batchBytes {
			flush()
		}
	}
	if failed == nil {
		flush()
	}
	return failed
}

func (s *syncer) count(n int) {
	s.mu.Lock()
	s.report.Builds += n
	s.mu.Unlock()
}

// passOver reports what holds no record for this index, and never will.
func (s *syncer) passOver(key string, err error) {
	s.x.broken.add(key)
	s.problem(key, err)
}

func (s *syncer) problem(key string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.report.Problems) < maxProblems {
		s.report.Problems = append(s.report.Problems, describe(key, err))
	} else {
		s.more++
	}
}

// retryLater notes a record that the store does not give out now. The example
// is that of the first key: from one sync to the next the same.
func (s *syncer) retryLater(key string, err error) {
	text := describe(key, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unread == 0 || text < s.example {
		s.example = text
	}
	s.unread++
}

func describe(key string, err error) string {
	text := fmt.Sprintf("%s: %v", key, err)
	if len(text) > maxProblem {
		text = text[:maxProblem] + "…"
	}
	return text
}
