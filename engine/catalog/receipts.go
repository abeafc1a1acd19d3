// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/preezm/preezm/peers"
)

// receiptSchema is a step of migrations. Receipts from before were of two
// machines, and counted what several machines of one person store once for each.
const receiptSchema = `
DROP TABLE receipts;

-- Receipts that a keeper and a person signed; the newest holds the sum.
CREATE TABLE receipts(
  giver   BLOB NOT NULL,       -- device that keeps
  taker   BLOB NOT NULL,       -- root of the person it keeps for
  seq     INTEGER NOT NULL,
  doc     BLOB NOT NULL,
  PRIMARY KEY(giver, taker, seq)
) WITHOUT ROWID;

-- Shards that another of the owner's machines counted on when this one looked
-- last, and that this one did not know: its backups and former versions.
CREATE TABLE apart(
  keeper  BLOB NOT NULL,       -- device
  shard   BLOB NOT NULL,
  device  BLOB NOT NULL,       -- the other machine
  room    INTEGER NOT NULL,    -- in bytes, as keepers count it
  PRIMARY KEY(keeper, shard, device)
) WITHOUT ROWID;
`

// roomOf is the room that a shard takes, as keepers count it: a header block,
// and the shard in whole blocks of 4 KiB.
const roomOf = "4096 + (shard_len + 4095) / 4096 * 4096"

// Receipts gives the newest receipts about what a device keeps for a person,
// newest first, at most limit.
func (c *Catalog) Receipts(ctx context.Context, giver peers.DeviceID, taker [32]byte, limit int) ([][]byte, error) {
	return collect(ctx, c.r, scanBlob, "SELECT doc FROM receipts WHERE giver = ? AND taker = ? ORDER BY seq DESC LIMIT ?", giver[:], taker[:], limit)
}

// ReceiptsOf gives the newest receipt of each device that keeps, or kept, for a
// person.
func (c *Catalog) ReceiptsOf(ctx context.Context, taker [32]byte) (map[peers.DeviceID][]byte, error) {
	return byDevice(ctx, c.r, func(rows *sql.Rows, d *[]byte) (doc []byte, err error) {
		err = rows.Scan(d, &doc)
		return doc, err
	}, "SELECT giver, doc FROM receipts r WHERE taker = ? AND seq = (SELECT max(seq) FROM receipts WHERE giver = r.giver AND taker = r.taker)", taker[:])
}

// AddReceipt stores a receipt and drops those numbered keep or more before it:
// each has the sum of all before.
func (c *Catalog) AddReceipt(ctx context.Context, giver peers.DeviceID, taker [32]byte, seq uint64, doc []byte, keep int) error {
	return c.writeRestless(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO receipts(giver, taker, seq, doc) VALUES(?,?,?,?)", giver[:], taker[:], int64(seq), doc)
		if err == nil {
			_, err = tx.ExecContext(ctx, "DELETE FROM receipts WHERE giver = ? AND taker = ? AND seq <= ?", giver[:], taker[:], int64(seq)-int64(keep))
		}
		return err
	})
}

// Takes is the room that all shards of the owner take at a keeper, as far as
// this machine knows those of the others, and with those that it may forget.
func (c *Catalog) Takes(ctx context.Context, keeper peers.DeviceID) (n int64, err error) {
	err = c.r.QueryRowContext(ctx, `SELECT
		(SELECT coalesce(sum(`+roomOf+`), 0) FROM shards JOIN segments ON id = segment
			WHERE keeper = (SELECT id FROM keepers WHERE device = ?1) AND shards.state = 1)
		+ (SELECT coalesce(sum(room), 0) FROM (SELECT DISTINCT shard, room FROM apart WHERE keeper = ?1)
			WHERE shard NOT IN (SELECT shard FROM shards WHERE state = 1 AND keeper = (SELECT id FROM keepers WHERE device = ?1))
				AND shard NOT IN (SELECT shard FROM deletions WHERE keeper = (SELECT id FROM keepers WHERE device = ?1)))
		+ (SELECT coalesce(sum(room), 0) FROM deletions WHERE keeper = (SELECT id FROM keepers WHERE device = ?1))`, keeper[:]).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("catalog: %w", explain(err))
	}
	return n, nil
}

// apart notes the shards that only the other machine knows.
func (m *merger) apart() error {
	if _, err := m.tx.ExecContext(m.ctx, "DELETE FROM apart WHERE device = ?", m.o.Device[:]); err != nil {
		return err
	}
	here, err := m.tx.PrepareContext(m.ctx, "SELECT EXISTS(SELECT 1 FROM shards WHERE shard = ? AND state = 1)")
	if err != nil {
		return err
	}
	defer here.Close()
	add, err := m.tx.PrepareContext(m.ctx, "INSERT OR REPLACE INTO apart(keeper, shard, device, room) VALUES(?,?,?,?)")
	if err != nil {
		return err
	}
	defer add.Close()
	rows, err := m.o.Theirs.r.QueryContext(m.ctx, `SELECT k.device, s.shard, `+roomOf+` FROM shards s
		JOIN segments g ON g.id = s.segment JOIN keepers k ON k.id = s.keeper WHERE s.state = 1`)
	if err != nil {
		return explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		var keeper, shard []byte
		var room int64
		if err := rows.Scan(&keeper, &shard, &room); err != nil {
			return err
		}
		var known bool
		if err := here.QueryRowContext(m.ctx, shard).Scan(&known); err != nil {
			return err
		}
		if known {
			continue
		}
		if _, err := add.ExecContext(m.ctx, keeper, shard, m.o.Device[:], room); err != nil {
			return err
		}
	}
	return explain(rows.Err())
}

// mergeReceipts takes over the newest receipts of the other machine.
func (c *Catalog) mergeReceipts(ctx context.Context, theirs *Catalog) error {
	type row struct {
		giver, taker, doc []byte
		seq               int64
	}
	newest, err := collect(ctx, theirs.r, func(rows *sql.Rows) (r row, err error) {
		err = rows.Scan(&r.giver, &r.taker, &r.seq, &r.doc)
		return r, err
	}, "SELECT giver, taker, seq, doc FROM receipts r WHERE seq = (SELECT max(seq) FROM receipts WHERE giver = r.giver AND taker = r.taker)")
	if err != nil || len(newest) == 0 {
		return err
	}
	return c.writeRestless(ctx, func(tx *sql.Tx) error {
		for _, r := range newest {
			if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO receipts(giver, taker, seq, doc) VALUES(?,?,?,?)", r.giver, r.taker, r.seq, r.doc); err != nil {
				return err
			}
		}
		return nil
	})
}
