// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/shardlist"
)

const epochSchema = `
-- Openings of this catalog, and of those it was made from, in which shards were
-- named; see package shardlist.
CREATE TABLE epochs(
  tag     BLOB PRIMARY KEY,  -- 8 random bytes
  began   INTEGER NOT NULL   -- nanoseconds since 1970; 0: of the catalog of another machine
) WITHOUT ROWID;
`

// name gives a shard a name of this epoch. It is called in the transaction
// that writes the shard down: so no copy of the catalog knows a number and
// lacks a shard with a lower one.
func (c *Catalog) name(ctx context.Context, tx *sql.Tx, id *peers.ShardID) error {
	rand.Read(id[:])
	c.named++ // there is one writer
	shardlist.Join(id, c.epoch, c.named)
	// It begins after all others, however the clock is set: of a copy, the last
	// one is the one in which its catalog may have gone on.
	_, err := tx.ExecContext(ctx, `INSERT INTO epochs(tag, began) SELECT ?, max(?, (SELECT coalesce(max(began), 0) + 1 FROM epochs))
		WHERE NOT EXISTS (SELECT 1 FROM epochs WHERE tag = ?)`, c.epoch[:], c.now().UnixNano(), c.epoch[:])
	return err
}

func scanTag(rows *sql.Rows) (t shardlist.Tag, err error) {
	raw, err := scanBlob(rows)
	copy(t[:], raw)
	return t, err
}

// takeEpochs notes the epochs of another machine's catalog, so that its shards
// are among those that this one may need.
func takeEpochs(ctx context.Context, tx handle, theirs *Catalog) error {
	tags, err := collect(ctx, theirs.r, scanTag, "SELECT tag FROM epochs")
	if err != nil {
		return err
	}
	for _, t := range tags {
		if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO epochs(tag, began) VALUES(?, 0)", t[:]); err != nil {
			return err
		}
	}
	return nil
}

// KnownShards gives what a keeper may be told of its shards: all that is known
// of them at one moment, in the epochs that are known.
func (c *Catalog) KnownShards(ctx context.Context, keeper peers.DeviceID) (*shardlist.Builder, error) {
	var b *shardlist.Builder
	err := c.still(ctx, func(tx queryer) error {
		own, err := collect(ctx, tx, scanTag, "SELECT tag FROM epochs WHERE began > 0")
		if err != nil {
			return err
		}
		foreign, err := collect(ctx, tx, scanTag, "SELECT tag FROM epochs WHERE began = 0")
		if err != nil {
			return err
		}
		b = shardlist.NewBuilder(own, foreign)
		rows, err := tx.QueryContext(ctx, `WITH me AS (SELECT id FROM keepers WHERE device = ?)
			SELECT shard, 1 FROM shards WHERE keeper = (SELECT id FROM me)
			UNION ALL SELECT shard, 1 FROM moves WHERE keeper = (SELECT id FROM me)
			UNION ALL SELECT shard, held > 0 OR after > ? FROM deletions WHERE keeper = (SELECT id FROM me)`, keeper[:], c.now().UnixNano())
		if err != nil {
			return fmt.Errorf("catalog: %w", explain(err))
		}
		defer rows.Close()
		for rows.Next() {
			var raw []byte
			var needed bool
			if err := rows.Scan(&raw, &needed); err != nil {
				return fmt.Errorf("catalog: %w", err)
			}
			if len(raw) != 32 {
				return errors.New("catalog: a shard's name is damaged")
			}
			b.Add(peers.ShardID(raw), needed)
		}
		return rows.Err()
	})
	return b, err
}

// forgetUnsettled makes a catalog that comes from a copy forget what was under
// way when the copy was made: the catalog it was made from may have gone on
// with it, and need it. Nothing is deleted for that, and of the epochs in which
// it was under way keepers are told only what is needed.
func (c *Catalog) forgetUnsettled(ctx context.Context) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		const writing = "(SELECT id FROM segments WHERE state = 0)"
		for _, q := range []string{
			`UPDATE epochs SET began = 0 WHERE began = (SELECT max(began) FROM epochs)
				OR tag IN (SELECT substr(shard, 17, 8) FROM moves)
				OR tag IN (SELECT substr(shard, 17, 8) FROM shards WHERE segment IN ` + writing + ")",
			"DELETE FROM moves",
			"DELETE FROM shards WHERE segment IN " + writing,
			"DELETE FROM chunks WHERE segment IN " + writing,
			"DELETE FROM segments WHERE state = 0",
		} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
}
