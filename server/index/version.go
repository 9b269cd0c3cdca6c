package index

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
)

// A watch sees whether the file changes. SQLite tells each connection of what
// others wrote, so it has one of its own that never writes.
type watch struct {
	db *sql.DB

	mu      sync.Mutex
	conn    *sql.Conn // nil: none yet, or it failed
	last    int64     // what that connection said
	version int64
}

// Version changes whenever what the index holds does, whoever changed it. It
// means something only while this Index is open, and says nothing of builds that
// are lost as time passes.
func (x *Index) Version(ctx context.Context) (int64, error) {
	w := &x.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn == nil {
		conn, err := w.db.Conn(ctx)
		if err != nil {
			return 0, fmt.Errorf("version of the index: %w", err)
		}
		w.conn, w.last = conn, -1 // each connection counts for itself
	}
	var now int64
	if err := w.conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&now); err != nil {
		if ctx.Err() == nil {
			w.conn.Close()
			w.conn = nil
		}
		return 0, fmt.Errorf("version of the index: %w", err)
	}
	if now != w.last {
		w.last = now
		w.version++
	}
	return w.version, nil
}

func (w *watch) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		w.conn.Close() // or the next line leaves it open
		w.conn = nil
	}
	return w.db.Close()
}
