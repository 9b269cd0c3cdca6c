package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"vitrine"
	"vitrine/storage"
)

// markColumns are the columns that marks set, which are their names here too.
var markColumns = map[vitrine.KeyKind]string{
	vitrine.InterruptedKind: "interrupted",
	vitrine.KeptKind:        "kept",
	vitrine.ExpiredKind:     "expired",
}

// A marking is a mark that came, or went.
type marking struct {
	kind   vitrine.KeyKind
	mark   *vitrine.Mark // nil: it went
	text   []byte
	stored int64 // see schema.sql
}

// Mark puts a mark of a build into the index; [fs.ErrNotExist], if the index does
// not have the build. A build that has ended is not interrupted, whatever a mark
// says.
func (x *Index) Mark(ctx context.Context, kind vitrine.KeyKind, text []byte) error {
	mark, err := vitrine.ParseMark(text)
	if err == nil {
		err = x.markNow(ctx, mark.UUID, marking{kind: kind, mark: mark, text: text})
	}
	if err != nil {
		return fmt.Errorf("mark in index: %w", err)
	}
	return nil
}

// Unmark removes a mark from the index. One that is not there is no error.
func (x *Index) Unmark(ctx context.Context, kind vitrine.KeyKind, uuid string) error {
	err := x.markNow(ctx, uuid, marking{kind: kind})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unmark in index: %w", err)
	}
	return nil
}

func (x *Index) markNow(ctx context.Context, uuid string, m marking) error {
	return x.change(ctx, func(w *writing) error { return x.mark(ctx, w, uuid, time.Time{}, m) })
}

// mark sets or removes one mark of the build that began on a day; on any day, if
// that is zero.
func (x *Index) mark(ctx context.Context, w *writing, uuid string, day time.Time, m marking) error {
	column := markColumns[m.kind]
	var id, start, ended, number int64
	err := w.QueryRowContext(ctx, "SELECT id, start, ended, series FROM builds WHERE uuid = ?", unhex(uuid)).Scan(&id, &start, &ended, &number)
	if err == sql.ErrNoRows || err == nil && !day.IsZero() && vitrine.DayPrefix(fromUnix(start)) != vitrine.DayPrefix(day) {
		return fmt.Errorf("build %s: %w", uuid, fs.ErrNotExist)
	}
	if err != nil {
		return err
	}
	at := int64(0)
	if m.mark == nil {
		_, err = w.ExecContext(ctx, "DELETE FROM marks WHERE build = ? AND kind = ?", id, column)
	} else {
		at = m.mark.Time.Unix()
		text := m.text
		if m.kind != vitrine.InterruptedKind {
			text = []byte{}
		}
		_, err = w.ExecContext(ctx, `INSERT INTO marks (build, kind, stored, mark) VALUES (?, ?, ?, ?)
			ON CONFLICT (build, kind) DO UPDATE SET stored = excluded.stored, mark = excluded.mark`, id, column, m.stored, text)
	}
	if err != nil {
		return err
	}
	if m.kind != vitrine.InterruptedKind {
		_, err = w.ExecContext(ctx, "UPDATE builds SET "+column+" = ? WHERE id = ?", at, id)
		return err
	}
	if ended != 0 {
		return nil
	}
	result := ""
	var r vitrine.Record
	if m.mark != nil {
		result, r.Artifacts = resultLost, partial(m.mark)
	}
	if err := w.note(ctx, id, -1); err != nil {
		return err
	}
	if number, err = x.otherResult(ctx, w.Tx, number, result); err != nil {
		return err
	}
	sealed, public, size := count(&r)
	_, err = w.ExecContext(ctx, "UPDATE builds SET interrupted = ?, series = ?, sealed = ?, public = ?, bytes = ? WHERE id = ?",
		at, number, sealed, public, size, id)
	if err != nil {
		return err
	}
	return w.note(ctx, id, 1)
}

// otherResult is the series with the names of another and a result.
func (x *Index) otherResult(ctx context.Context, tx *sql.Tx, number int64, result string) (int64, error) {
	var s series // the catalog may not have what this transaction added
	err := tx.QueryRowContext(ctx, "SELECT "+seriesColumns+" FROM series WHERE id = ?", number).Scan(s.values()...)
	if err == nil {
		s.result, err = x.catalog.addName(ctx, tx, result)
	}
	if err != nil {
		return 0, err
	}
	return x.catalog.addSeries(ctx, tx, s)
}

