// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

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
		for i, k := range keepers {
			if k == nil || len(lost) == 0 {
				continue
			}
			found, err := e.madeAt(ctx, k, lost, audit.Patience)
			if ctx.Err() != nil {
				return r, context.Cause(ctx)
			}
			if err != nil {
				keepers[i] = nil // it would keep each batch waiting
				continue
			}
			if lost, err = e.regain(ctx, k, lost, found, &r); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

func ref(seg *catalog.Segment, i int) catalog.ShardRef {
	return catalog.ShardRef{Segment: seg.ID, Index: i, Shard: seg.Shards[i], Size: seg.ShardLen}
}

// searchTime is how long a keeper may take for each answer when somebody waits
// for a file.
const searchTime = 10 * time.Second

// madeAt asks a keeper which of some pieces a caretaker made anew at it, and has
// it prove that. patience is how long each answer may take.
func (e *Engine) madeAt(ctx context.Context, k peers.Keeper, lost []catalog.ShardRef, patience time.Duration) (found []bool, err error) {
	found = make([]bool, len(lost))
	prover, ok := k.(peers.Auditee)
	if !ok {
		return found, nil
	}
	one, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ids := make([]peers.ShardID, len(lost))
	for i := range lost {
		ids[i] = caretask.Moved(lost[i].ID, k.Device())
	}
	sizes, err := k.StatShards(one, ids)
	if err != nil {
		e.log.Debug("look for pieces that a caretaker made", "keeper", k.Name(), "err", err)
		return nil, err
	}
	var there []int
	for i := range lost {
		if sizes[i] == int64(lost[i].Size) {
			there = append(there, i)
		}
	}
	for some := range slices.Chunk(there, peers.MaxAudited) {
		one, cancel := context.WithTimeout(ctx, patience)
		err := e.prove(one, prover, lost, ids, some, found)
		cancel()
		if err != nil {
			e.log.Info("pieces that a caretaker made are not proved yet", "keeper", k.Name(), "err", err)
			return found, nil // what it did prove counts
		}
	}
	return found, nil
}

// prove has a keeper prove that it holds some pieces, and notes which it does.
func (e *Engine) prove(ctx context.Context, prover peers.Auditee, lost []catalog.ShardRef, ids []peers.ShardID, some []int, found []bool) error {
	var nonce peers.Nonce
	rand.Read(nonce[:])
	asked, sizes := make([]peers.ShardID, len(some)), make([]int64, len(some))
	for j, i := range some {
		asked[j], sizes[j] = ids[i], int64(lost[i].Size)
	}
	proofs, err := prover.AuditShards(ctx, nonce, asked, sizes, audit.Spots)
	if err != nil {
		return err
	}
	for j, i := range some {
		found[i] = proofs[j].Check(nonce, asked[j], sizes[j], lost[i].Root, audit.Spots)
	}
	return nil
}

// regain puts the pieces that were found at a keeper in the place of those that
// are lost, and gives the others.
func (e *Engine) regain(ctx context.Context, k peers.Keeper, lost []catalog.ShardRef, found []bool, r *Regained) (left []catalog.ShardRef, err error) {
	for i := range lost {
		if !found[i] {
			left = append(left, lost[i])
			continue
		}
		sh := lost[i].Shard
		sh.Keeper, sh.ID, sh.State = k.Device(), caretask.Moved(lost[i].ID, k.Device()), catalog.There
		if err := e.cat.SetShard(context.WithoutCancel(ctx), lost[i].Segment, lost[i].Index, lost[i].ID, sh); err != nil {
			return nil, err
		}
		r.Pieces++
		r.Bytes += int64(lost[i].Size)
	}
	return left, nil
}

// turns lets one at a time work on a thing of a number, and others on others.
type turns struct {
	mu sync.Mutex
	of map[int64]*turn
}

type turn struct {
	token chan struct{} // holds one
	users int
}

// take waits for the turn; done ends it.
func (t *turns) take(ctx context.Context, id int64) (done func(), err error) {
	t.mu.Lock()
	x := t.of[id]
	if x == nil {
		if t.of == nil {
			t.of = map[int64]*turn{}
		}
		x = &turn{token: make(chan struct{}, 1)}
		t.of[id] = x
	}
	x.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if x.users--; x.users == 0 {
			delete(t.of, id)
		}
	}
	select {
	case x.token <- struct{}{}:
		return func() { <-x.token; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}

// elsewhere is called when too few pieces of a segment could be read: it gives
// the segment as it is known by now, when others changed it or a caretaker made
// some of those pieces anew; nil: it is as it was.
func (e *Engine) elsewhere(ctx context.Context, seg *catalog.Segment, why map[int]error) *catalog.Segment {
	done, err := e.regaining.take(ctx, seg.ID)
	if err != nil {
		return nil
	}
	defer done()
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
		r, err := e.search(ctx, lost, seg.K-(seg.N-len(why)))
		if err != nil || r.Pieces == 0 {
			return nil
		}
		e.log.Info("pieces that a caretaker made were found", "segment", seg.ID, "pieces", r.Pieces)
		if now, err = e.cat.Segment(ctx, seg.ID); err != nil || !same(now) {
			return nil
		}
	}
	return now
}

// search asks all keepers at once for pieces of a segment that a caretaker made,
// until enough are found. Somebody waits for it: who is slow is left behind.
func (e *Engine) search(ctx context.Context, lost []catalog.ShardRef, enough int) (r Regained, err error) {
	type answer struct {
		k     peers.Keeper
		found []bool
		err   error
	}
	all, cancel := context.WithCancel(ctx)
	answers := make(chan answer)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	open := 0
	for _, k := range e.keepers() {
		if e.scores.away(k.Device()) {
			continue
		}
		open++
		asking.Go(func() {
			found, err := e.madeAt(all, k, lost, searchTime)
			select {
			case answers <- answer{k, found, err}:
			case <-all.Done():
			}
		})
	}
	have := map[int]bool{} // places of lost that were found
	for ; open > 0 && len(have) < enough; open-- {
		select {
		case a := <-answers:
			if a.err != nil {
				if errors.Is(a.err, context.DeadlineExceeded) || errors.Is(a.err, peers.ErrUnreachable) {
					e.scores.fail(a.k.Device(), false) // the next segment does not wait for it
				}
				continue
			}
			for i := range a.found {
				a.found[i] = a.found[i] && !have[i]
				if a.found[i] {
					have[i] = true
				}
			}
			if _, err := e.regain(ctx, a.k, lost, a.found, &r); err != nil {
				return r, err
			}
		case <-ctx.Done():
			return r, context.Cause(ctx)
		}
	}
	return r, nil
}
