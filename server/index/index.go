// Package index answers questions about a history quickly: which builds there
// were, of what, in which order. It is a SQLite file made from the records in a
// bucket, and the only place that speaks SQL.
//
// The index is a cache. The same records give the same answers, in whatever
// order they came, so the file may be deleted at any time and filled again with
// [Index.Sync]. It must never hold what is not in a record or a mark, and it checks no
// signature: it stores them for those who do.
package index

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"vitrine"
)

//go:embed schema.sql
var schema string

const (
	applicationID = 0x76697472 // "vitr", in the file's header: it is ours to delete
	schemaVersion = 4

	readers    = 4                // connections that read at once
	checkTime  = 2 * time.Second  // that opening may spend on looking for damage
	busyTime   = 10 * time.Second // to wait for another process's write
	readCache  = 8 << 10          // KiB for each reading connection
	writeCache = 16 << 10         // KiB
)

// Options say what an index is for.
type Options struct {
	// Tenant is the one whose records the index holds; others are refused.
	Tenant string
	// LostAfter is the time from a build's start after which it counts as lost
	// if it has not ended. Default 24 hours.
	LostAfter time.Duration
}

// An Index is one tenant's history, ready to be asked. Its methods may be
// called at the same time.
type Index struct {
	tenant    string
	lostAfter time.Duration
	whole     atomic.Bool // see schema.sql

	write    *sql.DB // one connection: SQLite has one writer anyway
	read     *sql.DB
	catalog  catalog
	sheets   sheets
	watch    watch
	overview overview
	broken   broken
	big      big
}

// errUnusable says that a file can't be used as the index and may be replaced.
var errUnusable = errors.New("not a usable index")

