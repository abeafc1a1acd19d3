// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// markSchema is a step of migrations.
const markSchema = `
-- The newest backup of this machine says all there is: at most one row, which
-- goes with the first change, in the same transaction.
CREATE TABLE backed_up(
  number  INTEGER PRIMARY KEY, -- of that backup
  schema  INTEGER NOT NULL,    -- steps of the tables then
  notes   BLOB NOT NULL        -- what tells that the notes are the same
);
`

// Changes tells how many rows were written since the catalog was opened, aside
// from what is no reason for a backup. It only serves to see whether there were
// any.
func (c *Catalog) Changes(ctx context.Context) (int64, error) {
	n, err := totalChanges(ctx, c.w)
	if err != nil {
		err = fmt.Errorf("catalog: %w", explain(err))
	}
	return n - c.opened - c.aside.Load(), err
}

// totalChanges is how many rows were written over the one connection that writes.
func totalChanges(ctx context.Context, db queryer) (n int64, err error) {
	rows, err := db.QueryContext(ctx, "SELECT total_changes()")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			return 0, err
		}
	}
	return n, rows.Err()
}

type asideKey struct{}

// Aside gives a context in which what is written is no reason for a backup: it
// belongs to one, or to restless or local tables. A backup that is not needed
// costs a look at the whole catalog to see that.
func Aside(ctx context.Context) context.Context { return context.WithValue(ctx, asideKey{}, true) }

// writeRestless is write for restless and local tables only.
func (c *Catalog) writeRestless(ctx context.Context, f func(*sql.Tx) error) error {
	return c.write(Aside(ctx), f)
}

// counted runs f in a transaction and counts what it wrote.
func (c *Catalog) counted(ctx context.Context, tx *sql.Tx, f func(*sql.Tx) error) error {
	before, err := totalChanges(ctx, tx)
	if err != nil {
		return err
	}
	err = f(tx)
	// Rows that are taken back are counted as well.
	after, cerr := totalChanges(context.WithoutCancel(ctx), tx)
	if cerr != nil {
		return errors.Join(err, ignoreDone(cerr))
	}
	if ctx.Value(asideKey{}) != nil {
		c.aside.Add(after - before)
		return err
	}
	if err == nil && after != before {
		_, err = tx.ExecContext(ctx, "DELETE FROM backed_up")
	}
	return err
}

// MarkBackedUp notes that the backup of a number says all there is, beside notes
// that a digest tells apart, unless something has changed since Changes said seen.
func (c *Catalog) MarkBackedUp(ctx context.Context, number uint64, notes [32]byte, seen int64) error {
	return c.writeRestless(ctx, func(tx *sql.Tx) error {
		now, err := totalChanges(ctx, tx)
		if err != nil || now-c.opened-c.aside.Load() != seen {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM backed_up"); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO backed_up(number, schema, notes) VALUES(?,?,?)", int64(number), Schema(), notes[:])
		return err
	})
}

// BackedUp tells whether a backup is known to say all there is, beside these
// notes. If it is not, a look at the whole catalog has to tell.
func (c *Catalog) BackedUp(ctx context.Context, b *Backup, notes [32]byte) (is bool, err error) {
	err = c.r.QueryRowContext(ctx, `SELECT EXISTS(SELECT 1 FROM backed_up WHERE number = ? AND schema = ? AND notes = ?)
		AND NOT EXISTS(SELECT 1 FROM deletions WHERE held > max(?, 0))`, int64(b.Number), Schema(), notes[:], b.Held).Scan(&is)
	if err != nil {
		err = fmt.Errorf("catalog: %w", explain(err))
	}
	return is, err
}
