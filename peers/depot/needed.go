// SPDX-License-Identifier: MPL-2.0

package depot

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/shardlist"
)

// DefaultGrace is how long a shard is kept after a list first said that it is
// not needed, while every list that comes says so again.
const DefaultGrace = 7 * 24 * time.Hour

const neededSchema = `CREATE TABLE needed (
		device BLOB PRIMARY KEY,  -- whose machine's list it is
		number INTEGER NOT NULL,
		list   BLOB NOT NULL      -- as it came, signed
	) STRICT, WITHOUT ROWID;
	CREATE TABLE condemned (
		id     BLOB NOT NULL,
		device BLOB NOT NULL,     -- whose list said that it is not needed
		since  INTEGER NOT NULL,  -- Unix seconds
		PRIMARY KEY (device, id)
	) STRICT, WITHOUT ROWID;`

// Needed takes an owner's list of what it needs, raw as it came and read. What
// the list says is not needed goes once it has said so for the grace, unless
// the list of another machine of the same account needs it. peers.ErrStale for
// a list that is not newer than the last.
func (d *Depot) Needed(ctx context.Context, l *shardlist.List, raw []byte) (shardlist.Swept, error) {
	if err := d.enter(); err != nil {
		return shardlist.Swept{}, err
	}
	defer d.working.Done()
	d.sweeping.Lock()
	defer d.sweeping.Unlock()
	s, err := d.needed(ctx, l, raw)
	if err != nil {
		return s, fmt.Errorf("depot: list of shards: %w", err)
	}
	return s, nil
}

func (d *Depot) needed(ctx context.Context, l *shardlist.List, raw []byte) (shardlist.Swept, error) {
	account := d.account(l.Owner)
	others, err := d.index.setNeeded(ctx, l, raw, func(by peers.DeviceID) bool { return d.account(by) == account })
	if err != nil {
		return shardlist.Swept{}, err
	}
	before, err := d.index.condemned(ctx, l.Owner)
	if err != nil {
		return shardlist.Swept{}, err
	}
	now := d.now().Unix()
	var s shardlist.Swept
	var fresh, gone []peers.ShardID
	still := map[peers.ShardID]bool{}
	judge := func(r *row) {
		if d.account(r.owner) != account || l.Says(r.id) != shardlist.Unneeded {
			return
		}
		for _, o := range others {
			if o.Says(r.id) == shardlist.Needed {
				return
			}
		}
		since, known := before[r.id]
		switch {
		case !known:
			fresh = append(fresh, r.id)
			s.Waiting++
		case now-since >= int64(d.grace/time.Second):
			gone = append(gone, r.id)
		default:
			still[r.id] = true
			s.Waiting++
		}
	}
	if err := d.eachRow(ctx, judge); err != nil {
		return s, err
	}
	for batch := range slices.Chunk(gone, deleteBatch) {
		if err := d.deleteBatch(ctx, account, batch); err != nil {
			return s, err
		}
		s.Gone += int64(len(batch))
	}
	// What a list spoke well of, or not at all, must be condemned anew.
	var pardoned []peers.ShardID
	for id := range before {
		if !still[id] {
			pardoned = append(pardoned, id)
		}
	}
	if s.Gone > 0 {
		d.log.Info("depot: forgot what its owner does not need", "owner", l.Owner.Short(), "shards", s.Gone)
	}
	return s, d.index.condemn(ctx, l.Owner, fresh, pardoned, now)
}

// eachRow calls f for every shard.
func (d *Depot) eachRow(ctx context.Context, f func(*row)) error {
	var last []byte
	for {
		page, err := d.index.after(ctx, last, reconcilePage)
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			f(&page[i])
		}
		last = page[len(page)-1].id[:]
	}
}

// setNeeded remembers a list and gives the newest ones of the other machines
// that are heard too. Those of everybody else are not read: each may be large.
func (x *index) setNeeded(ctx context.Context, l *shardlist.List, raw []byte, heard func(peers.DeviceID) bool) ([]*shardlist.List, error) {
	var others []*shardlist.List
	err := x.write(ctx, func(tx *sql.Tx) error {
		var number int64
		err := tx.QueryRowContext(ctx, "SELECT number FROM needed WHERE device = ?", l.Owner[:]).Scan(&number)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err == nil && l.Number <= uint64(number) || l.Number > 1<<62 {
			return peers.ErrStale
		}
		if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO needed (device, number, list) VALUES (?, ?, ?)", l.Owner[:], int64(l.Number), raw); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, "SELECT device, list FROM needed WHERE device <> ?", l.Owner[:])
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var by, list []byte
			if err := rows.Scan(&by, &list); err != nil {
				return err
			}
			if len(by) != 32 {
				return fmt.Errorf("%w: a list of shards", errIndex)
			}
			if !heard(peers.DeviceID(by)) {
				continue
			}
			o, err := shardlist.Stored(list)
			if err != nil {
				return fmt.Errorf("%w: a list of shards", errIndex)
			}
			others = append(others, o)
		}
		return rows.Err()
	})
	return others, err
}

// condemned gives what a machine's lists have said is not needed, and since
// when.
func (x *index) condemned(ctx context.Context, by peers.DeviceID) (map[peers.ShardID]int64, error) {
	rows, err := x.db.QueryContext(ctx, "SELECT id, since FROM condemned WHERE device = ?", by[:])
	if err != nil {
		return nil, indexError(err)
	}
	defer rows.Close()
	out := map[peers.ShardID]int64{}
	for rows.Next() {
		var id []byte
		var since int64
		if err := rows.Scan(&id, &since); err != nil {
			return nil, indexError(err)
		}
		if len(id) == 32 {
			out[peers.ShardID(id)] = since
		}
	}
	return out, indexError(rows.Err())
}

// condemn writes the outcome of a list down.
func (x *index) condemn(ctx context.Context, by peers.DeviceID, fresh, pardoned []peers.ShardID, now int64) error {
	return x.write(ctx, func(tx *sql.Tx) error {
		for i := range fresh {
			if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO condemned (id, device, since) VALUES (?, ?, ?)", fresh[i][:], by[:], now); err != nil {
				return err
			}
		}
		for i := range pardoned {
			if _, err := tx.ExecContext(ctx, "DELETE FROM condemned WHERE device = ? AND id = ?", by[:], pardoned[i][:]); err != nil {
				return err
			}
		}
		return nil
	})
}
