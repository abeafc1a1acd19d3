// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/preezm/preezm/peers"
)

// backupSchema is the schema step of this file.
const backupSchema = `
ALTER TABLE segments ADD COLUMN backup INTEGER NOT NULL DEFAULT 0; -- 1: holds backups of the catalog

-- Backups of the catalog: the chunks of each stay while it does.
CREATE TABLE backups(
  device  BLOB NOT NULL,       -- the machine that made it
  number  INTEGER NOT NULL,    -- among that machine's, from 1 on
  made    INTEGER NOT NULL,    -- Unix seconds
  parts   BLOB NOT NULL,       -- chunks of the stream
  idx     BLOB NOT NULL,       -- chunks of the index that leads to those
  head    BLOB NOT NULL,       -- sealed; empty: no longer the newest
  stamp   BLOB NOT NULL,       -- of what the catalog held, see dump.go
  PRIMARY KEY(device, number)
) WITHOUT ROWID;

-- Which keeper has which head of this machine.
CREATE TABLE head_acks(
  keeper  BLOB PRIMARY KEY,    -- device
  number  INTEGER NOT NULL,
  at      INTEGER NOT NULL     -- Unix seconds
) WITHOUT ROWID;
`

// Backup is one backup of this catalog, or of another machine's of the same
// person, in the circle.
type Backup struct {
	Device peers.DeviceID
	Number uint64
	Made   int64 // Unix seconds
	Parts  []Part
	Index  []Part
	Head   []byte // sealed; nil: no longer the newest
	Stamp  [32]byte
	Held   int64 // it knows what took the place of what is held up to this number
}

// AddBackup writes a backup down and holds its chunks. Older ones of the same
// machine than the given number of newest are let go of, and their heads.
func (c *Catalog) AddBackup(ctx context.Context, b *Backup, keep int) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		refs := newRefCounter(ctx, tx)
		defer refs.close()
		for _, parts := range [][]Part{b.Parts, b.Index} {
			if err := refs.add(parts); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, "UPDATE backups SET head = x'' WHERE device = ? AND length(head) > 0", b.Device[:]); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO backups("+backupColumns+") VALUES(?,?,?,?,?,?,?,?)",
			b.Device[:], b.Number, b.Made, encodeParts(b.Parts), encodeParts(b.Index), append([]byte{}, b.Head...), b.Stamp[:], b.Held)
		if err != nil {
			return err
		}
		return dropBackups(ctx, tx, refs, "device = ? AND number NOT IN (SELECT number FROM backups WHERE device = ? ORDER BY number DESC LIMIT ?)",
			b.Device[:], b.Device[:], keep)
	})
}

// DropBackups lets go of all backups of a machine.
func (c *Catalog) DropBackups(ctx context.Context, device peers.DeviceID) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		refs := newRefCounter(ctx, tx)
		defer refs.close()
		return dropBackups(ctx, tx, refs, "device = ?", device[:])
	})
}

