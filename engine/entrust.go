// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"github.com/preezm/preezm/engine/audit"
	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/repair"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretask"
)

// Entrusted gives, part by part, what a caretaker is told of the segments: where
// each piece is, its root and its name. at gives a keeper's place in the task's
// list, or caretask.Nowhere. Parts that did not change are the same each time.
// It gives how many segments no part has room for.
func (e *Engine) Entrusted(ctx context.Context, at func(peers.DeviceID) uint8, f func(part int, p caretask.Part) error) (left int64, err error) {
	ranges, err := e.cat.Ranges(ctx, caretask.MaxSegments)
	if err != nil {
		return 0, err
	}
	for i, r := range ranges {
		if err := ctx.Err(); err != nil {
			return left, context.Cause(ctx)
		}
		p, more, err := e.entrustedRange(ctx, r, at)
		if err != nil {
			return left, err
		}
		if left += more; i >= caretask.MaxParts {
			left += int64(len(p))
			continue
		}
		if err := f(i, p); err != nil {
			return left, err
		}
	}
	return left, nil
}

// Part gives one part anew.
func (e *Engine) Part(ctx context.Context, at func(peers.DeviceID) uint8, part int) (caretask.Part, error) {
	ranges, err := e.cat.Ranges(ctx, caretask.MaxSegments)
	if err != nil || part >= len(ranges) {
		return nil, err
	}
	p, _, err := e.entrustedRange(ctx, ranges[part], at)
	return p, err
}

func (e *Engine) entrustedRange(ctx context.Context, r int64, at func(peers.DeviceID) uint8) (p caretask.Part, left int64, err error) {
	segs, err := e.cat.Between(ctx, r*caretask.MaxSegments, (r+1)*caretask.MaxSegments)
	if err != nil {
		return nil, 0, err
	}
	for _, s := range segs {
		if len(s.Shards) > caretask.MaxPieces {
			left++
			continue
		}
		t := caretask.Segment{K: uint8(s.K), Size: uint32(s.ShardLen)}
		for i := range s.Shards {
			sh := &s.Shards[i]
			x := caretask.Piece{Keeper: caretask.Nowhere, ID: sh.ID, Root: sh.Root}
			if sh.State == catalog.There {
				x.Keeper = at(sh.Keeper)
			}
			t.Pieces = append(t.Pieces, x)
		}
		raw, err := t.Encode()
		if err != nil {
			return nil, 0, err
		}
		p = append(p, raw)
	}
	return p, left, nil
}

// Regained is what was found of a caretaker's work.
type Regained struct {
	Pieces int64 `json:"pieces"`
	Bytes  int64 `json:"bytes"`
}

// regainBatch is how many segments are looked for at once.
const regainBatch = 512

