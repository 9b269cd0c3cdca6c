package index

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"

	"vitrine"
)

// Builds returns a page of the builds that q asks for. Builds that come or end
// meanwhile move no other on or off a page that is named by its cursor.
func (x *Index) Builds(ctx context.Context, q Query) (Page, error) {
	c, err := q.check(x.cutoff())
	if err != nil {
		return Page{}, err
	}
	var page Page
	err = x.view(ctx, func(tx *sql.Tx) error {
		p, err := x.plan(ctx, tx, c)
		if err != nil {
			return err
		}
		w, skip := c.page, 0
		if c.Skip > 0 {
			if w, skip, err = p.after(ctx, tx, w, c.Skip); err != nil {
				return err
			}
		}
		back := q.After != ""
		list, err := p.choose(ctx, tx, w, back, skip+c.Limit+1)
		if err != nil {
			return err
		}
		list = list[min(skip, len(list)):]
		more := len(list) > c.Limit
		list = list[:min(len(list), c.Limit)]
		if back {
			slices.Reverse(list)
		}
		if page.Builds, err = x.builds(ctx, tx, list); err != nil || len(list) == 0 {
			return err
		}
		newest, oldest := list[0].position, list[len(list)-1].position
		isNewer, isOlder := more && back, more && !back
		// A cursor may be made up: only looking says what lies behind the page.
		if q.Before != "" || q.Skip > 0 {
			if isNewer, err = p.any(ctx, tx, window{newest, afterAll}); err != nil {
				return err
			}
		}
		if q.After != "" {
			if isOlder, err = p.any(ctx, tx, window{beforeAll, oldest}); err != nil {
				return err
			}
		}
		if isNewer {
			page.Newer = newest.cursor()
		}
		if isOlder {
			page.Older = oldest.cursor()
		}
		return nil
	})
	if err != nil {
		return Page{}, fmt.Errorf("list builds: %w", err)
	}
	return page, nil
}

// any reports whether a plan finds anything within a window. It looks from the
// window's end that the page is at.
func (p *plan) any(ctx context.Context, tx *sql.Tx, w window) (bool, error) {
	list, err := p.choose(ctx, tx, w, w.newest == afterAll, 1)
	return len(list) > 0, err
}

// view gives f one state of the index, which no write changes, and a catalog
// that knows all of it.
func (x *Index) view(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := x.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := x.catalog.update(ctx, tx); err != nil {
		return err
	}
	return f(tx)
}

