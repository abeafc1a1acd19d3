// SPDX-License-Identifier: MPL-2.0

package depot

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/sqlite"
)

// errIndex: the index file is of no use and must be made anew from the shards.
var errIndex = errors.New("index is unusable")

// migrations lead from one schema version (PRAGMA user_version) to the next.
// Never change one that was released; add the next.
var migrations = []string{
	`CREATE TABLE shard (
		id     BLOB PRIMARY KEY,  -- 32 bytes
		owner  BLOB NOT NULL,     -- 32 bytes, device ID
		root   BLOB NOT NULL,     -- 32 bytes
		size   INTEGER NOT NULL,  -- of the body, bytes
		cost   INTEGER NOT NULL,  -- what it takes of the quota, bytes
		stored INTEGER NOT NULL,  -- Unix seconds
		stamp  INTEGER NOT NULL   -- Entry.Stamp when the header was last read
	) STRICT, WITHOUT ROWID;
	CREATE INDEX shard_owner ON shard (owner, cost);`,
	neededSchema,
	orphanSchema,
}

// row is one shard in the index.
type row struct {
	id     peers.ShardID
	owner  peers.DeviceID
	root   erasure.Root
	size   int64
	stored int64
	stamp  int64
}

func rowOf(h *Header, stamp int64) row {
	return row{id: h.ID, owner: h.Owner, root: h.Root, size: h.Size, stored: h.Stored, stamp: stamp}
}

// index is the SQLite table of all shards. The files are the truth and Open
// compares them, so commits need not be durable (synchronous=NORMAL): a power
// cut may lose the last rows, never the file's consistency.
type index struct {
	db                  *sql.DB
	get, put, del, page *sql.Stmt
}

// openIndex opens or makes the file. errIndex when it is corrupt or from a
// later program: then throw it away and rebuild.
func openIndex(ctx context.Context, path string) (*index, error) {
	// One connection: writers would take turns anyway, and every connection
	// has a page cache of its own. The depot's lock keeps others out already,
	// so SQLite needs no -shm file, which could not be made on a full disk.
	db, err := sqlite.Open(path, sqlite.Options{Exclusive: true, Relaxed: true})
	if err != nil {
		return nil, err
	}
	x := &index{db: db}
	if err := x.prepare(ctx); err != nil {
		return nil, errors.Join(err, x.close())
	}
	return x, nil
}

func (x *index) prepare(ctx context.Context) error {
	var verdict string
	if err := x.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return indexError(err)
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", errIndex, verdict)
	}
	if err := x.migrate(ctx); err != nil {
		return unusable(ctx, err)
	}
	for _, s := range [...]struct {
		to  **sql.Stmt
		sql string
	}{
		{&x.get, "SELECT owner, root, size, stored, stamp FROM shard WHERE id = ?"},
		{&x.put, "INSERT OR REPLACE INTO shard (id, owner, root, size, cost, stored, stamp) VALUES (?, ?, ?, ?, ?, ?, ?)"},
		{&x.del, "DELETE FROM shard WHERE id = ?"},
		{&x.page, "SELECT id, owner, root, size, stored, stamp FROM shard WHERE id > ? ORDER BY id LIMIT ?"},
	} {
		var err error
		if *s.to, err = x.db.PrepareContext(ctx, s.sql); err != nil {
			return unusable(ctx, err)
		}
	}
	return nil
}

// unusable: a schema that does not take its migrations or statements is not
// ours, and as good as corrupt.
func unusable(ctx context.Context, err error) error {
	if err = indexError(err); ctx.Err() != nil || errors.Is(err, peers.ErrDiskFull) || errors.Is(err, errIndex) {
		return err
	}
	return fmt.Errorf("%w: %w", errIndex, err)
}

func (x *index) migrate(ctx context.Context) error {
	var version int
	if err := x.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version < 0 || version > len(migrations) {
		return fmt.Errorf("%w: schema %d is newer than this program", errIndex, version)
	}
	for ; version < len(migrations); version++ {
		err := x.write(ctx, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, migrations[version]); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version+1))
			return err
		})
		if err != nil {
			return fmt.Errorf("index schema %d: %w", version+1, err)
		}
	}
	return nil
}

func (x *index) close() error { return x.db.Close() }

