// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/preezm/preezm/peers"
)

// holdSchema is a step of migrations.
const holdSchema = `
-- A shard that was there and lost its place is held where it is until keepers have a
-- backup that knows of the new place: who has only the words comes by an older
-- one, and goes where that leads.
ALTER TABLE deletions ADD COLUMN held INTEGER NOT NULL DEFAULT 0;  -- the number of the hold; 0: not held
ALTER TABLE deletions ADD COLUMN room INTEGER NOT NULL DEFAULT 0;  -- in bytes, as keepers count it
CREATE INDEX deletions_held ON deletions(held) WHERE held > 0;
ALTER TABLE backups ADD COLUMN held INTEGER NOT NULL DEFAULT 0;    -- it knows what took the place of all up to this
`

// holdNumber is the mark with the number of the last hold. It only grows, so no
// backup knows of a hold that is younger.
const holdNumber = "holds"

// nextHold gives a hold its number.
func nextHold(ctx context.Context, tx handle) (n int64, err error) {
	err = tx.QueryRowContext(ctx, `INSERT INTO care(name, value) VALUES(?, 1)
		ON CONFLICT(name) DO UPDATE SET value = value + 1 RETURNING value`, holdNumber).Scan(&n)
	return n, err
}

// dropShard queues a shard of some length for deletion; held is the number of a
// hold, or 0. What was not there is not held.
func dropShard(ctx context.Context, tx handle, keeper int64, id peers.ShardID, state ShardState, shardLen int, held int64) error {
	if state != There {
		_, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO deletions(keeper, shard) VALUES(?, ?)", keeper, id[:])
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO deletions(keeper, shard, held, room)
		SELECT ?, ?, ?, `+roomOf+` FROM (SELECT ? AS shard_len)`, keeper, id[:], held, shardLen)
	return err
}

// Held gives the number of the youngest hold that lasts, or 0.
func (c *Catalog) Held(ctx context.Context) (n int64, err error) {
	if err = c.r.QueryRowContext(ctx, "SELECT coalesce(max(held), 0) FROM deletions WHERE held > 0").Scan(&n); err != nil {
		err = fmt.Errorf("catalog: %w", explain(err))
	}
	return n, err
}

// Unhold ends the holds that a backup of this machine knows of: enough keepers
// have its head. It tells how many shards may go now.
func (c *Catalog) Unhold(ctx context.Context, b *Backup) (n int64, err error) {
	const those = "held > 0 AND held <= ?"
	if err := c.r.QueryRowContext(ctx, "SELECT count(*) FROM deletions WHERE "+those, b.Held).Scan(&n); err != nil {
		return 0, fmt.Errorf("catalog: %w", explain(err))
	}
	if n == 0 {
		return 0, nil
	}
	return n, c.writeRestless(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE deletions SET held = 0 WHERE "+those, b.Held)
		return err
	})
}