// dropMarks removes all marks of a build.
func dropMarks(ctx context.Context, tx *sql.Tx, id int64) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM marks WHERE build = ?", id); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE builds SET kept = 0, expired = 0 WHERE id = ?", id)
	return err
}

// marks are what the marks of a build say.
type marks struct {
	interrupted *vitrine.Mark
	kept        bool
	expired     time.Time
}

// marksOf reads the marks of a build; [sql.ErrNoRows], if there is no such build.
func (x *Index) marksOf(ctx context.Context, uuid string) (marks, error) {
	var m marks
	var interrupted bool
	var expired int64
	var text []byte
	err := x.read.QueryRowContext(ctx, `SELECT interrupted <> 0, kept <> 0, expired, mark
		FROM builds LEFT JOIN marks ON build = id AND kind = 'interrupted' WHERE uuid = ?`, unhex(uuid)).
		Scan(&interrupted, &m.kept, &expired, &text)
	if err != nil {
		return marks{}, err
	}
	m.expired = fromUnix(expired)
	if interrupted {
		if m.interrupted, err = vitrine.ParseMark(text); err != nil {
			return marks{}, fmt.Errorf("in the index: %w", err)
		}
	}
	return m, nil
}

// partial are the artifacts of an interrupted build. No hash of them is known.
func partial(m *vitrine.Mark) []vitrine.Artifact {
	var list []vitrine.Artifact
	for _, p := range m.Partial {
		a := vitrine.Artifact{Path: p.Path, Size: p.Size, Sealed: strings.HasSuffix(p.Path, vitrine.SealedRawSuffix)}
		a.Name, a.MediaType = a.PlainPath(), "application/octet-stream"
		list = append(list, a)
	}
	return list
}

// note takes note of a mark in the index.
func (b *indexed) note(column string, stored int64) {
	for kind, name := range markColumns {
		if name == column {
			if b.marks == nil {
				b.marks = make(map[vitrine.KeyKind]int64)
			}
			b.marks[kind] = stored
		}
	}
}

// newMarks are the kinds of the marks that are there and not in the index as they
// are, or are in the index and not there.
func (f *found) newMarks() []vitrine.KeyKind {
	var kinds []vitrine.KeyKind
	for _, kind := range []vitrine.KeyKind{vitrine.InterruptedKind, vitrine.KeptKind, vitrine.ExpiredKind} {
		o, there := f.marks[kind]
		stored, known := f.had.marks[kind]
		if there != known || there && stored != o.ModTime.UnixMilli() {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// readMarks reads the marks that the index has not, or has otherwise.
func (s *syncer) readMarks(ctx context.Context, f found) []marking {
	var list []marking
	for _, kind := range f.newMarks() {
		m := marking{kind: kind}
		if o, there := f.marks[kind]; there {
			var ok bool
			if m, ok = s.readMark(ctx, f.uuid, kind, o); !ok {
				continue
			}
		}
		list = append(list, m)
	}
	return list
}

// readMark reads one mark. A broken one is like none; ok is false if it can't be
// read now.
func (s *syncer) readMark(ctx context.Context, uuid string, kind vitrine.KeyKind, o storage.Object) (m marking, ok bool) {
	if o.Size > bigRecord {
		s.big.Lock()
		defer s.big.Unlock()
	}
	m = marking{kind: kind, stored: o.ModTime.UnixMilli()}
	err := fmt.Errorf("%w: more than %d bytes", vitrine.ErrMark, vitrine.MaxMarkSize)
	if o.Size <= vitrine.MaxMarkSize {
		m.text, err = s.readAll(ctx, o.Key, vitrine.MaxMarkSize)
	}
	if err == nil {
		m.mark, err = vitrine.ParseMark(m.text)
	}
	if err == nil && m.mark.UUID != uuid {
		err = fmt.Errorf("%w: it is that of build %s", vitrine.ErrMark, m.mark.UUID)
	}
	switch {
	case err == nil:
		return m, true
	case ctx.Err() != nil: // which Sync itself reports
	case errors.Is(err, vitrine.ErrMark), errors.Is(err, vitrine.ErrRecord):
		s.x.broken.add(markVersion(o))
		s.problem(o.Key, err)
		return marking{kind: kind}, true
	case errors.Is(err, fs.ErrNotExist): // removed since it was listed: the next sync sees it gone
	default:
		s.retryLater(o.Key, err)
	}
	return m, false
}

// markVersion names one of the objects that may lie under a mark's key one after
// the other: a broken one may give way to a good one.
func markVersion(o storage.Object) string {
	return fmt.Sprintf("%s %d", o.Key, o.ModTime.UnixMilli())
}
