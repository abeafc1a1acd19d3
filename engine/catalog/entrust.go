// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"errors"
)

// Ranges gives the numbers n for which there are ready segments in
// [n*size, (n+1)*size), in order.
func (c *Catalog) Ranges(ctx context.Context, size int64) ([]int64, error) {
	return collect(ctx, c.r, scanInt, "SELECT DISTINCT id / ? FROM segments WHERE state = 1 ORDER BY 1", size)
}

// Between gives the ready segments from one number up to another that is not
// included, with their shards, in order.
func (c *Catalog) Between(ctx context.Context, from, to int64) ([]*Segment, error) {
	type row struct {
		Segment
		sh Shard
	}
	rows, err := collect(ctx, c.r, func(rows *sql.Rows) (r row, err error) {
		var dev, id, root []byte
		if err := rows.Scan(&r.ID, &r.K, &r.N, &r.ShardLen, &r.DataLen, &dev, &id, &root, &r.sh.State); err != nil {
			return r, err
		}
		if len(dev) != 32 || len(id) != 32 || len(root) != 32 {
			return r, errors.New("a shard is damaged in the catalog")
		}
		copy(r.sh.Keeper[:], dev)
		copy(r.sh.ID[:], id)
		copy(r.sh.Root[:], root)
		return r, nil
	}, `SELECT g.id, g.k, g.n, g.shard_len, g.data_len, k.device, s.shard, s.root, s.state FROM segments g
		JOIN shards s ON s.segment = g.id JOIN keepers k ON k.id = s.keeper
		WHERE g.state = 1 AND g.id >= ? AND g.id < ? ORDER BY g.id, s.idx`, from, to)
	if err != nil {
		return nil, err
	}
	var out []*Segment
	for i := range rows {
		r := &rows[i]
		if len(out) == 0 || out[len(out)-1].ID != r.ID {
			out = append(out, &r.Segment)
		}
		last := out[len(out)-1]
		last.Shards = append(last.Shards, r.sh)
	}
	return out, nil
}
