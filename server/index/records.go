package index

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"

	"vitrine"
)

// pageBytes bounds the JSON of the records and marks that one call of Records
// parses; parsed they take about as much again. A thousand usual records have a
// fifth of it.
const pageBytes = 8 << 20

// Records completes at most [MaxLimit] builds of a list: their whole records, with
// readers and artifacts, as [Index.Build] has them; callers share them and must not
// change them. A build that went away meanwhile is left out. Where the records
// before it have used up 8 MiB, a build stays as it is: with fewer artifacts than
// Sealed and Public say.
func (x *Index) Records(ctx context.Context, builds []vitrine.Build) ([]vitrine.Build, error) {
	if len(builds) > MaxLimit {
		return nil, fmt.Errorf("%w: records of %d builds, more than %d", ErrQuery, len(builds), MaxLimit)
	}
	list := make([]vitrine.Build, 0, len(builds))
	err := x.view(ctx, func(tx *sql.Tx) error {
		found, err := sizes(ctx, tx, builds)
		if err != nil {
			return err
		}
		wanted, left := make(map[int64]*stored, len(found)), pageBytes
		for _, b := range builds {
			if s := found[b.UUID]; s != nil && s.size <= left && wanted[s.id] == nil {
				wanted[s.id] = s
				left -= s.size
			}
		}
		if err := x.readRecords(ctx, tx, wanted); err != nil {
			return err
		}
		for _, b := range builds {
			switch s := found[b.UUID]; {
			case s == nil:
			case wanted[s.id] == nil:
				list = append(list, b)
			default:
				list = append(list, x.complete(s.record, s.marks))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("records of %d builds: %w", len(builds), err)
	}
	return list, nil
}

// A stored record is one of a page, and what marks say of it.
type stored struct {
	version
	id          int64
	size        int // of record and mark, bytes
	interrupted bool
	record      *vitrine.Record // nil: not read yet
	marks       marks
}

// sizes finds the records of builds, by uuid, and how big they are.
func sizes(ctx context.Context, tx *sql.Tx, builds []vitrine.Build) (map[string]*stored, error) {
	found := make(map[string]*stored, len(builds))
	var uuids [][]byte
	for _, b := range builds {
		uuids = append(uuids, unhex(b.UUID))
	}
	if len(uuids) == 0 {
		return found, nil
	}
	rows, err := tx.QueryContext(ctx, `SELECT id, uuid, start, ended, source, interrupted <> 0, kept <> 0, expired, length(record) + coalesce(length(mark), 0)
		FROM builds JOIN records ON records.build = id LEFT JOIN marks ON marks.build = id AND kind = 'interrupted'
		WHERE true`+inBytes("uuid", uuids))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var uuid sql.RawBytes
	for rows.Next() {
		s := new(stored)
		var expired int64
		if err := rows.Scan(&s.id, &uuid, &s.start, &s.ended, &s.source, &s.interrupted, &s.marks.kept, &expired, &s.size); err != nil {
			return nil, err
		}
		s.uuid, s.marks.expired = hex.EncodeToString(uuid), fromUnix(expired)
		found[s.uuid] = s
	}
	return found, rows.Err()
}

// readRecords reads and parses records and the marks that they are interrupted.
func (x *Index) readRecords(ctx context.Context, tx *sql.Tx, wanted map[int64]*stored) error {
	var ids []int64
	big := 0
	for id, s := range wanted {
		if s.size > bigRecord && !s.interrupted {
			if p, ok := x.big.get(s.version); ok {
				s.record = p.record
				continue
			}
			big++
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil
	}
	if big > 0 {
		x.big.parsing.Lock()
		defer x.big.parsing.Unlock()
	}
	rows, err := tx.QueryContext(ctx, `SELECT records.build, record, signature, coalesce(mark, x'')
		FROM records LEFT JOIN marks ON marks.build = records.build AND kind = 'interrupted'
		WHERE true`+in("records.build", ids))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var p parsed
		var mark sql.RawBytes
		if err := rows.Scan(&id, &p.entry.Record, &p.entry.Signature, &mark); err != nil {
			return err
		}
		s := wanted[id]
		if p.record, err = vitrine.ParseRecord(p.entry.Record); err == nil && s.interrupted {
			s.marks.interrupted, err = vitrine.ParseMark(mark)
		}
		if err != nil {
			return fmt.Errorf("build %s, in the index: %w", s.uuid, err)
		}
		s.record = p.record
		if len(p.entry.Record) > bigRecord {
			x.big.put(s.version, p)
		}
	}
	return rows.Err()
}
