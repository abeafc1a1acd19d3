// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"errors"

	"github.com/preezm/preezm/peers"
)

// Saying is something that the owner tells under a number.
type Saying struct {
	What   string
	Number uint64
	Doc    []byte
}

// Said gives the newest number and document of something that the owner tells
// its custodians: 0 and nil when it was never said.
func (c *Catalog) Said(ctx context.Context, what string) (number uint64, doc []byte, err error) {
	type row struct {
		number int64
		doc    []byte
	}
	rows, err := collect(ctx, c.r, func(rows *sql.Rows) (r row, err error) {
		err = rows.Scan(&r.number, &r.doc)
		return r, err
	}, "SELECT number, doc FROM said WHERE what = ?", what)
	if err != nil || len(rows) == 0 {
		return 0, nil, err
	}
	return uint64(rows[0].number), rows[0].doc, nil
}

// Say writes down what the owner says under a number, which must be higher than
// the last one: a number is never used for two things.
func (c *Catalog) Say(ctx context.Context, what string, number uint64, doc []byte) error {
	return c.write(ctx, func(tx *sql.Tx) error { return say(ctx, tx, what, number, doc) })
}

func say(ctx context.Context, tx *sql.Tx, what string, number uint64, doc []byte) error {
	if what == "" {
		return nil // nothing is to be noted
	}
	if doc == nil {
		doc = []byte{}
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO said(what, number, doc) VALUES(?,?,?)
		ON CONFLICT(what) DO UPDATE SET number = excluded.number, doc = excluded.doc WHERE excluded.number > number`, what, int64(number), doc)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(errors.New("a later one was said meanwhile"), err)
	}
	return nil
}

// Heard gives the highest number that each device has acknowledged.
func (c *Catalog) Heard(ctx context.Context, what string) (map[peers.DeviceID]uint64, error) {
	return byDevice(ctx, c.r, func(rows *sql.Rows, d *[]byte) (uint64, error) {
		var n int64
		err := rows.Scan(d, &n)
		return uint64(n), err
	}, "SELECT device, number FROM heard WHERE what = ?", what)
}

// Hear notes that a device has acknowledged what was said up to a number.
func (c *Catalog) Hear(ctx context.Context, d peers.DeviceID, what string, number uint64) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO heard(device, what, number) VALUES(?,?,?)
			ON CONFLICT(device, what) DO UPDATE SET number = max(number, excluded.number)`, d[:], what, int64(number))
		return err
	})
}

// Unhear notes that a device knows nothing of it any more.
func (c *Catalog) Unhear(ctx context.Context, d peers.DeviceID, what string) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM heard WHERE device = ? AND what = ?", d[:], what)
		return err
	})
}

// Retire notes since when a custodian decides no more, and the number of the
// chains that the others have from then on.
func (c *Catalog) Retire(ctx context.Context, d peers.DeviceID, at int64, what string, number uint64) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "UPDATE custodians SET retired = ? WHERE device = ? AND retired = 0", at, d[:])
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(errors.New("it is no custodian any more"), err)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO said(what, number, doc) VALUES(?,?,x'')
			ON CONFLICT(what) DO UPDATE SET number = max(number, excluded.number)`, what, int64(number))
		return err
	})
}

// ReplaceGrant writes a grant down that takes an older one's place, which is
// revoked with it.
func (c *Catalog) ReplaceGrant(ctx context.Context, g *Grant, pkg []byte, plan Saying, old [32]byte, revocation []byte) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		if err := addGrant(ctx, tx, g, pkg, plan); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE grants SET revocation = ? WHERE hash = ? AND length(revocation) = 0", revocation, old[:]); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO successors(grant_hash, by_hash) VALUES(?,?)", old[:], g.Hash[:])
		return err
	})
}

// Successors gives the grants that took the place of others, by those.
func (c *Catalog) Successors(ctx context.Context) (map[[32]byte][32]byte, error) {
	out := map[[32]byte][32]byte{}
	_, err := collect(ctx, c.r, func(rows *sql.Rows) (struct{}, error) {
		var old, by []byte
		if err := rows.Scan(&old, &by); err != nil || len(old) != 32 || len(by) != 32 {
			return struct{}{}, err
		}
		out[[32]byte(old)] = [32]byte(by)
		return struct{}{}, nil
	}, "SELECT grant_hash, by_hash FROM successors")
	return out, err
}

// Replan writes a grant's new ticket and the number of the plans in it down.
func (c *Catalog) Replan(ctx context.Context, grant [32]byte, ticket, what string, number uint64, digest []byte) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE grants SET ticket = ? WHERE hash = ?", ticket, grant[:]); err != nil {
			return err
		}
		return say(ctx, tx, what, number, digest)
	})
}