// builds reads the rows of a list, in its order.
func (x *Index) builds(ctx context.Context, tx *sql.Tx, list []chosen) ([]vitrine.Build, error) {
	builds := make([]vitrine.Build, 0, len(list))
	at := make(map[int64]int, len(list))
	for part := range slices.Chunk(list, MaxLimit) {
		var ids []int64
		for _, c := range part {
			at[c.id] = len(at)
			ids = append(ids, c.id)
		}
		builds = builds[:len(at)]
		rows, err := tx.QueryContext(ctx, "SELECT id, "+buildColumns+", interrupted, kept, expired FROM builds WHERE true"+in("id", ids))
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			id, b, err := x.scan(rows)
			if err != nil {
				return nil, err
			}
			builds[at[id]] = b
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	return builds, nil
}

// scan reads a row of id, buildColumns and what marks say.
func (x *Index) scan(rows *sql.Rows) (int64, vitrine.Build, error) {
	b := vitrine.Build{Record: vitrine.Record{Version: vitrine.RecordVersion, Tenant: x.tenant}}
	var id, start, ended, expires, number, service, job, source, interrupted, kept, expired int64
	var uuid, buildset sql.RawBytes
	err := rows.Scan(&id, &start, &uuid, &number, &service, &job, &buildset, &b.Ref.Change, &ended, &expires,
		&b.Sealed, &b.Public, &b.Bytes,
		&b.Ref.Patchset, &b.Ref.Ref, &b.Ref.OldRev, &b.Ref.NewRev, &b.Ref.RefURL, &b.EventID, &b.ErrorDetail,
		&b.Keyring.Commit, &b.Keyring.URL, &b.Publisher, &source, &interrupted, &kept, &expired)
	if err != nil {
		return 0, b, err
	}
	names, all := x.catalog.snapshot()
	if number < 1 || number >= int64(len(all)) || source < 0 || source >= int64(len(names)) || len(uuid) != 16 || len(buildset) != 16 {
		return 0, b, fmt.Errorf("index: row %d is broken", id)
	}
	s := all[number]
	b.Service, b.JobName, b.Pipeline = names[s.service], names[s.job], names[s.pipeline]
	b.Ref.Project, b.Ref.Branch, b.Result = names[s.project], names[s.branch], vitrine.Result(names[s.result])
	b.Nodeset, b.Voting = names[s.nodeset], s.voting
	b.UUID, b.Buildset = hex.EncodeToString(uuid), hex.EncodeToString(buildset)
	b.StartTime, b.EndTime, b.Expires = fromUnix(start), fromUnix(ended), fromUnix(expires)
	b.Kept, b.Expired = kept != 0, fromUnix(expired)
	if source != 0 {
		b.Imported = &vitrine.Imported{Source: names[source], Held: s.held, Final: s.final}
	}
	if interrupted != 0 {
		b.Result = "" // that of its series is for filters
	}
	b.ID = b.Record.ID()
	b.State = x.state(&b.Record, interrupted != 0)
	return id, b, nil
}

func (x *Index) state(r *vitrine.Record, interrupted bool) vitrine.State {
	switch {
	case !r.IsStarted():
		return vitrine.Finished
	case interrupted:
		return vitrine.Interrupted
	case r.StartTime.Unix() < x.cutoff():
		return vitrine.Lost
	}
	return vitrine.Running
}

// Build returns the whole record of a build, and what is stored of it; callers
// share both and must not change them. The artifacts of an interrupted build are
// those of its mark. A build that is not in the index is [fs.ErrNotExist].
func (x *Index) Build(ctx context.Context, uuid string) (vitrine.Build, Entry, error) {
	if !vitrine.ValidUUID(uuid) {
		return vitrine.Build{}, Entry{}, fmt.Errorf("build %.60q: %w", uuid, fs.ErrNotExist)
	}
	m, err := x.marksOf(ctx, uuid)
	var p parsed
	if err == nil {
		p, err = x.record(ctx, uuid)
	}
	if err == sql.ErrNoRows {
		err = fs.ErrNotExist
	}
	if err != nil {
		return vitrine.Build{}, Entry{}, fmt.Errorf("build %s: %w", uuid, err)
	}
	return x.complete(p.record, m), p.entry, nil
}

// complete is the build of a whole record and its marks.
func (x *Index) complete(r *vitrine.Record, m marks) vitrine.Build {
	b := vitrine.Build{Record: *r, ID: r.ID(), Kept: m.kept, Expired: m.expired}
	b.State = x.state(r, m.interrupted != nil)
	if b.State == vitrine.Interrupted {
		b.Artifacts = partial(m.interrupted)
	}
	b.Sealed, b.Public, b.Bytes = count(&b.Record)
	return b
}

// record returns what is stored of a build, parsed; [sql.ErrNoRows], if nothing is.
func (x *Index) record(ctx context.Context, uuid string) (parsed, error) {
	v := version{uuid: uuid}
	var size int
	err := x.read.QueryRowContext(ctx, `SELECT start, ended, source, length(record) FROM builds JOIN records ON build = builds.id
		WHERE uuid = ?`, unhex(uuid)).Scan(&v.start, &v.ended, &v.source, &size)
	if err != nil {
		return parsed{}, err
	}
	if size > bigRecord {
		if p, ok := x.big.get(v); ok {
			return p, nil
		}
		x.big.parsing.Lock()
		defer x.big.parsing.Unlock()
		if p, ok := x.big.get(v); ok { // who held the lock may have wanted the same
			return p, nil
		}
	}
	var p parsed
	err = x.read.QueryRowContext(ctx, `SELECT start, ended, source, record, signature FROM builds JOIN records ON build = builds.id
		WHERE uuid = ?`, unhex(uuid)).Scan(&v.start, &v.ended, &v.source, &p.entry.Record, &p.entry.Signature)
	if err != nil {
		return parsed{}, err
	}
	if p.record, err = vitrine.ParseRecord(p.entry.Record); err != nil {
		return parsed{}, fmt.Errorf("in the index: %w", err)
	}
	if size > bigRecord {
		x.big.put(v, p)
	}
	return p, nil
}

// Buildset returns the builds of a buildset, oldest first, at most [MaxLimit]
// of them; none, if there is no such buildset.
func (x *Index) Buildset(ctx context.Context, uuid string) ([]vitrine.Build, error) {
	if !vitrine.ValidUUID(uuid) {
		return nil, nil
	}
	var builds []vitrine.Build
	err := x.view(ctx, func(tx *sql.Tx) error {
		list, err := having("buildset", unhex(uuid)).choose(ctx, tx, everything, true, MaxLimit)
		if err == nil {
			builds, err = x.builds(ctx, tx, list)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("buildset %s: %w", uuid, err)
	}
	return builds, nil
}
