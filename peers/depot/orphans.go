// SPDX-License-Identifier: MPL-2.0

package depot

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/preezm/preezm/peers"
)

// OrphanDays is for how many days on which this machine runs it keeps what
// belongs to somebody who is no longer in the circle: they may come back, and
// their files may need it.
const OrphanDays = 30

// orphanLook is how far apart two looks must be to count as two days. A clock
// that jumps ahead makes one day of any number, one that is set back none.
const orphanLook = 20 * time.Hour

const orphanSchema = `CREATE TABLE orphan (
		owner  BLOB PRIMARY KEY, -- a device that is not in the circle any more
		since  INTEGER NOT NULL, -- Unix seconds
		looked INTEGER NOT NULL, -- the last look that counted
		days   INTEGER NOT NULL
	) STRICT, WITHOUT ROWID;`

// Orphan is what is kept for somebody who is no longer in the circle.
type Orphan struct {
	Owner peers.DeviceID
	Usage Usage
	Since time.Time
	Days  int // on which it was kept since
}

// Orphans looks for owners that are no longer known, counts the day, and
// forgets what has been kept for [OrphanDays]. It gives those that are left.
// known is asked again before anything goes: they may be back by then.
func (d *Depot) Orphans(ctx context.Context, known func(peers.DeviceID) bool) ([]Orphan, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.working.Done()
	d.sweeping.Lock()
	defer d.sweeping.Unlock()
	list, err := d.orphans(ctx, known)
	if err != nil {
		return nil, fmt.Errorf("depot: what is kept for others than the circle: %w", err)
	}
	return list, nil
}

func (d *Depot) orphans(ctx context.Context, known func(peers.DeviceID) bool) ([]Orphan, error) {
	owners, err := d.index.owners(ctx)
	if err != nil {
		return nil, err
	}
	had, err := d.index.orphans(ctx)
	if err != nil {
		return nil, err
	}
	now, before := d.now(), maps.Clone(had)
	var out []Orphan
	var gone []peers.DeviceID
	for owner, acc := range owners {
		if known(owner) {
			continue
		}
		o, ok := had[owner]
		if !ok {
			o = orphanRow{since: now.Unix()}
		}
		switch age := now.Unix() - o.looked; {
		case age < 0:
			o.looked = now.Unix()
		case age >= int64(orphanLook/time.Second):
			o.looked, o.days = now.Unix(), o.days+1
		}
		had[owner] = o
		if o.days > OrphanDays {
			gone = append(gone, owner)
			continue
		}
		out = append(out, Orphan{owner, Usage{Used: acc.used, Shards: acc.shards}, time.Unix(o.since, 0), int(o.days)})
	}
	for owner := range had {
		if _, holds := owners[owner]; !holds || known(owner) {
			delete(had, owner)
		}
	}
	if !maps.Equal(had, before) {
		if err := d.index.setOrphans(ctx, had); err != nil {
			return nil, err
		}
	}
	for _, owner := range gone {
		if known(owner) {
			continue
		}
		if err := d.forgetOwner(ctx, owner); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b Orphan) int { return bytes.Compare(a.Owner[:], b.Owner[:]) })
	return out, nil
}

// forgetOwner deletes all that one device stored.
func (d *Depot) forgetOwner(ctx context.Context, owner peers.DeviceID) error {
	var ids []peers.ShardID
	err := d.eachRow(ctx, func(r *row) {
		if r.owner == owner {
			ids = append(ids, r.id)
		}
	})
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(ids, deleteBatch) {
		if err := d.deleteBatch(ctx, d.account(owner), batch); err != nil {
			return err
		}
	}
	d.log.Info("depot: forgot what was kept for somebody who left the circle", "owner", owner.Short(), "shards", len(ids))
	return nil
}

type orphanRow struct{ since, looked, days int64 }

func (x *index) orphans(ctx context.Context) (map[peers.DeviceID]orphanRow, error) {
	rows, err := x.db.QueryContext(ctx, "SELECT owner, since, looked, days FROM orphan")
	if err != nil {
		return nil, indexError(err)
	}
	defer rows.Close()
	out := map[peers.DeviceID]orphanRow{}
	for rows.Next() {
		var owner []byte
		var o orphanRow
		if err := rows.Scan(&owner, &o.since, &o.looked, &o.days); err != nil {
			return nil, indexError(err)
		}
		if len(owner) == 32 {
			out[peers.DeviceID(owner)] = o
		}
	}
	return out, indexError(rows.Err())
}

// setOrphans replaces what is known of them.
func (x *index) setOrphans(ctx context.Context, of map[peers.DeviceID]orphanRow) error {
	return x.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM orphan"); err != nil {
			return err
		}
		for owner, o := range of {
			if _, err := tx.ExecContext(ctx, "INSERT INTO orphan (owner, since, looked, days) VALUES (?, ?, ?, ?)", owner[:], o.since, o.looked, o.days); err != nil {
				return err
			}
		}
		return nil
	})
}
