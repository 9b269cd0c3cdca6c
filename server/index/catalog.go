package index

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
)

// A series is a combination of names, each by its number, and flags; see schema.sql.
type series struct {
	service, job, project, branch, pipeline, result int64
	nodeset, head                                   int64 // 0: none
	voting, held, final                             bool
}

const seriesColumns = "service, job, project, branch, pipeline, result, nodeset, head, voting, held, final"

// values are those of seriesColumns, to read and to write.
func (s *series) values() []any {
	return []any{&s.service, &s.job, &s.project, &s.branch, &s.pipeline, &s.result, &s.nodeset, &s.head, &s.voting, &s.held, &s.final}
}

// A catalog holds all names and series in memory: whatever a list is filtered
// by is settled here, before any build is looked at. Rows of both tables are
// only ever added, so what is here is never wrong, and update reads what is new.
type catalog struct {
	mu      sync.RWMutex
	names   []string // by number; numbers start at 1
	numbers map[string]int64
	series  []series // by number; numbers start at 1
	ids     map[series]int64
}

// update reads what tx sees and the catalog does not have.
func (c *catalog) update(ctx context.Context, tx *sql.Tx) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.numbers == nil {
		c.names, c.numbers = make([]string, 1), make(map[string]int64)
		c.series, c.ids = make([]series, 1), make(map[series]int64)
	}
	rows, err := tx.QueryContext(ctx, "SELECT id, name FROM names WHERE id >= ? ORDER BY id", len(c.names))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			return err
		}
		if id != int64(len(c.names)) {
			return fmt.Errorf("index: name %d where %d was due", id, len(c.names))
		}
		c.names = append(c.names, name)
		c.numbers[name] = id
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows, err = tx.QueryContext(ctx, "SELECT id, "+seriesColumns+" FROM series WHERE id >= ? ORDER BY id", len(c.series))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var s series
		if err := rows.Scan(append([]any{&id}, s.values()...)...); err != nil {
			return err
		}
		// The names were read first, but from the same state of the file.
		last := int64(len(c.names)) - 1
		if id != int64(len(c.series)) || max(s.service, s.job, s.project, s.branch, s.pipeline, s.result, s.nodeset, s.head) > last ||
			min(s.service, s.job, s.project, s.branch, s.pipeline, s.result, s.nodeset+1, s.head+1) < 1 {
			return fmt.Errorf("index: series %d does not fit the others", id)
		}
		c.series = append(c.series, s)
		c.ids[s] = id
	}
	return rows.Err()
}

// snapshot returns names and series by number. Neither changes any more.
func (c *catalog) snapshot() ([]string, []series) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.names, c.series
}

// number is the number of a name, or 0.
func (c *catalog) number(name string) int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.numbers[name]
}

// id is the number of a series, or 0.
func (c *catalog) id(s series) int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.ids[s]
}

// addName gives name a number. tx is the writer's, who alone adds rows. The
// catalog learns of it once it is committed.
func (c *catalog) addName(ctx context.Context, tx *sql.Tx, name string) (int64, error) {
	if id := c.number(name); id > 0 {
		return id, nil
	}
	return addRow(ctx, tx, "SELECT id FROM names WHERE name = ?", "INSERT INTO names (name) VALUES (?)", name)
}

// addSeries gives a series a number, likewise.
func (c *catalog) addSeries(ctx context.Context, tx *sql.Tx, s series) (int64, error) {
	if id := c.id(s); id > 0 {
		return id, nil
	}
	return addRow(ctx, tx,
		"SELECT id FROM series WHERE ("+seriesColumns+") = (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		"INSERT INTO series ("+seriesColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		s.values()...)
}

func addRow(ctx context.Context, tx *sql.Tx, find, insert string, args ...any) (id int64, err error) {
	err = tx.QueryRowContext(ctx, find, args...).Scan(&id)
	if err == sql.ErrNoRows {
		err = tx.QueryRowContext(ctx, insert+" RETURNING id", args...).Scan(&id)
	}
	return id, err
}
