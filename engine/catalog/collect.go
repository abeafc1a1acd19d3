// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/preezm/preezm/peers"
)

// abandonWriting turns every segment that is still being written into
// deletions. Only Open and a put that ends call it: nothing is being written
// then.
func (c *Catalog) abandonWriting(ctx context.Context) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		_, err := dropSegments(ctx, tx, "state = 0")
		return err
	})
}

// Abandon forgets the segments of a put that ended before they were
// acknowledged. The caller holds the put lock.
func (c *Catalog) Abandon(ctx context.Context) error { return c.abandonWriting(ctx) }

// dropSegments removes the ready or unready segments that meet a condition on
// table segments, queues their shards for deletion and returns the bytes that
// keepers may forget.
func dropSegments(ctx context.Context, tx *sql.Tx, where string, args ...any) (int64, error) {
	var freed int64
	err := tx.QueryRowContext(ctx, `SELECT coalesce(sum(shard_len), 0) FROM segments JOIN shards ON segment = id
		WHERE shards.state = 1 AND segments.`+where, args...).Scan(&freed)
	if err != nil {
		return 0, err
	}
	in := "(SELECT id FROM segments WHERE segments." + where + ")"
	var held int64 // what compaction emptied: a backup may still lead there
	var emptied bool
	err = tx.QueryRowContext(ctx, "SELECT EXISTS(SELECT 1 FROM candidates WHERE after > 0)").Scan(&emptied)
	if err == nil && emptied {
		held, err = nextHold(ctx, tx)
	}
	if err != nil {
		return 0, err
	}
	for _, q := range []string{
		fmt.Sprintf(`INSERT OR IGNORE INTO deletions(keeper, shard, after, held, room) SELECT keeper, shard,
			coalesce(candidates.after, 0), CASE WHEN candidates.after > 0 AND shards.state = 1 THEN %d ELSE 0 END,
			CASE shards.state WHEN 1 THEN %s ELSE 0 END
			FROM shards JOIN segments ON id = shards.segment LEFT JOIN candidates ON candidates.segment = id WHERE id IN `, held, roomOf) + in,
		"DELETE FROM shards WHERE segment IN " + in,
		"DELETE FROM chunks WHERE segment IN " + in,
		"DELETE FROM segments WHERE " + where,
	} {
		if _, err := tx.ExecContext(ctx, q, args...); err != nil {
			return 0, err
		}
	}
	return freed, nil
}

// Collect removes the segments that no version needs any more and returns the
// bytes that keepers may forget. Segments that never were needed, left by an
// interrupted put, go when they were made before orphansBefore (nanoseconds).
// No put may run meanwhile: it could be about to need one of them.
func (c *Catalog) Collect(ctx context.Context, orphansBefore int64) (int64, error) {
	var freed int64
	err := c.write(ctx, func(tx *sql.Tx) error {
		var some bool
		err := tx.QueryRowContext(ctx, `SELECT EXISTS(SELECT 1 FROM candidates)
			OR EXISTS(SELECT 1 FROM segments WHERE state = 1 AND made < ?
				AND NOT EXISTS(SELECT 1 FROM chunks WHERE segment = segments.id AND refs > 0))`, orphansBefore).Scan(&some)
		if err != nil {
			return err
		}
		if !some { // unless something waits for other machines
			if err := tx.QueryRowContext(ctx, "SELECT EXISTS(SELECT 1 FROM dead)").Scan(&some); err != nil || !some {
				return err
			}
		}
		dead := `id IN (SELECT id FROM segments WHERE state = 1
			AND (made < ? OR id IN (SELECT segment FROM candidates))
			AND NOT EXISTS(SELECT 1 FROM chunks WHERE segment = segments.id AND refs > 0))`
		if _, err := tx.ExecContext(ctx, "CREATE TEMP TABLE gone(id INTEGER PRIMARY KEY)"); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO temp.gone SELECT id FROM segments WHERE "+dead, orphansBefore); err != nil {
			return err
		}
		if err := c.spare(ctx, tx); err != nil {
			return err
		}
		if freed, err = dropSegments(ctx, tx, "id IN (SELECT id FROM temp.gone)"); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DROP TABLE temp.gone"); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM candidates")
		return err
	})
	return freed, err
}

// Deletions gives up to limit shards that a keeper may forget.
func (c *Catalog) Deletions(ctx context.Context, keeper peers.DeviceID, limit int) ([]peers.ShardID, error) {
	return collect(ctx, c.r, func(rows *sql.Rows) (id peers.ShardID, err error) {
		var b []byte
		if err = rows.Scan(&b); err == nil && copy(id[:], b) != len(id) {
			err = errors.New("a shard's name is damaged in the catalog")
		}
		return id, err
	}, "SELECT shard FROM deletions WHERE keeper = (SELECT id FROM keepers WHERE device = ?) AND held = 0 AND after <= ? LIMIT ?", keeper[:], c.now().UnixNano(), limit)
}