// Regain looks for pieces that a caretaker made anew: of those that are not
// where the catalog says, by the names that they would have at each keeper that
// answers. What a keeper proves to hold takes the old one's place. So nobody is
// believed, and what is as it should be is not touched.
func (e *Engine) Regain(ctx context.Context) (r Regained, err error) {
	w, err := e.crew(ctx)
	if err != nil {
		return r, err
	}
	unsound := func(d peers.DeviceID, state catalog.ShardState) bool {
		at, ok := w.at[d]
		return !ok || state != catalog.There || w.ms[at].Standing != repair.Well
	}
	var ids []int64
	err = e.cat.Spreads(ctx, func(s *catalog.Spread) error {
		for i := range s.Keepers {
			if unsound(s.Keepers[i], s.States[i]) {
				ids = append(ids, s.Segment)
				break
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return r, err
	}
	var keepers []peers.Keeper
	for i, k := range w.keepers {
		if w.ms[i].Standing == repair.Well {
			keepers = append(keepers, k)
		}
	}
	for batch := range slices.Chunk(ids, regainBatch) {
		var lost []catalog.ShardRef
		for _, id := range batch {
			seg, err := e.cat.Segment(ctx, id)
			if errors.Is(err, catalog.ErrGone) {
				continue
			} else if err != nil {
				return r, err
			}
			for i := range seg.Shards {
				if unsound(seg.Shards[i].Keeper, seg.Shards[i].State) {
					lost = append(lost, ref(seg, i))
				}
			}
		}
		for _, k := range keepers {
			if lost, err = e.regainFrom(ctx, k, lost, &r); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

func ref(seg *catalog.Segment, i int) catalog.ShardRef {
	return catalog.ShardRef{Segment: seg.ID, Index: i, Shard: seg.Shards[i], Size: seg.ShardLen}
}

// regainFrom looks for pieces at one keeper, and gives those that are not there.
// A keeper that does not answer has none.
func (e *Engine) regainFrom(ctx context.Context, k peers.Keeper, lost []catalog.ShardRef, r *Regained) (left []catalog.ShardRef, err error) {
	prover, ok := k.(peers.Auditee)
	if !ok || len(lost) == 0 {
		return lost, nil
	}
	ids := make([]peers.ShardID, len(lost))
	for i := range lost {
		ids[i] = caretask.Moved(lost[i].ID, k.Device())
	}
	sizes, err := k.StatShards(ctx, ids)
	if err != nil {
		e.log.Debug("look for pieces that a caretaker made", "keeper", k.Name(), "err", err)
		return lost, ctx.Err()
	}
	var found []int
	for i := range lost {
		if sizes[i] == int64(lost[i].Size) {
			found = append(found, i)
		} else {
			left = append(left, lost[i])
		}
	}
	for some := range slices.Chunk(found, peers.MaxAudited) {
		proven, err := e.prove(ctx, k, prover, lost, ids, some)
		if err != nil {
			return nil, err
		}
		for j, i := range some {
			if !proven[j] {
				left = append(left, lost[i])
				continue
			}
			sh := lost[i].Shard
			sh.Keeper, sh.ID, sh.State = k.Device(), ids[i], catalog.There
			if err := e.cat.SetShard(context.WithoutCancel(ctx), lost[i].Segment, lost[i].Index, lost[i].ID, sh); err != nil {
				return nil, err
			}
			r.Pieces++
			r.Bytes += int64(lost[i].Size)
		}
	}
	return left, nil
}

// prove has a keeper prove that it holds some pieces.
func (e *Engine) prove(ctx context.Context, k peers.Keeper, prover peers.Auditee, lost []catalog.ShardRef, ids []peers.ShardID, some []int) ([]bool, error) {
	var nonce peers.Nonce
	rand.Read(nonce[:])
	asked, sizes := make([]peers.ShardID, len(some)), make([]int64, len(some))
	for j, i := range some {
		asked[j], sizes[j] = ids[i], int64(lost[i].Size)
	}
	out := make([]bool, len(some))
	one, cancel := context.WithTimeout(ctx, audit.Patience)
	defer cancel()
	proofs, err := prover.AuditShards(one, nonce, asked, sizes, audit.Spots)
	if err != nil {
		e.log.Info("pieces that a caretaker made are not proved yet", "keeper", k.Name(), "err", err)
		return out, ctx.Err()
	}
	for j, i := range some {
		out[j] = proofs[j].Check(nonce, asked[j], sizes[j], lost[i].Root, audit.Spots)
	}
	return out, nil
}

// elsewhere is called when too few pieces of a segment could be read: it gives
// the segment as it is known by now, when others changed it or a caretaker made
// some of those pieces anew; nil: it is as it was.
func (e *Engine) elsewhere(ctx context.Context, seg *catalog.Segment, why map[int]error) *catalog.Segment {
	e.regaining.Lock()
	defer e.regaining.Unlock()
	same := func(now *catalog.Segment) bool {
		return now.K == seg.K && now.N == seg.N && now.ShardLen == seg.ShardLen // the buffers are for that
	}
	now, err := e.cat.Segment(ctx, seg.ID)
	if err != nil || !same(now) {
		return nil
	}
	if slices.EqualFunc(now.Shards, seg.Shards, func(a, b catalog.Shard) bool { return a.ID == b.ID }) {
		var lost []catalog.ShardRef
		for i := range why {
			lost = append(lost, ref(now, i))
		}
		var r Regained
		for _, k := range e.keepers() {
			if e.scores.away(k.Device()) {
				continue
			}
			if lost, err = e.regainFrom(ctx, k, lost, &r); err != nil {
				return nil
			}
		}
		if r.Pieces == 0 {
			return nil
		}
		e.log.Info("pieces that a caretaker made were found", "segment", seg.ID, "pieces", r.Pieces)
		if now, err = e.cat.Segment(ctx, seg.ID); err != nil || !same(now) {
			return nil
		}
	}
	return now
}
