// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

const compactSchema = `
-- A segment that was emptied by compaction is remembered on its keepers for a
-- while: an older copy of the catalog still leads to it.
ALTER TABLE candidates ADD COLUMN after INTEGER NOT NULL DEFAULT 0;  -- nanoseconds since 1970
ALTER TABLE deletions ADD COLUMN after INTEGER NOT NULL DEFAULT 0;   -- keepers are told then
`

// Sparse is a segment of which little is needed.
type Sparse struct {
	ID      int64
	DataLen int64
	Live    int64 // bytes of chunks that versions need
	Stored  int64 // bytes of its shards
}

// Sparse gives the ready segments, made before a time, of which less than half
// is needed, and those that never were filled by a quarter of capacity, given
// for one data shard, when they are at least some; oldest first. Those that
// nothing needs are Collect's.
func (c *Catalog) Sparse(ctx context.Context, madeBefore int64, capacity int, some int) ([]Sparse, error) {
	type row struct {
		Sparse
		k int64
	}
	rows, err := collect(ctx, c.r, func(rows *sql.Rows) (r row, err error) {
		err = rows.Scan(&r.ID, &r.DataLen, &r.k, &r.Live, &r.Stored)
		return r, err
	}, `SELECT g.id, g.data_len, g.k, coalesce(sum(k.sealed), 0) AS live, g.shard_len * g.n FROM segments g
		JOIN chunks k ON k.segment = g.id AND k.refs > 0
		WHERE g.state = 1 AND g.backup = 0 AND g.made < ? GROUP BY g.id
		HAVING live * 2 < g.data_len OR g.data_len * 4 < g.k * ? ORDER BY g.id`, madeBefore, capacity)
	if err != nil {
		return nil, err
	}
	small := 0
	for _, r := range rows {
		if r.Live*2 >= r.DataLen {
			small++
		}
	}
	var out []Sparse
	for _, r := range rows {
		if r.Live*2 < r.DataLen || small >= some {
			out = append(out, r.Sparse)
		}
	}
	return out, nil
}

// LiveChunks gives the chunks of a segment that versions need, in its order.
func (c *Catalog) LiveChunks(ctx context.Context, segment int64) ([]Chunk, error) {
	return collect(ctx, c.r, scanChunk, "SELECT "+chunkColumns+" FROM chunks WHERE segment = ? AND refs > 0 ORDER BY off", segment)
}

// Moved is a chunk that lies in another segment from now on.
type Moved struct {
	Chunk
	From int64 // segment
}

// moveChunks gives chunks their new places. Their old segments become
// candidates for Collect, whose shards keepers are told of after a time only.
func moveChunks(ctx context.Context, tx *sql.Tx, moved []Moved, after int64) error {
	if len(moved) == 0 {
		return nil
	}
	up, err := tx.PrepareContext(ctx, "UPDATE chunks SET segment = ?, off = ? WHERE id = ? AND segment = ?")
	if err != nil {
		return err
	}
	defer up.Close()
	from := map[int64]bool{}
	for i := range moved {
		m := &moved[i]
		res, err := up.ExecContext(ctx, m.Segment, m.Off, m.ID, m.From)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(fmt.Errorf("chunk %d is not where it was", m.ID), err)
		}
		from[m.From] = true
	}
	for s := range from {
		if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO candidates(segment, after) VALUES(?, ?)", s, after); err != nil {
			return err
		}
	}
	return nil
}
