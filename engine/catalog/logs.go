// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"

	"github.com/preezm/preezm/peers"
)

// LostLog is a custodian's log that it lost, as far as it was received.
type LostLog struct {
	Device  peers.DeviceID
	Number  int // of the custodian's lost logs, from 1
	Entries [][]byte
	Head    []byte // the newest; nil: none was received
}

// logEnd is under what the end of a log is noted.
func logEnd(d peers.DeviceID) string { return "log/" + hex.EncodeToString(d[:]) }

// AppendLog adds entries of a custodian's log after the ones known, the signed
// head that it told with them, and the head that the chain comes to with them.
func (c *Catalog) AppendLog(ctx context.Context, d peers.DeviceID, after uint64, entries [][]byte, head []byte, end [32]byte) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		for i, e := range entries {
			if _, err := tx.ExecContext(ctx, "INSERT INTO logs(device, seq, entry) VALUES(?,?,?)", d[:], after+uint64(i)+1, e); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO heads(device, head) VALUES(?,?)", d[:], head)
		if err == nil {
			_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO said(what, number, doc) VALUES(?,?,?)", logEnd(d), int64(after)+int64(len(entries)), end[:])
		}
		return err
	})
}

// LogEnd gives how many entries of a custodian's log were received, and the head
// that they come to; ok is false when that was not noted.
func (c *Catalog) LogEnd(ctx context.Context, d peers.DeviceID) (seq uint64, head [32]byte, ok bool, err error) {
	seq, doc, err := c.Said(ctx, logEnd(d))
	if err != nil || len(doc) != len(head) {
		return 0, head, false, err
	}
	return seq, [32]byte(doc), true, nil
}

// Log gives the entries of a custodian's log as received, and its newest head,
// nil when there is none.
func (c *Catalog) Log(ctx context.Context, d peers.DeviceID) (entries [][]byte, head []byte, err error) {
	entries, err = collect(ctx, c.r, scanBlob, "SELECT entry FROM logs WHERE device = ? ORDER BY seq", d[:])
	if err != nil {
		return nil, nil, err
	}
	heads, err := collect(ctx, c.r, scanBlob, "SELECT head FROM heads WHERE device = ?", d[:])
	if err != nil || len(heads) == 0 {
		return entries, nil, err
	}
	return entries, heads[0], nil
}

// LoseLog puts a custodian's log aside, so that another can begin. What was
// received of it stays.
func (c *Catalog) LoseLog(ctx context.Context, d peers.DeviceID) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		var number int
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(number), 0) + 1 FROM lost_logs WHERE device = ?", d[:]).Scan(&number); err != nil {
			return err
		}
		for _, q := range []string{
			"INSERT INTO lost_logs(device, number, seq, doc) SELECT device, ?, seq, entry FROM logs WHERE device = ?",
			"INSERT INTO lost_logs(device, number, seq, doc) SELECT device, ?, 0, head FROM heads WHERE device = ?",
		} {
			if _, err := tx.ExecContext(ctx, q, number, d[:]); err != nil {
				return err
			}
		}
		for _, q := range []string{"DELETE FROM logs WHERE device = ?", "DELETE FROM heads WHERE device = ?"} {
			if _, err := tx.ExecContext(ctx, q, d[:]); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM said WHERE what = ?", logEnd(d))
		return err
	})
}

// LostLogs gives the logs that custodians lost.
func (c *Catalog) LostLogs(ctx context.Context) ([]LostLog, error) {
	var out []LostLog
	_, err := collect(ctx, c.r, func(rows *sql.Rows) (struct{}, error) {
		var dev, doc []byte
		var number int
		var seq int64
		if err := rows.Scan(&dev, &number, &seq, &doc); err != nil {
			return struct{}{}, err
		}
		if len(dev) != 32 {
			return struct{}{}, errors.New("a custodian's name is damaged in the catalog")
		}
		d := peers.DeviceID(dev)
		if n := len(out); n == 0 || out[n-1].Device != d || out[n-1].Number != number {
			out = append(out, LostLog{Device: d, Number: number})
		}
		l := &out[len(out)-1]
		if seq == 0 {
			l.Head = doc
		} else {
			l.Entries = append(l.Entries, doc)
		}
		return struct{}{}, nil
	}, "SELECT device, number, seq, doc FROM lost_logs ORDER BY device, number, seq")
	return out, err
}
