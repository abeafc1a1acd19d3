// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
)

// gather reads whole shards of one segment for a repair: only as many as are
// needed, each checked against its root. A get asks more machines than it
// needs, to be fast; a repair is not in a hurry and is to cost little.
type gather struct {
	*fetcher
	seg   *catalog.Segment
	bufs  [][]byte
	have  []bool
	tried []bool
	why   map[int]error
}

func (f *fetcher) newGather(seg *catalog.Segment, bufs [][]byte) *gather {
	return &gather{fetcher: f, seg: seg, bufs: bufs, have: make([]bool, seg.N), tried: make([]bool, seg.N), why: map[int]error{}}
}

// pieces fills the buffers of the wanted shards: from their own keepers when
// those still have them, else rebuilt from any k.
func (f *fetcher) pieces(ctx context.Context, seg *catalog.Segment, bufs [][]byte, want []int) error {
	g := f.newGather(seg, bufs)
	// A keeper may have lacked its shard for a moment only. To ask it again
	// costs less than to read k others.
	direct := slices.DeleteFunc(slices.Clone(want), func(i int) bool {
		sh := seg.Shards[i]
		return g.keepers[sh.Keeper] == nil || sh.State == catalog.Owed || f.e.scores.away(sh.Keeper)
	})
	if len(direct) > 0 {
		if err := g.read(ctx, direct, len(direct)); err != nil && ctx.Err() != nil {
			return err
		}
	}
	missing := slices.DeleteFunc(slices.Clone(want), func(i int) bool { return g.have[i] })
	if len(missing) == 0 {
		return nil
	}
	if err := g.enough(ctx); err != nil {
		return err
	}
	return g.rebuild(missing)
}

// any reads k shards, and tells which.
func (f *fetcher) any(ctx context.Context, seg *catalog.Segment, bufs [][]byte) ([]bool, error) {
	g := f.newGather(seg, bufs)
	if err := g.enough(ctx); err != nil {
		return nil, err
	}
	return g.have, nil
}

// data fills the buffers of the k data shards.
func (f *fetcher) data(ctx context.Context, seg *catalog.Segment, bufs [][]byte) error {
	g := f.newGather(seg, bufs)
	if err := g.enough(ctx); err != nil {
		return err
	}
	var missing []int
	for i := range seg.K {
		if !g.have[i] {
			missing = append(missing, i)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return g.rebuild(missing)
}

// rank says how gladly a shard is read: 0 and 1 from a keeper that should
// have it, data before parity; 2 to 3 when it was slow, wrong or away lately,
// 4 when it is said to lack it, 5 never.
func (g *gather) rank(i int) int {
	sh := g.seg.Shards[i]
	switch {
	case g.keepers[sh.Keeper] == nil || sh.State == catalog.Owed:
		return 5
	case sh.State == catalog.Lost:
		return 4
	case g.e.scores.avoid(sh.Keeper):
		return 2 + btoi(i >= g.seg.K)
	}
	return btoi(i >= g.seg.K)
}

// enough reads until k shards are there.
func (g *gather) enough(ctx context.Context) error {
	order := make([]int, 0, g.seg.N)
	for i := range g.seg.N {
		if g.rank(i) < 5 && !g.have[i] && !g.tried[i] {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return g.rank(a) - g.rank(b) })
	have := 0
	for _, h := range g.have {
		have += btoi(h)
	}
	if have >= g.seg.K {
		return nil
	}
	return g.read(ctx, order, g.seg.K-have)
}

// read reads the shards in order, as many at once as are still needed, and
// one more for each that is slow.
func (g *gather) read(ctx context.Context, order []int, need int) error {
	// Who is not needed any more is not to blame for being late.
	caller, enough := context.WithCancel(ctx)
	defer enough()
	limited, cancel := context.WithTimeout(caller, atSlowest(g.seg.ShardLen))
	defer cancel()
	type result struct {
		i   int
		err error
	}
	results := make(chan result, len(order))
	open, good := 0, 0
	next := func() {
		if len(order) == 0 {
			return
		}
		i := order[0]
		order = order[1:]
		g.tried[i] = true
		open++
		go func() {
			results <- result{i, g.readWhole(limited, caller, g.keepers[g.seg.Shards[i].Keeper], g.seg, i, g.bufs[i])}
		}()
	}
	hedge := time.NewTicker(max(2*time.Second, 3*g.e.scores.patience(g.seg.ShardLen)))
	defer hedge.Stop()
	for range need {
		next()
	}
	for open > 0 {
		select {
		case r := <-results:
			open--
			if r.err != nil {
				g.why[r.i] = r.err
				if good < need {
					next()
				}
				continue
			}
			g.have[r.i] = true
			if good++; good == need {
				enough()
			}
		case <-hedge.C:
			next()
		}
	}
	if good >= need {
		return nil
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return fmt.Errorf("%w: %d of the %d needed gave what they were given (%s)", ErrTooFewKeepers, good, need, explainShards(g.fetcher, g.seg, g.why))
}

// rebuild computes the missing shards.
func (g *gather) rebuild(missing []int) error {
	c, err := g.codec(g.seg)
	if err != nil {
		return err
	}
	shards, required := make([][]byte, g.seg.N), make([]bool, g.seg.N)
	for i := range shards {
		if shards[i] = g.bufs[i]; !g.have[i] {
			shards[i] = g.bufs[i][:0]
		}
	}
	for _, i := range missing {
		required[i] = true
	}
	if err := c.Reconstruct(shards, required); err != nil {
		return fmt.Errorf("segment %d: %w", g.seg.ID, err)
	}
	for _, i := range missing {
		if &shards[i][0] != &g.bufs[i][0] {
			copy(g.bufs[i], shards[i])
		}
		// A root known from the catalog shows a mistake of this program.
		if erasure.ShardRoot(g.bufs[i]) != g.seg.Shards[i].Root {
			return fmt.Errorf("shard %d of segment %d was rebuilt wrong: %w", i, g.seg.ID, peers.ErrDamaged)
		}
	}
	g.rebuilt.Add(1)
	return nil
}

// moved tells whether a segment has other shards by now than when it was read.
func (e *Engine) moved(ctx context.Context, seg *catalog.Segment) bool {
	now, err := e.cat.Segment(ctx, seg.ID)
	return err == nil && !slices.EqualFunc(now.Shards, seg.Shards, func(a, b catalog.Shard) bool { return a.ID == b.ID })
}
