package index

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io/fs"
	"iter"
	"time"

	"vitrine"
)

// Expired yields the uuids of the builds whose record says that they expire at
// now or before, and that are not marked as expired, in the order of builds. It
// is a hint: whether it is so, the bucket says.
func (x *Index) Expired(ctx context.Context, now time.Time) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		at := beforeAll
		for {
			list, err := x.expired(ctx, now, at)
			if err != nil {
				yield("", fmt.Errorf("list expired builds: %w", err))
				return
			}
			for _, p := range list {
				if !yield(hex.EncodeToString([]byte(p.uuid)), nil) {
					return
				}
			}
			if len(list) < MaxLimit {
				return
			}
			at = list[len(list)-1]
		}
	}
}

// expired is one page of what [Index.Expired] yields: what comes after a position.
func (x *Index) expired(ctx context.Context, now time.Time, after position) ([]position, error) {
	rows, err := x.read.QueryContext(ctx, `SELECT start, uuid FROM builds
		WHERE expires > 0 AND expires <= ? AND expired = 0 AND (start, uuid) > (?, ?) ORDER BY start, uuid LIMIT ?`,
		now.Unix(), after.start, []byte(after.uuid), MaxLimit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []position
	for rows.Next() {
		var p position
		if err := rows.Scan(&p.start, &p.uuid); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// LastSuccess returns the uuid of the last voting build of a job that was published
// and succeeded; [fs.ErrNotExist], if none did.
func (x *Index) LastSuccess(ctx context.Context, job string) (string, error) {
	var uuid []byte
	err := x.read.QueryRowContext(ctx, `SELECT uuid FROM builds
		WHERE job = (SELECT id FROM names WHERE name = ?) AND source = 0
		AND series IN (SELECT id FROM series WHERE voting <> 0 AND result = (SELECT id FROM names WHERE name = ?))
		ORDER BY start DESC, uuid DESC LIMIT 1`, job, vitrine.Success).Scan(&uuid)
	if err == sql.ErrNoRows {
		err = fs.ErrNotExist
	}
	if err != nil {
		return "", fmt.Errorf("last success of job %.60q: %w", job, err)
	}
	return hex.EncodeToString(uuid), nil
}
