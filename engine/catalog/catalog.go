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
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/shardlist"
	"github.com/preezm/preezm/peers/sqlite"
)

// ErrNotFound: no such file or folder in the catalog.
var ErrNotFound = said.Error("name-not-found", "is not kept here")

// ErrNotThen is an ErrNotFound about a moment that has passed.
var ErrNotThen = said.Wrap(ErrNotFound, "name-not-then", "was not kept at that moment")

// ErrNewer: the catalog was written by a later version of the program.
var ErrNewer = said.Error("catalog-newer", "was written by a newer version of Preezm; update this program")

// Catalog is an open catalog. It is safe for concurrent use.
type Catalog struct {
	w *sql.DB // one connection: SQLite has one writer
	r *sql.DB

	opened int64        // what Changes counts from
	aside  atomic.Int64 // rows it leaves out
	now    func() time.Time

	together atomic.Pointer[together]

	// Shards are named in this epoch, by rising numbers; see epochs.go.
	epoch shardlist.Tag
	named uint64
}

// cacheKiB is the page cache of the connection that writes, readerKiB that of
// each of the four that read. More made no reader faster that was measured: not
// a listing of 100,000 files, not 10,000 chunks looked up among 30,000.
const cacheKiB, readerKiB = 8000, 2000

// logPages is 16 MiB of log. A put of many small files writes pages of the
// indexes of random names again and again.
const logPages = 4000

// Open opens the plain catalog at path; see OpenSealed.
func Open(ctx context.Context, path string) (*Catalog, error) { return OpenSealed(ctx, path, nil) }

// OpenSealed opens the catalog at path, encrypted with key unless that is nil,
// makes it when missing, and brings its schema up to date. Segments that a
// crash left half written are turned into deletions that wait for their
// keepers.
func OpenSealed(ctx context.Context, path string, key []byte) (*Catalog, error) {
	c, err := openAt(ctx, path, key, len(migrations))
	if err != nil {
		return nil, err
	}
	if err := c.ready(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", path, err), c.Close())
	}
	return c, nil
}

// ready puts right what a crash left.
func (c *Catalog) ready(ctx context.Context) error {
	if err := c.abandonWriting(ctx); err != nil {
		return err
	}
	var err error
	c.opened, err = totalChanges(ctx, c.w)
	return err
}

// openAt opens or makes a catalog whose schema has at least that many steps.
func openAt(ctx context.Context, path string, key []byte, steps int) (*Catalog, error) {
	o := sqlite.Options{Key: key, CacheKiB: cacheKiB, LogPages: logPages}
	w, err := sqlite.Open(path, o)
	if err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", path, explain(err))
	}
	w.SetMaxOpenConns(1)
	c := &Catalog{w: w, now: time.Now}
	rand.Read(c.epoch[:])
	if err := c.migrate(ctx, steps); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", path, explain(err)), w.Close())
	}
	o.ReadOnly, o.CacheKiB = true, readerKiB
	c.r, err = sqlite.Open(path, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", path, err), w.Close())
	}
	c.r.SetMaxOpenConns(4)
	c.r.SetMaxIdleConns(4)
	return c, nil
}

// SetClock has times be what now says. It is called before anything is written.
func (c *Catalog) SetClock(now func() time.Time) { c.now = now }

// Close releases the files.
func (c *Catalog) Close() error { return errors.Join(c.r.Close(), c.w.Close()) }

// write runs f in one transaction, which takes the mark away that the newest
// backup says all there is when f changed anything, see marked.go.
func (c *Catalog) write(ctx context.Context, f func(*sql.Tx) error) error {
	return c.transact(ctx, func(tx *sql.Tx) error { return c.counted(ctx, tx, f) })
}

// transact runs f in one transaction.
func (c *Catalog) transact(ctx context.Context, f func(*sql.Tx) error) error {
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
func collect[T any](ctx context.Context, db queryer, f func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
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

// byDevice runs a query and scans each row with f, which gives the device that
// the row is of apart.
func byDevice[T any](ctx context.Context, db queryer, f func(rows *sql.Rows, device *[]byte) (T, error), query string, args ...any) (map[peers.DeviceID]T, error) {
	out := map[peers.DeviceID]T{}
	_, err := collect(ctx, db, func(rows *sql.Rows) (struct{}, error) {
		var b []byte
		v, err := f(rows, &b)
		var d peers.DeviceID
		copy(d[:], b)
		out[d] = v
		return struct{}{}, err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return out, nil
}