// Open opens the index in the file at path. Where there is none, or one of
// another version or tenant, or a damaged one, it makes an empty one, which
// [Index.Rebuilt] reports. A file that is no index at all is kept, with ".old"
// added to its name.
func Open(ctx context.Context, path string, o Options) (*Index, error) {
	if !vitrine.ValidName(o.Tenant) {
		return nil, fmt.Errorf("open index: tenant %q is not a name (lower-case letters, digits and . _ -)", o.Tenant)
	}
	if o.LostAfter <= 0 {
		o.LostAfter = 24 * time.Hour
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	x, err := open(ctx, path, o)
	if errors.Is(err, errUnusable) {
		if err := remove(path, errors.Is(err, errForeign)); err != nil {
			return nil, fmt.Errorf("open index: replace the old one: %w", err)
		}
		x, err = open(ctx, path, o)
	}
	if err != nil {
		return nil, fmt.Errorf("open index %s: %w", path, err)
	}
	return x, nil
}

// TenantOf is the tenant of the index in a file, for whoever must not replace that
// of another; empty, if there is no index that could be used.
func TenantOf(ctx context.Context, path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (info.Size() == 0 || !info.Mode().IsRegular()) {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("open index: %w", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", fmt.Errorf("open index: %w", err)
	}
	db, err := connect(path, 1, 0, "query_only(1)")
	if err != nil {
		return "", fmt.Errorf("open index %s: %w", path, err)
	}
	defer db.Close()
	var tenant string
	err = db.QueryRowContext(ctx, "SELECT name FROM tenant, pragma_application_id WHERE application_id = ?", applicationID).Scan(&tenant)
	if damaged(err) || errors.Is(err, sql.ErrNoRows) {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("open index %s: %w", path, err)
	}
	return tenant, nil
}

// errForeign is an errUnusable of a file that may be somebody's.
var errForeign = fmt.Errorf("%w: not made by vitrine, or damaged", errUnusable)

// remove takes the file out of the way, and its journal, which SQLite would
// otherwise apply to the next file of that name.
func remove(path string, keep bool) error {
	var err error
	if keep {
		err = os.Rename(path, path+".old")
	} else {
		err = os.Remove(path)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if e := os.Remove(path + suffix); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

func open(ctx context.Context, path string, o Options) (*Index, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err == nil && !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	}
	empty := err != nil || info.Size() == 0
	x := &Index{tenant: o.Tenant, lostAfter: o.LostAfter}
	if x.write, err = connect(path, 1, writeCache, "journal_mode(WAL)", "synchronous(NORMAL)", "temp_store(MEMORY)", "wal_autocheckpoint(8000)"); err != nil {
		return nil, err
	}
	if empty {
		err = x.create(ctx)
	} else {
		err = x.check(ctx)
	}
	if err == nil {
		x.read, err = connect(path, readers, readCache, "query_only(1)")
	}
	if err == nil {
		x.watch.db, err = connect(path, 1, 0, "query_only(1)")
	}
	if err != nil {
		x.write.Close()
		return nil, err
	}
	return x, nil
}

func connect(path string, connections, cache int, pragmas ...string) (*sql.DB, error) {
	q := url.Values{"_pragma": append([]string{
		fmt.Sprintf("busy_timeout(%d)", busyTime.Milliseconds()),
		fmt.Sprintf("cache_size(-%d)", cache),
	}, pragmas...)}
	if connections == 1 { // the writer waits its turn when it begins; it can't later
		q.Set("_txlock", "immediate")
	}
	file := filepath.ToSlash(path)
	if file[0] != '/' { // a Windows drive
		file = "/" + file
	}
	u := url.URL{Scheme: "file", Path: file, RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// create makes the tables in an empty file.
func (x *Index) create(ctx context.Context) error {
	tx, err := x.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, statement := range []string{
		schema, fmt.Sprintf("PRAGMA application_id = %d", applicationID), fmt.Sprintf("PRAGMA user_version = %d", schemaVersion),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO tenant (name) VALUES (?)", x.tenant); err != nil {
		return err
	}
	return tx.Commit()
}

// check is an errUnusable if the file is not an index of this version and
// tenant in good health.
func (x *Index) check(ctx context.Context) error {
	var id, version int
	err := x.write.QueryRowContext(ctx, "SELECT application_id, user_version FROM pragma_application_id, pragma_user_version").Scan(&id, &version)
	if damaged(err) || err == nil && id != applicationID {
		return errForeign
	} else if err != nil {
		return err
	}
	if version != schemaVersion {
		return fmt.Errorf("%w: version %d, want %d", errUnusable, version, schemaVersion)
	}
	var tenant string
	var whole bool
	err = x.write.QueryRowContext(ctx, "SELECT name, whole FROM tenant").Scan(&tenant, &whole)
	x.whole.Store(whole)
	if err == nil && tenant == x.tenant {
		// As much of the file as there is time for: all of one of some hundred
		// megabytes. Damage beyond that is an error when it is met.
		short, cancel := context.WithTimeout(ctx, checkTime)
		defer cancel()
		var verdict string
		err = x.write.QueryRowContext(short, "PRAGMA quick_check(1)").Scan(&verdict)
		if short.Err() != nil && ctx.Err() == nil || err == nil && verdict == "ok" {
			return nil
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && !damaged(err) && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return fmt.Errorf("%w: damaged, or of another tenant", errUnusable)
}

// damaged reports whether err says that the file is no database, a broken one,
// or one without our tables.
func damaged(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	code := e.Code() & 0xff
	return code == sqlite3.SQLITE_NOTADB || code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_ERROR
}

// Rebuilt reports whether the index was made anew and is still to be filled: no
// sync of all builds has ended without an error since, in this process or in
// one before it.
func (x *Index) Rebuilt() bool { return !x.whole.Load() }

// markWhole notes that the index holds all that the bucket does.
func (x *Index) markWhole(ctx context.Context) error {
	if x.whole.Load() {
		return nil
	}
	if _, err := x.write.ExecContext(ctx, "UPDATE tenant SET whole = 1"); err != nil {
		return err
	}
	x.whole.Store(true)
	return nil
}

// Close closes the index. The last process to do so leaves one file.
func (x *Index) Close() error {
	err := errors.Join(x.read.Close(), x.watch.close()) // first: the writer then folds the journal into the file
	return errors.Join(err, x.write.Close())
}

// cutoff is the start time before which a build that has not ended is lost.
func (x *Index) cutoff() int64 { return time.Now().Add(-x.lostAfter).Unix() }
