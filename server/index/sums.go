package index

import (
	"context"
	"fmt"
	"slices"

	"vitrine"
)

// maxRefs bounds the refs of a buildset: the first ones count. Zuul's cycles of
// changes have a few.
const maxRefs = 32

// A sum is what a buildset's builds come to.
type sum struct {
	first       position // of the first build
	pipeline    int64    // and its name
	eventID     string
	open, ended int64 // see schema.sql
	failed      bool
	refs        []setRef
}

// A setRef is one ref of a buildset, its names by number.
type setRef struct {
	project, branch                       int64
	change                                int64
	patchset, ref, oldrev, newrev, refURL string
}

// sumBuildsets sums up the buildsets that a writing took note of. It goes by what
// their first [MaxLimit] builds are in the end, so it is the same in whatever order
// they came.
func (w *writing) sumBuildsets(ctx context.Context) error {
	for uuid := range w.buildsets {
		s, err := w.sum(ctx, []byte(uuid))
		if err == nil {
			err = w.putSum(ctx, []byte(uuid), s)
		}
		if err != nil {
			return fmt.Errorf("sum up buildset %x: %w", uuid, err)
		}
	}
	return nil
}

func (w *writing) sum(ctx context.Context, uuid []byte) (s sum, err error) {
	statement, err := w.prepared(ctx, fmt.Sprintf(`SELECT start, uuid, ended, interrupted <> 0, voting, event_id,
			project, branch, pipeline, name, change, patchset, ref, oldrev, newrev, ref_url
		FROM builds JOIN series ON series.id = series JOIN names ON names.id = result
		WHERE buildset = ? ORDER BY start, uuid LIMIT %d`, MaxLimit))
	if err != nil {
		return s, err
	}
	rows, err := statement.QueryContext(ctx, uuid)
	if err != nil {
		return s, err
	}
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		var at position
		var ended, pipeline int64
		var interrupted, voting bool
		var eventID string
		var result vitrine.Result
		var r setRef
		if err := rows.Scan(&at.start, &at.uuid, &ended, &interrupted, &voting, &eventID,
			&r.project, &r.branch, &pipeline, &result, &r.change, &r.patchset, &r.ref, &r.oldrev, &r.newrev, &r.refURL); err != nil {
			return s, err
		}
		if n == 0 {
			s.first, s.pipeline, s.eventID = at, pipeline, eventID
		}
		if ended == 0 && !interrupted {
			s.open = max(s.open, at.start)
		}
		if voting && result != vitrine.Success && result != "SKIPPED" {
			s.failed = true
		}
		s.ended = max(s.ended, ended)
		if len(s.refs) < maxRefs && !slices.Contains(s.refs, r) {
			s.refs = append(s.refs, r)
		}
	}
	return s, rows.Err()
}

// putSum puts the rows of a buildset in place of those it has.
func (w *writing) putSum(ctx context.Context, uuid []byte, s sum) error {
	for n, r := range s.refs {
		number, err := w.setSeries(ctx, s, r)
		if err != nil {
			return err
		}
		err = w.exec(ctx, `INSERT INTO buildsets
			(uuid, nth, start, series, change, open, failed, ended, patchset, ref, oldrev, newrev, ref_url, event_id)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (uuid, nth) DO UPDATE SET
			(start, series, change, open, failed, ended, patchset, ref, oldrev, newrev, ref_url, event_id) =
			(excluded.start, excluded.series, excluded.change, excluded.open, excluded.failed, excluded.ended,
			excluded.patchset, excluded.ref, excluded.oldrev, excluded.newrev, excluded.ref_url, excluded.event_id)`,
			uuid, n, s.first.start, number, r.change, s.open, s.failed, s.ended,
			r.patchset, r.ref, r.oldrev, r.newrev, r.refURL, s.eventID)
		if err != nil {
			return err
		}
	}
	return w.exec(ctx, "DELETE FROM buildsets WHERE uuid = ? AND nth >= ?", uuid, len(s.refs))
}

// setSeries is the number of a buildset's series.
func (w *writing) setSeries(ctx context.Context, s sum, r setRef) (int64, error) {
	none, err := w.x.catalog.addName(ctx, w.Tx, "")
	if err != nil {
		return 0, err
	}
	result := vitrine.Success
	switch {
	case s.open != 0:
		result = ""
	case s.failed:
		result = vitrine.Failure
	}
	number, err := w.x.catalog.addName(ctx, w.Tx, string(result))
	if err != nil {
		return 0, err
	}
	return w.x.catalog.addSeries(ctx, w.Tx, series{
		service: none, job: none, project: r.project, branch: r.branch, pipeline: s.pipeline, result: number,
	})
}