// Deleted records that a keeper has forgotten the shards.
func (c *Catalog) Deleted(ctx context.Context, keeper peers.DeviceID, ids []peers.ShardID) error {
	return c.writeRestless(ctx, func(tx *sql.Tx) error {
		del, err := tx.PrepareContext(ctx, "DELETE FROM deletions WHERE keeper = (SELECT id FROM keepers WHERE device = ?) AND shard = ?")
		if err != nil {
			return err
		}
		defer del.Close()
		for _, id := range ids {
			if _, err := del.ExecContext(ctx, keeper[:], id[:]); err != nil {
				return err
			}
		}
		return nil
	})
}

// Indebted gives up to limit segments, after the given one, with a shard that
// is owed or lost.
func (c *Catalog) Indebted(ctx context.Context, after int64, limit int) ([]int64, error) {
	return collect(ctx, c.r, scanInt,
		"SELECT DISTINCT segment FROM shards WHERE state <> 1 AND segment > ? AND segment IN (SELECT id FROM segments WHERE state = 1) ORDER BY segment LIMIT ?", after, limit)
}

func scanInt(rows *sql.Rows) (n int64, err error) {
	err = rows.Scan(&n)
	return n, err
}

// Totals counts everything for a status.
type Totals struct {
	Sum
	Pieces
}

// Pieces counts what lies with the keepers.
type Pieces struct {
	Segments, Stored int64 // Stored in shard bytes acknowledged
	Debt, Pending    int64 // shards owed or lost; deletions that wait
}

// Totals gives the counts.
func (c *Catalog) Totals(ctx context.Context) (Totals, error) {
	sum, err := c.SumBelow(ctx, "")
	if err != nil {
		return Totals{}, err
	}
	p, err := c.Pieces(ctx)
	return Totals{sum, p}, err
}

// Pieces gives the counts that need no look at every file.
func (c *Catalog) Pieces(ctx context.Context) (p Pieces, err error) {
	err = c.r.QueryRowContext(ctx, `SELECT
		(SELECT count(*) FROM segments WHERE state = 1),
		(SELECT coalesce(sum(shard_len), 0) FROM shards JOIN segments ON id = segment WHERE shards.state = 1 AND segments.state = 1),
		(SELECT count(*) FROM shards JOIN segments ON id = segment WHERE shards.state <> 1 AND segments.state = 1),
		(SELECT count(*) FROM deletions WHERE held = 0 AND after <= ?)`, c.now().UnixNano()).Scan(&p.Segments, &p.Stored, &p.Debt, &p.Pending)
	if err != nil {
		return p, fmt.Errorf("catalog: %w", explain(err))
	}
	return p, nil
}

// KeeperTotals is what one keeper holds, by the catalog.
type KeeperTotals struct{ Shards, Bytes int64 }

// Keepers counts the shards that each keeper acknowledged.
func (c *Catalog) Keepers(ctx context.Context) (map[peers.DeviceID]KeeperTotals, error) {
	return byDevice(ctx, c.r, func(rows *sql.Rows, d *[]byte) (t KeeperTotals, err error) {
		err = rows.Scan(d, &t.Shards, &t.Bytes)
		return t, err
	}, `SELECT k.device, count(*), sum(g.shard_len) FROM shards s JOIN keepers k ON k.id = s.keeper
		JOIN segments g ON g.id = s.segment WHERE s.state = 1 AND g.state = 1 GROUP BY k.id`)
}

// ChunkPlaces tells in which segment each chunk lies: 16 bytes a chunk, ordered by
// chunk. Of 100,000 files it is a tenth of what a map takes while it grows.
type ChunkPlaces []chunkPlace

type chunkPlace struct{ chunk, segment int64 }

// Of gives the segment of a chunk, 0: there is no such chunk.
func (p ChunkPlaces) Of(chunk int64) int64 {
	i, found := slices.BinarySearchFunc(p, chunk, func(c chunkPlace, id int64) int { return cmp.Compare(c.chunk, id) })
	if !found {
		return 0
	}
	return p[i].segment
}

// ChunkSegments gives the places of all chunks at once, so that the health of
// 100,000 files is one pass.
func (c *Catalog) ChunkSegments(ctx context.Context) (ChunkPlaces, error) {
	var count int
	if err := c.r.QueryRowContext(ctx, "SELECT count(*) FROM chunks").Scan(&count); err != nil {
		return nil, fmt.Errorf("catalog: %w", explain(err))
	}
	rows, err := c.r.QueryContext(ctx, "SELECT id, segment FROM chunks ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", explain(err))
	}
	defer rows.Close()
	out := make(ChunkPlaces, 0, count)
	for rows.Next() {
		var p chunkPlace
		if err := rows.Scan(&p.chunk, &p.segment); err != nil {
			return nil, fmt.Errorf("catalog: %w", err)
		}
		out = append(out, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("catalog: %w", explain(err))
	}
	return out, nil
}
