// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/preezm/preezm/peers"
)

// careSchema is a step of migrations.
const careSchema = `
-- How often each keeper answered, see package presence.
CREATE TABLE presence(
  device  BLOB PRIMARY KEY,
  history BLOB NOT NULL
) WITHOUT ROWID;

-- How each keeper did in spot checks.
CREATE TABLE audits(
  device  BLOB PRIMARY KEY,
  at      INTEGER NOT NULL,    -- the last one, Unix seconds
  asked   INTEGER NOT NULL,    -- pieces asked for, of all audits
  good    INTEGER NOT NULL,
  score   REAL NOT NULL,       -- moving average, 1 is good
  bad_at  INTEGER NOT NULL     -- the last one that found something, 0 never
) WITHOUT ROWID;

-- Machines whose pieces are being made anew elsewhere because they leave.
CREATE TABLE leaving(
  device  BLOB PRIMARY KEY,
  name    TEXT NOT NULL,
  since   INTEGER NOT NULL,    -- Unix seconds
  gone    INTEGER NOT NULL,    -- 1: it is out of the circle already
  stays   INTEGER NOT NULL     -- 1: it only stops keeping, and stays in the circle
) WITHOUT ROWID;

-- Settings and marks of the care for what is kept.
CREATE TABLE care(
  name    TEXT PRIMARY KEY,
  value   INTEGER NOT NULL
) WITHOUT ROWID;

-- Signed receipts between pairs; the newest holds the sum.
CREATE TABLE receipts(
  device  BLOB NOT NULL,
  giver   INTEGER NOT NULL,    -- 1: this machine keeps for that one
  seq     INTEGER NOT NULL,
  doc     BLOB NOT NULL,
  PRIMARY KEY(device, giver, seq)
) WITHOUT ROWID;
`

// careRow is a later step.
const careRow = `
ALTER TABLE audits ADD COLUMN in_a_row INTEGER NOT NULL DEFAULT 0; -- bad ones, without a good one since
`

// Presence gives the histories that were saved.
func (c *Catalog) Presence(ctx context.Context) (map[peers.DeviceID][]byte, error) {
	return byDevice(ctx, c.r, func(rows *sql.Rows, d *[]byte) (h []byte, err error) {
		err = rows.Scan(d, &h)
		return h, err
	}, "SELECT device, history FROM presence")
}

// SavePresence saves histories.
func (c *Catalog) SavePresence(ctx context.Context, of map[peers.DeviceID][]byte) error {
	return c.writeRestless(ctx, func(tx *sql.Tx) error {
		for d, h := range of {
			if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO presence(device, history) VALUES(?,?)", d[:], h); err != nil {
				return err
			}
		}
		return nil
	})
}

// Audit is how a keeper did in spot checks.
type Audit struct {
	At    int64 // Unix seconds
	Asked int64
	Good  int64
	Score float64
	BadAt int64
	// InARow counts bad audits since the last good one.
	InARow int64
}

// Audits gives what is known of each keeper.
func (c *Catalog) Audits(ctx context.Context) (map[peers.DeviceID]Audit, error) {
	return byDevice(ctx, c.r, func(rows *sql.Rows, d *[]byte) (a Audit, err error) {
		err = rows.Scan(d, &a.At, &a.Asked, &a.Good, &a.Score, &a.BadAt, &a.InARow)
		return a, err
	}, "SELECT device, at, asked, good, score, bad_at, in_a_row FROM audits")
}

// SetAudit replaces what is known of a keeper.
func (c *Catalog) SetAudit(ctx context.Context, d peers.DeviceID, a Audit) error {
	return c.writeRestless(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO audits(device, at, asked, good, score, bad_at, in_a_row) VALUES(?,?,?,?,?,?,?)",
			d[:], a.At, a.Asked, a.Good, a.Score, a.BadAt, a.InARow)
		return err
	})
}

// Leave is a machine that leaves, or left.
type Leave struct {
	Name  string
	Since int64 // Unix seconds
	Gone  bool
	Stays bool
}

// Leaving gives the machines that leave.
func (c *Catalog) Leaving(ctx context.Context) (map[peers.DeviceID]Leave, error) {
	return byDevice(ctx, c.r, func(rows *sql.Rows, d *[]byte) (l Leave, err error) {
		err = rows.Scan(d, &l.Name, &l.Since, &l.Gone, &l.Stays)
		return l, err
	}, "SELECT device, name, since, gone, stays FROM leaving")
}

// SetLeaving writes down that a machine leaves.
func (c *Catalog) SetLeaving(ctx context.Context, d peers.DeviceID, l Leave) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO leaving(device, name, since, gone, stays) VALUES(?,?,?,?,?)",
			d[:], l.Name, l.Since, l.Gone, l.Stays)
		return err
	})
}

// ClearLeaving forgets that a machine leaves. With all, everything else that
// is known of it goes too: it holds nothing any more.
func (c *Catalog) ClearLeaving(ctx context.Context, d peers.DeviceID, all bool) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM leaving WHERE device = ?", d[:]); err != nil || !all {
			return err
		}
		for _, q := range []string{
			"DELETE FROM deletions WHERE keeper = (SELECT id FROM keepers WHERE device = ?)",
			"DELETE FROM presence WHERE device = ?",
			"DELETE FROM audits WHERE device = ?",
		} {
			if _, err := tx.ExecContext(ctx, q, d[:]); err != nil {
				return err
			}
		}
		return nil
	})
}

