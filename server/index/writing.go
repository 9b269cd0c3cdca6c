package index

import (
	"context"
	"database/sql"
)

// A writing is a transaction that changes builds, and the sums of them that must
// follow before it ends: what it holds together, no reader sees apart.
type writing struct {
	*sql.Tx
	x          *Index
	statements map[string]*sql.Stmt
	buildsets  map[string]bool     // to sum up again
	days       map[day]tally       // to add
	listings   map[int64][]listing // on sheets, by day
}

// change makes one transaction of what f does.
func (x *Index) change(ctx context.Context, f func(w *writing) error) error {
	tx, err := x.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := x.catalog.update(ctx, tx); err != nil {
		return err
	}
	w := &writing{Tx: tx, x: x, statements: make(map[string]*sql.Stmt), buildsets: make(map[string]bool), days: make(map[day]tally), listings: make(map[int64][]listing)}
	if err := f(w); err != nil {
		return err
	}
	if err := w.addDays(ctx); err != nil {
		return err
	}
	if err := w.sumBuildsets(ctx); err != nil {
		return err
	}
	if err := w.writeSheets(ctx); err != nil {
		return err
	}
	return tx.Commit()
}

// prepared is a statement that one transaction says many times; it lives as long.
func (w *writing) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	s := w.statements[query]
	if s == nil {
		var err error
		if s, err = w.PrepareContext(ctx, query); err != nil {
			return nil, err
		}
		w.statements[query] = s
	}
	return s, nil
}

// exec runs a statement of constant text.
func (w *writing) exec(ctx context.Context, query string, args ...any) error {
	s, err := w.prepared(ctx, query)
	if err == nil {
		_, err = s.ExecContext(ctx, args...)
	}
	return err
}

// row reads one row by a query of constant text; [sql.ErrNoRows], if there is none.
func (w *writing) row(ctx context.Context, query string, args []any, dest ...any) error {
	s, err := w.prepared(ctx, query)
	if err != nil {
		return err
	}
	return s.QueryRowContext(ctx, args...).Scan(dest...)
}

// note takes note of a build: before its row changes, with times -1, and when it
// has, with times 1.
func (w *writing) note(ctx context.Context, build int64, times int) error {
	var buildset []byte
	var start, ended, number int64
	var patchset string
	var of series
	err := w.row(ctx, `SELECT buildset, start, ended, builds.series, patchset, series.service, series.job, series.result
		FROM builds JOIN series ON series.id = series WHERE builds.id = ?`, []any{build},
		&buildset, &start, &ended, &number, &patchset, &of.service, &of.job, &of.result)
	if err != nil {
		return err
	}
	w.buildsets[string(buildset)] = true
	w.list(start, newEntry(number, patchset), times)
	if ended != 0 {
		t := tally{times, int64(times) * (ended - start)}
		for _, d := range []day{{"service", of.service, start / daySeconds, of.result}, {"job", of.job, start / daySeconds, of.result}} {
			w.days[d] = tally{w.days[d].builds + t.builds, w.days[d].seconds + t.seconds}
		}
	}
	return nil
}
