// SPDX-License-Identifier: MPL-2.0

// Package catalog is the owner's database of what is kept and where: files
// and folders, the chunks they are made of, the segments those chunks lie in
// and the keepers that hold each shard. It is SQLite in WAL mode with full
// synchronisation: what a method acknowledged survives a power cut. One
// process at a time opens a catalog; the home's lock sees to that.
//
// A version's row exists only once every segment it needs is acknowledged, and
// a segment's row exists, marked as being written, before its first shard
// leaves this machine. So a crash leaves no half file and no shard that nobody
// remembers.
package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	_ "github.com/mattn/go-sqlite3" // the driver
)

// ErrNotFound: no such file or folder in the catalog.
var ErrNotFound = errors.New("is not kept here")

// ErrNewer: the catalog was written by a later version of the program.
var ErrNewer = errors.New("was written by a newer version of Preezm; update this program")

// Catalog is an open catalog. It is safe for concurrent use.
type Catalog struct {
	w *sql.DB // one connection: SQLite has one writer
	r *sql.DB
}

// Open opens the catalog at path, makes it when missing, and brings its
// schema up to date. Segments that a crash left half written are turned into
// deletions that wait for their keepers.
func Open(ctx context.Context, path string) (*Catalog, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	// A path may hold '?' or '%', which a URI gives a meaning, and one of
	// Windows has no slash before its drive.
	u := url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(filepath.ToSlash(abs), "/")}
	dsn := u.String() + "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=10000&_foreign_keys=on&_txlock=immediate&_cache_size=-8000"
	// SQLite gives its other files the same mode.
	f, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", explain(err))
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open catalog: %w", explain(err))
	}
	w, err := sql.Open("sqlite3", dsn)
	if err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", path, err)
	}
	w.SetMaxOpenConns(1)
	c := &Catalog{w: w}
	if err := c.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", path, err), w.Close())
	}
	if err := c.abandonWriting(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", path, err), w.Close())
	}
	c.r, err = sql.Open("sqlite3", dsn+"&_query_only=on")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", path, err), w.Close())
	}
	c.r.SetMaxOpenConns(4)
	c.r.SetMaxIdleConns(4)
	return c, nil
}

// Close releases the files.
func (c *Catalog) Close() error { return errors.Join(c.r.Close(), c.w.Close()) }

// write runs f in one transaction.
func (c *Catalog) write(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := c.w.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("catalog: %w", explain(err))
	}
	if err := f(tx); err != nil {
		return fmt.Errorf("catalog: %w", errors.Join(explain(err), ignoreDone(tx.Rollback())))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("catalog: %w", explain(err))
	}
	return nil
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// collect runs a query and scans each row with f.
func collect[T any](ctx context.Context, db interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}, f func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", explain(err))
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := f(rows)
		if err != nil {
			return nil, fmt.Errorf("catalog: %w", err)
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("catalog: %w", explain(err))
	}
	return out, nil
}