// write runs fn in a transaction.
func (x *index) write(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return indexError(err)
	}
	if err := fn(tx); err != nil {
		return errors.Join(indexError(err), rollback(tx))
	}
	return indexError(tx.Commit())
}

// rollback; SQLite has rolled back by itself after some errors.
func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) && !sqlite.IsRolledBack(err) {
		return err
	}
	return nil
}

// lookup gives a shard's row.
func (x *index) lookup(ctx context.Context, id peers.ShardID) (row, bool, error) {
	r := row{id: id}
	var owner, root sql.RawBytes
	rows, err := x.get.QueryContext(ctx, id[:])
	if err != nil {
		return row{}, false, indexError(err)
	}
	defer rows.Close()
	if !rows.Next() {
		return row{}, false, indexError(rows.Err())
	}
	if err := rows.Scan(&owner, &root, &r.size, &r.stored, &r.stamp); err != nil {
		return row{}, false, indexError(err)
	}
	if len(owner) != 32 || len(root) != 32 {
		return row{}, false, fmt.Errorf("%w: row of %s", errIndex, id)
	}
	r.owner, r.root = peers.DeviceID(owner), erasure.Root(root)
	return r, true, indexError(rows.Close())
}

// insert adds or replaces one row.
func (x *index) insert(ctx context.Context, r *row) error {
	_, err := x.put.ExecContext(ctx, r.id[:], r.owner[:], r.root[:], r.size, cost(r.size), r.stored, r.stamp)
	return indexError(err)
}

// change adds or replaces some rows and deletes others, all or nothing.
func (x *index) change(ctx context.Context, add []row, remove []peers.ShardID) error {
	if len(add)+len(remove) == 0 {
		return nil
	}
	return x.write(ctx, func(tx *sql.Tx) error {
		put, del := tx.StmtContext(ctx, x.put), tx.StmtContext(ctx, x.del)
		for i := range add {
			r := &add[i]
			if _, err := put.ExecContext(ctx, r.id[:], r.owner[:], r.root[:], r.size, cost(r.size), r.stored, r.stamp); err != nil {
				return err
			}
		}
		for i := range remove {
			if _, err := del.ExecContext(ctx, remove[i][:]); err != nil {
				return err
			}
		}
		return nil
	})
}

// after gives up to n rows with IDs above id, in order; all for a nil id.
func (x *index) after(ctx context.Context, id []byte, n int) ([]row, error) {
	if id == nil {
		id = []byte{} // NULL compares with nothing
	}
	rows, err := x.page.QueryContext(ctx, id, n)
	if err != nil {
		return nil, indexError(err)
	}
	defer rows.Close()
	var out []row
	for rows.Next() {
		var r row
		var id, owner, root sql.RawBytes
		if err := rows.Scan(&id, &owner, &root, &r.size, &r.stored, &r.stamp); err != nil {
			return nil, indexError(err)
		}
		if len(id) != 32 || len(owner) != 32 || len(root) != 32 {
			return nil, fmt.Errorf("%w: row of %x", errIndex, id)
		}
		r.id, r.owner, r.root = peers.ShardID(id), peers.DeviceID(owner), erasure.Root(root)
		out = append(out, r)
	}
	return out, indexError(rows.Err())
}

// owners sums up what everybody has.
func (x *index) owners(ctx context.Context) (map[peers.DeviceID]*account, error) {
	rows, err := x.db.QueryContext(ctx, "SELECT owner, sum(cost), count(*) FROM shard GROUP BY owner")
	if err != nil {
		return nil, indexError(err)
	}
	defer rows.Close()
	out := map[peers.DeviceID]*account{}
	for rows.Next() {
		var owner []byte
		var acc account
		if err := rows.Scan(&owner, &acc.used, &acc.shards); err != nil {
			return nil, indexError(err)
		}
		if len(owner) != 32 {
			return nil, fmt.Errorf("%w: owner of %d bytes", errIndex, len(owner))
		}
		out[peers.DeviceID(owner)] = &acc
	}
	return out, indexError(rows.Err())
}

// indexError adds what a caller decides on to an error of SQLite.
func indexError(err error) error {
	switch {
	case err == nil:
		return nil
	case sqlite.IsFull(err), isDiskFull(err):
		return fmt.Errorf("index: %w: %w", peers.ErrDiskFull, err)
	case sqlite.IsDamaged(err), sqlite.IsSchema(err):
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	return fmt.Errorf("index: %w", err)
}