func dropBackups(ctx context.Context, tx *sql.Tx, refs *refCounter, where string, args ...any) error {
	old, err := collect(ctx, tx, scanBackup, "SELECT "+backupColumns+" FROM backups WHERE "+where, args...)
	if err != nil {
		return err
	}
	for _, b := range old {
		if err := errors.Join(refs.drop(b.Parts), refs.drop(b.Index)); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM backups WHERE "+where, args...)
	return err
}

const backupColumns = "device, number, made, parts, idx, head, stamp, held"

func scanBackup(rows *sql.Rows) (b Backup, err error) {
	var dev, parts, idx, stamp []byte
	if err := rows.Scan(&dev, &b.Number, &b.Made, &parts, &idx, &b.Head, &stamp, &b.Held); err != nil {
		return b, err
	}
	copy(b.Device[:], dev)
	copy(b.Stamp[:], stamp)
	if len(b.Head) == 0 {
		b.Head = nil
	}
	var err2 error
	b.Parts, err = decodeParts(parts)
	b.Index, err2 = decodeParts(idx)
	return b, errors.Join(err, err2)
}

// LastBackup gives the newest backup of a machine, or ErrNotFound.
func (c *Catalog) LastBackup(ctx context.Context, device peers.DeviceID) (Backup, error) {
	bs, err := collect(ctx, c.r, scanBackup, "SELECT "+backupColumns+" FROM backups WHERE device = ? ORDER BY number DESC LIMIT 1", device[:])
	if err != nil {
		return Backup{}, err
	}
	if len(bs) == 0 {
		return Backup{}, ErrNotFound
	}
	return bs[0], nil
}

// HeadAck is which head of this machine a keeper has.
type HeadAck struct {
	Keeper peers.DeviceID
	Number uint64
	At     int64 // Unix seconds
}

// AckHead notes that a keeper has a head of this machine.
func (c *Catalog) AckHead(ctx context.Context, a HeadAck) error {
	return c.writeRestless(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO head_acks(keeper, number, at) VALUES(?,?,?)
			ON CONFLICT(keeper) DO UPDATE SET number = excluded.number, at = excluded.at`, a.Keeper[:], a.Number, a.At)
		return err
	})
}

// HeadAcks lists which keepers have which head of this machine.
func (c *Catalog) HeadAcks(ctx context.Context) ([]HeadAck, error) {
	return collect(ctx, c.r, func(rows *sql.Rows) (a HeadAck, err error) {
		var dev []byte
		err = rows.Scan(&dev, &a.Number, &a.At)
		copy(a.Keeper[:], dev)
		return a, err
	}, "SELECT keeper, number, at FROM head_acks ORDER BY keeper")
}

// DumpWay gives a sink the rows that lead to some chunks: those chunks, the
// segments they lie in, their shards and the keepers.
func (c *Catalog) DumpWay(ctx context.Context, parts []Part, to TableSink) error {
	ids := ChunkRows(parts)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return c.still(ctx, func(tx queryer) error { return dumpWay(ctx, tx, ids, to) })
}

func dumpWay(ctx context.Context, tx queryer, ids []int64, to TableSink) error {
	// The numbers are this program's own: no more than digits and commas.
	set := fmt.Sprint("(", intList(ids), ")")
	segments := "(SELECT segment FROM chunks WHERE id IN " + set + ")"
	for _, t := range []struct{ name, where string }{
		{"keepers", "WHERE id IN (SELECT keeper FROM shards WHERE segment IN " + segments + ") ORDER BY id"},
		{"segments", "WHERE id IN " + segments + " ORDER BY id"},
		{"shards", "WHERE segment IN " + segments + " ORDER BY segment, idx"},
		{"chunks", "WHERE id IN " + set + " ORDER BY id"},
	} {
		columns, _, err := tableColumns(ctx, tx, t.name)
		if err != nil {
			return err
		}
		if err := dumpTable(ctx, tx, to, t.name, columns, t.where); err != nil {
			return err
		}
	}
	return nil
}

func intList(ids []int64) string {
	var b []byte
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Append(b, id)
	}
	return string(b)
}

// EncodeParts and DecodeParts are the form of a list of chunks in the catalog.
func EncodeParts(parts []Part) []byte { return encodeParts(parts) }

// DecodeParts reads what EncodeParts wrote.
func DecodeParts(b []byte) ([]Part, error) { return decodeParts(b) }

// LoseBackups gives up a segment of backups that nothing brings back: what is
// in it is stored anew by the next backup, and older backups that rest on it are
// let go of. The newest of a machine stays until there is a newer one, which has
// to count on from it. It tells whether the segment held backups.
func (c *Catalog) LoseBackups(ctx context.Context, segment int64) (held bool, err error) {
	err = c.write(ctx, func(tx *sql.Tx) error {
		ids, err := collect(ctx, tx, scanInt, `UPDATE chunks SET cid = randomblob(32)
			WHERE segment IN (SELECT id FROM segments WHERE id = ? AND backup = 1) RETURNING id`, segment)
		if held = len(ids) > 0; err != nil || !held {
			return err
		}
		gone := make(map[int64]bool, len(ids))
		for _, id := range ids {
			gone[id] = true
		}
		rests := func(id int64) bool { return gone[id] }
		all, err := collect(ctx, tx, scanBackup, "SELECT "+backupColumns+" FROM backups ORDER BY device, number")
		if err != nil {
			return err
		}
		refs := newRefCounter(ctx, tx)
		defer refs.close()
		for i, b := range all {
			if !slices.ContainsFunc(ChunkRows(b.Parts), rests) && !slices.ContainsFunc(ChunkRows(b.Index), rests) {
				continue
			}
			if newest := i+1 == len(all) || all[i+1].Device != b.Device; newest {
				_, err = tx.ExecContext(ctx, "UPDATE backups SET stamp = randomblob(32) WHERE device = ? AND number = ?", b.Device[:], b.Number)
			} else {
				err = dropBackups(ctx, tx, refs, "device = ? AND number = ?", b.Device[:], b.Number)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return held, err
}
