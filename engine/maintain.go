// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/segment"
	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
)

const (
	// deletionPatience bounds how long a put or a removal waits for keepers
	// to be told what they may forget; what is not told waits in the catalog.
	deletionPatience = 3 * time.Second
	deletionBatch    = 1000
)

// Maintain pays debts: it drops segments that nobody needs, tells keepers what
// they may forget and remakes shards that keepers lack, from any k others,
// until nothing is left that can be done now or ctx ends.
func (e *Engine) Maintain(ctx context.Context) error {
	e.maintaining.Lock()
	defer e.maintaining.Unlock()
	select {
	case e.putting <- struct{}{}:
		_, err := e.collect(ctx)
		e.unlockPut()
		if err != nil {
			return err
		}
	default: // the put that is running collects at its end
	}
	if err := e.cat.EndMoves(ctx); err != nil {
		return err
	}
	e.tellDeletions(ctx, time.Minute) // makes room for what follows
	err := e.payDebts(ctx)
	e.tellDeletions(ctx, time.Minute) // of what was replaced
	return err
}

// tellDeletions asks each keeper, all at once, to forget what is queued.
func (e *Engine) tellDeletions(ctx context.Context, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var all sync.WaitGroup
	for _, k := range e.keepers() {
		all.Go(func() {
			for ctx.Err() == nil {
				ids, err := e.cat.Deletions(ctx, k.Device(), deletionBatch)
				if err != nil || len(ids) == 0 {
					return
				}
				if err = k.DeleteShards(ctx, ids); err == nil {
					err = e.cat.Deleted(context.WithoutCancel(ctx), k.Device(), ids)
				}
				if err != nil {
					e.log.Info("deletions wait", "keeper", k.Name(), "shards", len(ids), "err", err)
					return
				}
			}
		})
	}
	all.Wait()
}

// payDebts remakes missing shards, one segment at a time: it never takes the
// machine from a put or a get.
func (e *Engine) payDebts(ctx context.Context) error {
	var after int64
	for {
		ids, err := e.cat.Indebted(ctx, after, 100)
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			after = id
			if err := e.remake(ctx, id); err != nil {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				e.log.Info("a segment is not whole yet", "segment", id, "err", err)
			}
		}
	}
}

// remake rebuilds the missing shards of a segment and stores them: with the
// same keeper when it is still of the circle, else with one that has none of
// this segment. What was there keeps its place until the new one is durable.
func (e *Engine) remake(ctx context.Context, id int64) error {
	seg, err := e.cat.Segment(ctx, id)
	if errors.Is(err, catalog.ErrGone) {
		return nil
	} else if err != nil {
		return err
	}
	if len(e.homesFor(seg)) == 0 {
		return errors.New("no keeper can take the missing shards now")
	}
	buf := e.segments.get(seg.N)
	defer e.segments.put(buf)
	bufs := columns(buf, seg, segment.Whole(seg.K, seg.ShardLen))
	required := make([]bool, seg.N)
	for i, sh := range seg.Shards {
		required[i] = sh.State != catalog.There
	}
	if err := e.newFetcher(&blames{}).verified(ctx, seg, bufs, required); err != nil {
		return err
	}
	// Some that were thought lost may have answered.
	var errs []error
	for i, k := range e.homesFor(seg) {
		if erasure.ShardRoot(bufs[i]) != seg.Shards[i].Root {
			return fmt.Errorf("shard %d of segment %d was rebuilt wrong", i, id)
		}
		if err := e.replace(ctx, seg, i, k, bufs[i]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// replace gives shard i of seg to k and writes down that it is there.
func (e *Engine) replace(ctx context.Context, seg *catalog.Segment, i int, k peers.Keeper, data []byte) error {
	was := seg.Shards[i].ID
	sh := seg.Shards[i]
	if sh.Keeper != k.Device() || sh.State == catalog.Lost {
		// A keeper that lost a shard may hold a damaged one by that name.
		sh.Keeper = k.Device()
		rand.Read(sh.ID[:])
		if err := e.cat.BeginMove(ctx, sh.Keeper, sh.ID); err != nil {
			return err
		}
	}
	if err := k.PutShard(ctx, sh.ID, sh.Root, data); err != nil {
		if ctx.Err() == nil {
			e.scores.fail(k.Device(), false)
		}
		return err
	}
	e.scores.ok(k.Device(), 0, 0)
	sh.State = catalog.There
	return e.cat.SetShard(context.WithoutCancel(ctx), seg.ID, i, was, sh)
}

// homesFor chooses a keeper for each missing shard of seg: the one that should
// have it unless that is away, or another that is not to be avoided now. A disk
// that damaged a shard is no reason to send its keeper no sound one.
func (e *Engine) homesFor(seg *catalog.Segment) map[int]peers.Keeper {
	circle := e.keepers()
	byID := make(map[peers.DeviceID]peers.Keeper, len(circle))
	for _, k := range circle {
		byID[k.Device()] = k
	}
	taken := map[peers.DeviceID]bool{}
	for _, sh := range seg.Shards {
		if byID[sh.Keeper] != nil {
			taken[sh.Keeper] = true
		}
	}
	homes := map[int]peers.Keeper{}
	for i, sh := range seg.Shards {
		if sh.State == catalog.There {
			continue
		}
		if k := byID[sh.Keeper]; k != nil {
			if !e.scores.away(sh.Keeper) {
				homes[i] = k
			}
			continue
		}
		for _, other := range circle {
			if !taken[other.Device()] && !e.scores.avoid(other.Device()) {
				homes[i] = other
				taken[other.Device()] = true
				break
			}
		}
	}
	return homes
}
