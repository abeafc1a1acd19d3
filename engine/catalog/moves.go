// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"

	"github.com/preezm/preezm/peers"
)

// A shard that was lost is replaced in three steps. The new one is written
// down as a move, then sent, then it takes the place of the old one. A crash
// in between leaves the old row, which may turn out to be good after all, and
// a move that EndMoves turns into a deletion.

// BeginMove names a shard that is about to be sent, and writes it down.
func (c *Catalog) BeginMove(ctx context.Context, keeper peers.DeviceID) (id peers.ShardID, err error) {
	err = c.write(ctx, func(tx *sql.Tx) error {
		k, err := keeperID(ctx, tx, keeper)
		if err != nil {
			return err
		}
		if err := c.name(ctx, tx, &id); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO moves(keeper, shard) VALUES(?, ?)", k, id[:])
		return err
	})
	return id, err
}

// EndMoves turns moves that never ended into deletions. The caller sees to it
// that none is under way.
func (c *Catalog) EndMoves(ctx context.Context) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO deletions(keeper, shard) SELECT keeper, shard FROM moves`)
		if err == nil {
			_, err = tx.ExecContext(ctx, "DELETE FROM moves")
		}
		return err
	})
}

// SetShard replaces what is known of a shard, if the catalog still names the
// shard was in that place; else somebody knew better meanwhile, and a shard
// that was sent for nothing is queued for deletion. A shard that loses its
// place is held for a while, see hold.go.
func (c *Catalog) SetShard(ctx context.Context, segment int64, idx int, was peers.ShardID, now Shard) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		k, err := keeperID(ctx, tx, now.Keeper)
		if err != nil {
			return err
		}
		var oldKeeper int64
		var oldState ShardState
		var shardLen int
		err = tx.QueryRowContext(ctx, `SELECT keeper, shards.state, shard_len FROM shards JOIN segments ON id = segment
			WHERE segment = ? AND idx = ? AND shard = ?`, segment, idx, was[:]).Scan(&oldKeeper, &oldState, &shardLen)
		placed := err == nil
		if err != nil && err != sql.ErrNoRows {
			return err
		}
		if placed {
			_, err = tx.ExecContext(ctx, "UPDATE shards SET keeper = ?, shard = ?, root = ?, state = ?, moved = moved + (shard <> ?) WHERE segment = ? AND idx = ?",
				k, now.ID[:], now.Root[:], now.State, now.ID[:], segment, idx)
			if err != nil {
				return err
			}
		}
		if was == now.ID && (placed || now.State != There) {
			return nil
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM moves WHERE keeper = ? AND shard = ?", k, now.ID[:]); err != nil {
			return err
		}
		if !placed {
			return dropShard(ctx, tx, k, now.ID, Owed, 0, 0)
		}
		held, err := nextHold(ctx, tx)
		if err != nil {
			return err
		}
		return dropShard(ctx, tx, oldKeeper, was, oldState, shardLen, held)
	})
}

// Reassign gives a place in a segment that is being written to another keeper,
// under a new name, before anything is sent there; what was sent to the one
// before is queued for deletion.
func (c *Catalog) Reassign(ctx context.Context, segment int64, idx int, keeper peers.DeviceID) (id peers.ShardID, err error) {
	err = c.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO deletions(keeper, shard)
			SELECT keeper, shard FROM shards WHERE segment = ? AND idx = ?`, segment, idx)
		if err != nil {
			return err
		}
		k, err := keeperID(ctx, tx, keeper)
		if err != nil {
			return err
		}
		if err := c.name(ctx, tx, &id); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE shards SET keeper = ?, shard = ?, state = 0 WHERE segment = ? AND idx = ?", k, id[:], segment, idx)
		return err
	})
	return id, err
}

// Disown makes the chunks of the given segments unknown to NewFinder, so that
// the same data is stored anew, and returns their rows. Versions that name
// them keep doing so.
func (c *Catalog) Disown(ctx context.Context, segments []int64) (map[int64]bool, error) {
	chunks := map[int64]bool{}
	err := c.write(ctx, func(tx *sql.Tx) error {
		for _, s := range segments {
			ids, err := collect(ctx, tx, scanInt, "UPDATE chunks SET cid = randomblob(32) WHERE segment = ? RETURNING id", s)
			if err != nil {
				return err
			}
			for _, id := range ids {
				chunks[id] = true
			}
		}
		return nil
	})
	return chunks, err
}
