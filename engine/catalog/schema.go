// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/sqlite"
)

// ErrDiskFull: this machine's own disk has no room for the catalog.
var ErrDiskFull = said.Error("catalog-full", "the disk that holds the catalog is full: make room on it and try again")

// ErrDamaged: the file is not a whole catalog any more.
var ErrDamaged = said.Error("catalog-damaged", "the catalog is damaged: stop Preezm and put a copy of the home folder in its place")

// migrations are applied in order; PRAGMA user_version counts the applied
// ones. A released step is never edited: add one.
var migrations = []string{`
CREATE TABLE versions(
  parent  BLOB NOT NULL,     -- folder, '' for the top
  name    BLOB NOT NULL,     -- last part of the path
  kind    INTEGER NOT NULL,  -- 1 file, 2 folder, 3 symlink
  size    INTEGER NOT NULL,
  mode    INTEGER NOT NULL,
  mtime   INTEGER NOT NULL,  -- nanoseconds since 1970
  target  BLOB NOT NULL,     -- of a symlink
  ctime   INTEGER NOT NULL,  -- with inode and device: how the source looked,
  inode   INTEGER NOT NULL,  -- so that an unchanged file is not read again
  device  INTEGER NOT NULL,
  kept    INTEGER NOT NULL,  -- nanoseconds since 1970
  torn    INTEGER NOT NULL,  -- 1: changed while it was read
  parts   BLOB NOT NULL,     -- chunk ids and holes in order, see parts.go
  PRIMARY KEY(parent, name)
) WITHOUT ROWID;

CREATE TABLE keepers(
  id      INTEGER PRIMARY KEY,
  device  BLOB NOT NULL UNIQUE
);

-- Numbers of segments and chunks are never used twice: somebody may still be
-- working with what an old number meant.
CREATE TABLE segments(
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  k         INTEGER NOT NULL,
  n         INTEGER NOT NULL,
  shard_len INTEGER NOT NULL,
  data_len  INTEGER NOT NULL,
  state     INTEGER NOT NULL,  -- 0 being written, 1 ready
  made      INTEGER NOT NULL
);
CREATE INDEX segments_writing ON segments(state) WHERE state = 0;

CREATE TABLE shards(
  segment INTEGER NOT NULL REFERENCES segments(id),
  idx     INTEGER NOT NULL,
  keeper  INTEGER NOT NULL REFERENCES keepers(id),
  shard   BLOB NOT NULL,
  root    BLOB NOT NULL,
  state   INTEGER NOT NULL,    -- 0 owed, 1 there, 2 lost or damaged
  PRIMARY KEY(segment, idx)
) WITHOUT ROWID;
CREATE INDEX shards_debt ON shards(segment) WHERE state <> 1;
CREATE INDEX shards_keeper ON shards(keeper);

CREATE TABLE chunks(
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  cid     BLOB NOT NULL UNIQUE,
  segment INTEGER NOT NULL REFERENCES segments(id),
  off     INTEGER NOT NULL,
  sealed  INTEGER NOT NULL,    -- bytes in the segment
  plain   INTEGER NOT NULL,    -- bytes of the file
  coding  INTEGER NOT NULL,    -- 0 as it is, 1 zstd
  key     BLOB NOT NULL,
  refs    INTEGER NOT NULL
);
CREATE INDEX chunks_segment ON chunks(segment, refs);

-- Segments that may have become empty; looked at when no put is running.
CREATE TABLE candidates(segment INTEGER PRIMARY KEY);

-- Shards on their way to replace one that was lost; see moves.go.
CREATE TABLE moves(
  keeper INTEGER NOT NULL REFERENCES keepers(id),
  shard  BLOB NOT NULL,
  PRIMARY KEY(keeper, shard)
) WITHOUT ROWID;

-- Shards that keepers may forget, until they have been told.
CREATE TABLE deletions(
  keeper INTEGER NOT NULL REFERENCES keepers(id),
  shard  BLOB NOT NULL,
  PRIMARY KEY(keeper, shard)
) WITHOUT ROWID;
`, `
-- The random name of a file in grants, and the number of its present version,
-- which goes up when a grant meets other content than the last one did.
CREATE TABLE names(
  path    BLOB PRIMARY KEY,
  file    BLOB NOT NULL UNIQUE,
  version INTEGER NOT NULL,
  stamp   BLOB NOT NULL        -- what that version consists of
) WITHOUT ROWID;

CREATE TABLE brands(
  root    BLOB PRIMARY KEY,
  name    TEXT NOT NULL,
  card    TEXT NOT NULL,       -- as it was received
  added   INTEGER NOT NULL
) WITHOUT ROWID;

-- Who decides for this owner.
CREATE TABLE custodians(
  device  BLOB PRIMARY KEY,
  name    TEXT NOT NULL,
  log_key BLOB NOT NULL,       -- signs its log
  generation INTEGER NOT NULL,
  appointed INTEGER NOT NULL   -- Unix seconds; 0: it has not been told yet
) WITHOUT ROWID;

CREATE TABLE grants(
  hash    BLOB PRIMARY KEY,
  id      BLOB NOT NULL UNIQUE,
  doc     BLOB NOT NULL,       -- signed
  seats   BLOB NOT NULL,       -- custodians' devices, 32 bytes each
  brand   BLOB NOT NULL REFERENCES brands(root),
  ticket  TEXT NOT NULL,       -- the newest
  revocation BLOB NOT NULL,    -- signed; empty: not revoked
  made    INTEGER NOT NULL,
  released INTEGER NOT NULL    -- 1: the chunks are held no longer
) WITHOUT ROWID;

CREATE TABLE packages(
  grant_hash BLOB NOT NULL REFERENCES grants(hash),
  seq     INTEGER NOT NULL,
  doc     BLOB NOT NULL,
  PRIMARY KEY(grant_hash, seq)
) WITHOUT ROWID;

-- What a grant covers; its chunks stay while it lasts.
CREATE TABLE granted(
  grant_hash BLOB NOT NULL REFERENCES grants(hash),
  file    BLOB NOT NULL,
  version INTEGER NOT NULL,
  path    BLOB NOT NULL,
  parts   BLOB NOT NULL,
  PRIMARY KEY(grant_hash, file, version)
) WITHOUT ROWID;

-- Which custodians have acknowledged a revocation.
CREATE TABLE told(
  grant_hash BLOB NOT NULL REFERENCES grants(hash),
  device  BLOB NOT NULL,
  PRIMARY KEY(grant_hash, device)
) WITHOUT ROWID;

-- Custodians' logs as they were received.
CREATE TABLE logs(
  device  BLOB NOT NULL,
  seq     INTEGER NOT NULL,
  entry   BLOB NOT NULL,
  PRIMARY KEY(device, seq)
) WITHOUT ROWID;
CREATE TABLE heads(
  device  BLOB PRIMARY KEY,
  head    BLOB NOT NULL        -- the newest, signed
) WITHOUT ROWID;
`, `
-- What the owner tells its custodians and numbers: the newest of each kind.
CREATE TABLE said(
  what    TEXT PRIMARY KEY,
  number  INTEGER NOT NULL,
  doc     BLOB NOT NULL
) WITHOUT ROWID;

-- The highest number of it that a device acknowledged.
CREATE TABLE heard(
  device  BLOB NOT NULL,
  what    TEXT NOT NULL,
  number  INTEGER NOT NULL,
  PRIMARY KEY(device, what)
) WITHOUT ROWID;

ALTER TABLE custodians ADD COLUMN retired INTEGER NOT NULL DEFAULT 0; -- Unix seconds; 0: it decides

-- A grant that was made anew for other custodians, and the new one.
CREATE TABLE successors(
  grant_hash BLOB PRIMARY KEY REFERENCES grants(hash),
  by_hash BLOB NOT NULL REFERENCES grants(hash)
) WITHOUT ROWID;

-- Logs of custodians that lost them and began anew, as far as they were received.
CREATE TABLE lost_logs(
  device  BLOB NOT NULL,
  number  INTEGER NOT NULL,    -- of the log, from 1
  seq     INTEGER NOT NULL,    -- of the entry; 0: the newest head
  doc     BLOB NOT NULL,
  PRIMARY KEY(device, number, seq)
) WITHOUT ROWID;
`, historySchema, careSchema, backupSchema, careRow, compactSchema, epochSchema, machinesSchema, requestSchema, mergeSchema, countersignSchema, receiptSchema, placeSchema, holdSchema, markSchema}

// migrate applies the steps that are missing up to the given one.
func (c *Catalog) migrate(ctx context.Context, steps int) error {
	var have int
	if err := c.w.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return explain(err)
	}
	if have > len(migrations) {
		return ErrNewer
	}
	for i := have; i < steps; i++ {
		err := c.transact(ctx, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, migrations[i]); err != nil {
				return fmt.Errorf("schema step %d: %w", i+1, err)
			}
			_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", i+1))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// explain replaces SQLite's words for a full disk and a damaged file by ours.
func explain(err error) error {
	switch {
	case sqlite.IsFull(err):
		return fmt.Errorf("%w (%w)", ErrDiskFull, err)
	case sqlite.IsDamaged(err):
		return fmt.Errorf("%w (%w)", ErrDamaged, err)
	}
	return err
}