// Empty writes down that a machine is to hold nothing any more: what the
// catalog still has there is taken for lost, and queued for deletion.
func (c *Catalog) Empty(ctx context.Context, d peers.DeviceID) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		for _, q := range []string{
			`INSERT OR IGNORE INTO deletions(keeper, shard, room) SELECT keeper, shard,
				CASE shards.state WHEN 1 THEN ` + roomOf + ` ELSE 0 END FROM shards JOIN segments ON id = segment WHERE keeper = (SELECT id FROM keepers WHERE device = ?)`,
			"UPDATE shards SET state = 2 WHERE keeper = (SELECT id FROM keepers WHERE device = ?)",
		} {
			if _, err := tx.ExecContext(ctx, q, d[:]); err != nil {
				return err
			}
		}
		return nil
	})
}

// CareValue gives a setting or mark, or otherwise when it was never set.
func (c *Catalog) CareValue(ctx context.Context, name string, otherwise int64) (int64, error) {
	v := otherwise
	err := c.r.QueryRowContext(ctx, "SELECT value FROM care WHERE name = ?", name).Scan(&v)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("catalog: %w", explain(err))
	}
	return v, nil
}

// SetCareValue sets one.
func (c *Catalog) SetCareValue(ctx context.Context, name string, v int64) error {
	return c.writeRestless(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO care(name, value) VALUES(?,?)", name, v)
		return err
	})
}

// shunPrefix begins the marks of keepers that another machine of the owner moved
// shards away from: the value is when this machine heard of it, in Unix seconds.
const shunPrefix = "shunned/"

// Shunned gives the keepers that another machine of the owner moved shards away
// from, and to which it brought none since, if this machine heard of it after since
// (Unix seconds).
func (c *Catalog) Shunned(ctx context.Context, since int64) (map[peers.DeviceID]bool, error) {
	return byDevice(ctx, c.r, func(rows *sql.Rows, d *[]byte) (bool, error) {
		var name string
		err := rows.Scan(&name)
		if err == nil {
			*d, err = hex.DecodeString(strings.TrimPrefix(name, shunPrefix))
		}
		return true, err
	}, "SELECT name FROM care WHERE name LIKE ? AND value > ?", shunPrefix+"%", since)
}

// shun notes which keepers the other machine moved shards away from, and which it
// brought some.
func (m *merger) shun() error {
	for d, away := range m.left {
		var err error
		if name := shunPrefix + hex.EncodeToString(d[:]); away {
			_, err = m.tx.ExecContext(m.ctx, "INSERT OR REPLACE INTO care(name, value) VALUES(?,?)", name, m.u.now().Unix())
		} else {
			_, err = m.tx.ExecContext(m.ctx, "DELETE FROM care WHERE name = ?", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Holders gives every machine that the catalog has a shard at.
func (c *Catalog) Holders(ctx context.Context) (out []peers.DeviceID, err error) {
	_, err = byDevice(ctx, c.r, func(rows *sql.Rows, d *[]byte) (struct{}, error) {
		err := rows.Scan(d)
		if err == nil && len(*d) == len(peers.DeviceID{}) {
			out = append(out, peers.DeviceID(*d))
		}
		return struct{}{}, err
	}, "SELECT device FROM keepers WHERE EXISTS(SELECT 1 FROM shards WHERE keeper = keepers.id)")
	return out, err
}

// ShardRef is a shard that a keeper should have.
type ShardRef struct {
	Segment int64
	Index   int
	Shard
	Size int
}

// Sample gives up to limit shards of a keeper, drawn at random.
func (c *Catalog) Sample(ctx context.Context, d peers.DeviceID, limit int) ([]ShardRef, error) {
	return collect(ctx, c.r, func(rows *sql.Rows) (s ShardRef, err error) {
		var id, root []byte
		if err := rows.Scan(&s.Segment, &s.Index, &id, &root, &s.Size); err != nil {
			return s, err
		}
		if len(id) != 32 || len(root) != 32 {
			return s, errors.New("a shard is damaged in the catalog")
		}
		copy(s.ID[:], id)
		copy(s.Root[:], root)
		s.Keeper, s.State = d, There
		return s, nil
	}, `SELECT s.segment, s.idx, s.shard, s.root, g.shard_len FROM shards s JOIN segments g ON g.id = s.segment
		WHERE s.keeper = (SELECT id FROM keepers WHERE device = ?) AND s.state = 1 AND g.state = 1 ORDER BY random() LIMIT ?`, d[:], limit)
}

// pinnedAtOnce chunks are looked up by one query: far below what SQLite takes.
const pinnedAtOnce = 10_000

// Pinned gives the segments that tickets of running grants name shard by
// shard: those must not be recoded.
func (c *Catalog) Pinned(ctx context.Context) (map[int64]bool, error) {
	parts, err := collect(ctx, c.r, scanBlob, "SELECT parts FROM granted WHERE grant_hash IN (SELECT hash FROM grants WHERE released = 0)")
	if err != nil || len(parts) == 0 {
		return nil, err
	}
	var chunks []int64
	for _, b := range parts {
		list, err := decodeParts(b)
		if err != nil {
			return nil, err
		}
		chunks = append(chunks, ChunkRows(list)...)
	}
	slices.Sort(chunks)
	out := map[int64]bool{}
	for some := range slices.Chunk(slices.Compact(chunks), pinnedAtOnce) {
		segments, err := collect(ctx, c.r, scanInt, "SELECT DISTINCT segment FROM chunks WHERE id IN ("+intList(some)+")")
		if err != nil {
			return nil, err
		}
		for _, s := range segments {
			out[s] = true
		}
	}
	return out, nil
}
