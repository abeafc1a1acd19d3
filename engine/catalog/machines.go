// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"

	"github.com/preezm/preezm/peers"
)

// machinesSchema is a step of migrations.
const machinesSchema = `
-- This person's own machines, past ones too.
CREATE TABLE machines(
  device  BLOB PRIMARY KEY,
  name    TEXT NOT NULL,
  sign    BLOB NOT NULL,      -- its signing key
  added   INTEGER NOT NULL,   -- Unix seconds
  removed INTEGER NOT NULL,   -- Unix seconds; 0: it is one
  stolen  INTEGER NOT NULL    -- 1: it was removed for that
) WITHOUT ROWID;

-- How far this machine knows each of the others.
CREATE TABLE imports(
  device  BLOB PRIMARY KEY,
  number  INTEGER NOT NULL,   -- of the other's backup
  made    INTEGER NOT NULL,   -- Unix seconds
  knew    INTEGER NOT NULL    -- the number of this machine's that the other knew then
) WITHOUT ROWID;
`

// Machine is one of the owner's own machines.
type Machine struct {
	Device  peers.DeviceID
	Name    string
	Sign    [32]byte
	Added   int64 // Unix seconds
	Removed int64 // Unix seconds; 0: it is one
	Stolen  bool
}

// Machines lists the owner's machines, in the order they were added.
func (c *Catalog) Machines(ctx context.Context) ([]Machine, error) {
	return collect(ctx, c.r, func(rows *sql.Rows) (m Machine, err error) {
		var dev, sign []byte
		err = rows.Scan(&dev, &m.Name, &sign, &m.Added, &m.Removed, &m.Stolen)
		copy(m.Device[:], dev)
		copy(m.Sign[:], sign)
		return m, err
	}, "SELECT device, name, sign, added, removed, stolen FROM machines ORDER BY added, device")
}

// PutMachine adds a machine, or replaces what is known of it.
func (c *Catalog) PutMachine(ctx context.Context, m Machine) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO machines(device, name, sign, added, removed, stolen) VALUES(?,?,?,?,?,?)",
			m.Device[:], m.Name, m.Sign[:], m.Added, m.Removed, m.Stolen)
		return err
	})
}

// Import is how far this machine knows another one of the owner's.
type Import struct {
	Device peers.DeviceID
	Number uint64
	Made   int64  // Unix seconds
	Knew   uint64 // the number of this machine's that the other knew then
}

// Imports lists how far this machine knows the others, by device.
func (c *Catalog) Imports(ctx context.Context) ([]Import, error) {
	return collect(ctx, c.r, func(rows *sql.Rows) (i Import, err error) {
		var dev []byte
		err = rows.Scan(&dev, &i.Number, &i.Made, &i.Knew)
		copy(i.Device[:], dev)
		return i, err
	}, "SELECT device, number, made, knew FROM imports ORDER BY device")
}
