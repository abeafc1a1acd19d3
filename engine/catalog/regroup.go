// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/preezm/preezm/peers"
)

// Spread is where the pieces of one segment are believed to be. Its slices
// are used again for the next one.
type Spread struct {
	Segment  int64
	K, N     int
	ShardLen int
	Backup   bool             // holds nothing but backups of the catalog; only Spreads tells
	Keepers  []peers.DeviceID // by index
	States   []ShardState
}

// Spread is where its pieces are believed to be.
func (s *Segment) Spread() *Spread {
	out := &Spread{
		Segment: s.ID, K: s.K, N: s.N, ShardLen: s.ShardLen,
		Keepers: make([]peers.DeviceID, len(s.Shards)), States: make([]ShardState, len(s.Shards)),
	}
	for i := range s.Shards {
		out.Keepers[i], out.States[i] = s.Shards[i].Keeper, s.Shards[i].State
	}
	return out
}

// Spreads calls f for every ready segment, in order.
func (c *Catalog) Spreads(ctx context.Context, f func(*Spread) error) error {
	rows, err := c.r.QueryContext(ctx, `SELECT g.id, g.k, g.n, g.shard_len, g.backup, k.device, s.state FROM segments g
		JOIN shards s ON s.segment = g.id JOIN keepers k ON k.id = s.keeper
		WHERE g.state = 1 ORDER BY g.id, s.idx`)
	if err != nil {
		return fmt.Errorf("catalog: %w", explain(err))
	}
	defer rows.Close()
	var now, next Spread
	give := func() error {
		if now.Segment == 0 {
			return nil
		}
		return f(&now)
	}
	for rows.Next() {
		var b []byte
		var state ShardState
		if err := rows.Scan(&next.Segment, &next.K, &next.N, &next.ShardLen, &next.Backup, &b, &state); err != nil {
			return fmt.Errorf("catalog: %w", err)
		}
		if next.Segment != now.Segment {
			if err := give(); err != nil {
				return err
			}
			keepers, states := now.Keepers[:0], now.States[:0]
			now = next
			now.Keepers, now.States = keepers, states
		}
		var d peers.DeviceID
		copy(d[:], b)
		now.Keepers, now.States = append(now.Keepers, d), append(now.States, state)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("catalog: %w", explain(err))
	}
	return give()
}

// Replace gives a segment other shards, and with them another geometry: all in
// one transaction, so that readers find the old ones or the new. was are the
// shards that it had; when it has others by now, or none, the new ones are
// queued for deletion and ErrGone is returned. Those that now lacks are held,
// see hold.go. New shards were written down with BeginMove. now has all
// shards of was and more, or none of them: see follow.go.
func (c *Catalog) Replace(ctx context.Context, was, now *Segment) error {
	changed := false
	err := c.write(ctx, func(tx *sql.Tx) error {
		have, err := collect(ctx, tx, scanShard, `SELECT k.device, s.shard, s.root, s.state, s.moved FROM shards s
			JOIN keepers k ON k.id = s.keeper WHERE s.segment = ? ORDER BY s.idx`, was.ID)
		if err != nil {
			return err
		}
		changed = len(have) != len(was.Shards)
		for i := 0; !changed && i < len(have); i++ {
			changed = have[i].ID != was.Shards[i].ID
		}
		if changed {
			return dropUnused(ctx, tx, now, have, false)
		}
		added := len(have)
		if !extends(have, now.Shards) {
			added = 0
			_, err = tx.ExecContext(ctx, "UPDATE segments SET recoded = recoded + 1, coding = randomblob(8) WHERE id = ?", was.ID)
			if err != nil {
				return err
			}
		}
		for i := added; i < len(now.Shards); i++ {
			now.Shards[i].Moved = 1 // it was not there at first
		}
		if err := putShards(ctx, tx, was.ID, now); err != nil {
			return err
		}
		for i := range now.Shards {
			if err := endMove(ctx, tx, &now.Shards[i]); err != nil {
				return err
			}
		}
		were := Segment{ShardLen: was.ShardLen, Shards: have}
		return dropUnused(ctx, tx, &were, now.Shards, true)
	})
	if err == nil && changed {
		err = ErrGone
	}
	return err
}

// extends tells whether shards were only added to those that there were.
func extends(were, now []Shard) bool {
	if len(now) < len(were) {
		return false
	}
	for i := range were {
		if were[i].ID != now[i].ID {
			return false
		}
	}
	return true
}

// putShards gives a segment those shards in place of all that it had.
func putShards(ctx context.Context, tx handle, segment int64, now *Segment) error {
	if _, err := tx.ExecContext(ctx, "UPDATE segments SET k = ?, n = ?, shard_len = ? WHERE id = ?", now.K, now.N, now.ShardLen, segment); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM shards WHERE segment = ?", segment); err != nil {
		return err
	}
	for i := range now.Shards {
		if err := insertShard(ctx, tx, segment, i, &now.Shards[i]); err != nil {
			return err
		}
	}
	return nil
}

func endMove(ctx context.Context, tx handle, sh *Shard) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM moves WHERE keeper = (SELECT id FROM keepers WHERE device = ?) AND shard = ?", sh.Keeper[:], sh.ID[:])
	return err
}

// dropUnused queues those shards of a segment for deletion that are not among
// the used, and holds them when they had a place.
func dropUnused(ctx context.Context, tx handle, of *Segment, used []Shard, placed bool) error {
	in := map[peers.ShardID]bool{}
	for i := range used {
		in[used[i].ID] = true
	}
	var held int64
	for i := range of.Shards {
		sh := &of.Shards[i]
		if in[sh.ID] {
			continue
		}
		if err := endMove(ctx, tx, sh); err != nil {
			return err
		}
		k, err := keeperID(ctx, tx, sh.Keeper)
		if err != nil {
			return err
		}
		if placed && held == 0 {
			if held, err = nextHold(ctx, tx); err != nil {
				return err
			}
		}
		if err := dropShard(ctx, tx, k, sh.ID, sh.State, of.ShardLen, held); err != nil {
			return err
		}
	}
	return nil
}
