// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/placement"
	"github.com/preezm/preezm/engine/repair"
	"github.com/preezm/preezm/engine/segment"
	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// mending is one pass of repairs.
type mending struct {
	e      *Engine
	crew   *crew
	pol    repair.Policy
	fetch  *fetcher
	meter  *meter // nil in the background
	pieces atomic.Int64
	sent   atomic.Int64

	mu   sync.Mutex
	errs []error // why segments are not whole yet, the first few
}

// mostReasons bounds what is remembered of why.
const mostReasons = 5

func (e *Engine) newMending(ctx context.Context, pol repair.Policy) (*mending, error) {
	w, err := e.crew(ctx)
	if err != nil {
		return nil, err
	}
	return &mending{e: e, crew: w, pol: pol, fetch: e.newFetcher(&blames{})}, nil
}

// failed remembers why a segment could not be mended.
func (m *mending) failed(id int64, err error) {
	m.e.log.Info("a segment is not whole yet", "segment", id, "err", err)
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.errs) < mostReasons && !slices.ContainsFunc(m.errs, func(x error) bool { return x.Error() == err.Error() }) {
		m.errs = append(m.errs, err)
	}
}

// each mends the segments, one at a time, and makes room for puts and gets in
// between.
func (m *mending) each(ctx context.Context, ids []int64) error {
	for _, id := range ids {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if m.meter == nil && m.e.urgent.Load() > 0 {
			return nil // a person waits for a repair of theirs
		}
		started := time.Now()
		err := m.one(ctx, id)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, catalog.ErrGone):
		case errors.Is(err, ErrTooFewKeepers) && m.giveUp(ctx, id):
		case err != nil:
			m.failed(id, err)
		}
		if m.meter != nil {
			m.meter.files.Add(1)
		}
		m.e.makeWay(ctx, time.Since(started))
	}
	return nil
}

// giveUp lets go of a segment of backups of which fewer pieces are left than
// bring it back: the catalog itself is here, and the next backup is made without
// it. A piece that was not proved to be lost counts as left.
func (m *mending) giveUp(ctx context.Context, id int64) bool {
	seg, err := m.e.cat.Segment(ctx, id)
	if err != nil {
		return errors.Is(err, catalog.ErrGone)
	}
	left := 0
	for i := range seg.Shards {
		if seg.Shards[i].State == catalog.There {
			left++
		}
	}
	if left >= seg.K {
		return false
	}
	held, err := m.e.cat.LoseBackups(ctx, id)
	if err != nil {
		m.e.log.Warn("let go of a backup that cannot be brought back", "segment", id, "err", err)
	}
	return held && err == nil
}

// makeWay waits after work that took so long, if a put or a get is running: it
// is to have nine tenths of the machine.
func (e *Engine) makeWay(ctx context.Context, took time.Duration) {
	if e.foreground.Load() == 0 {
		return
	}
	wait := time.NewTimer(min(9*took, 10*time.Second))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}

// one does for a segment what is decided for it.
func (m *mending) one(ctx context.Context, id int64) error {
	seg, err := m.e.cat.Segment(ctx, id)
	if err != nil {
		return err
	}
	plan := repair.Decide(m.crew.segment(seg.Spread()), m.crew.ms, m.pol)
	if !plan.Nothing() {
		if err := m.hold(ctx, seg, &plan); err != nil {
			return err
		}
	}
	switch {
	case plan.Nothing():
		if plan.Homeless > 0 && m.meter != nil {
			return said.Error("no-place-now", "no machine can take the missing pieces now")
		}
		return nil
	case plan.Recode.N > 0:
		// It takes the memory of a second segment, and nobody waits for it.
		if m.e.foreground.Load() > 0 && m.meter == nil {
			return nil
		}
		return m.recode(ctx, seg, &plan)
	case len(plan.More) > 0:
		return m.extend(ctx, seg, plan.More)
	}
	return m.move(ctx, seg, plan.Moves)
}

// hold waits, before a segment is read that nobody waits for, until the line may
// be used for it: for k pieces from those that hold it, and for each that is
// sent. To wait in between would make keepers look slow.
func (m *mending) hold(ctx context.Context, seg *catalog.Segment, plan *repair.Plan) error {
	if m.meter != nil || m.e.pace == nil {
		return nil
	}
	size := seg.ShardLen
	read := 0
	for i := range seg.Shards {
		sh := &seg.Shards[i]
		if _, ok := m.crew.at[sh.Keeper]; !ok || sh.State != catalog.There || read == seg.K {
			continue
		}
		read++
		if err := m.e.pace(ctx, sh.Keeper, size, 0); err != nil {
			return err
		}
	}
	to := append(slices.Clone(plan.More), plan.Homes...)
	for _, mv := range plan.Moves {
		to = append(to, mv.To)
	}
	if plan.Recode.N > 0 {
		size = size * seg.K / plan.Recode.K
	}
	for _, home := range to {
		if err := m.e.pace(ctx, m.crew.keepers[home].Device(), 0, size); err != nil {
			return err
		}
	}
	return nil
}

// move makes pieces anew. What was there keeps its place until the new one is
// durable.
func (m *mending) move(ctx context.Context, seg *catalog.Segment, moves []repair.Move) error {
	buf := m.e.segments.get(seg.N)
	defer m.e.segments.put(buf)
	bufs := columns(buf, seg, segment.Whole(seg.K, seg.ShardLen))
	want := make([]int, len(moves))
	for i, mv := range moves {
		want[i] = mv.Piece
	}
	if err := m.fetch.pieces(ctx, seg, bufs, want); err != nil {
		return err
	}
	var all errgroup.Group
	for _, mv := range moves {
		if sh := seg.Shards[mv.Piece]; sh.State == catalog.There && sh.Keeper == m.crew.keepers[mv.To].Device() {
			continue // it was there after all
		}
		all.Go(func() error {
			if erasure.ShardRoot(bufs[mv.Piece]) != seg.Shards[mv.Piece].Root {
				return fmt.Errorf("piece %d of segment %d was rebuilt wrong", mv.Piece, seg.ID)
			}
			return m.replace(ctx, seg, mv.Piece, m.crew.keepers[mv.To], bufs[mv.Piece])
		})
	}
	return all.Wait()
}

// replace gives shard i of seg to k and writes down that it is there.
func (m *mending) replace(ctx context.Context, seg *catalog.Segment, i int, k peers.Keeper, data []byte) error {
	was := seg.Shards[i].ID
	sh := seg.Shards[i]
	if sh.Keeper != k.Device() || sh.State == catalog.Lost {
		// A keeper that lost a shard may hold a damaged one by that name.
		sh.Keeper = k.Device()
		var err error
		if sh.ID, err = m.e.cat.BeginMove(ctx, sh.Keeper); err != nil {
			return err
		}
	}
	if err := m.send(ctx, k, &sh, data); err != nil {
		return err
	}
	return m.e.cat.SetShard(context.WithoutCancel(ctx), seg.ID, i, was, sh)
}

// send stores a shard and says so in sh.
func (m *mending) send(ctx context.Context, k peers.Keeper, sh *catalog.Shard, data []byte) error {
	if err := k.PutShard(ctx, sh.ID, sh.Root, data); err != nil {
		if ctx.Err() == nil {
			if errors.Is(err, peers.ErrQuota) || errors.Is(err, peers.ErrDiskFull) {
				m.e.full(k.Device()) // but it is there, with what it has
			} else {
				m.e.scores.fail(k.Device(), false)
			}
		}
		return err
	}
	m.e.scores.ok(k.Device(), 0, 0)
	sh.State = catalog.There
	m.pieces.Add(1)
	m.sent.Add(int64(len(data)))
	if m.meter != nil {
		m.meter.bytes.Add(int64(len(data)))
	}
	return nil
}

// extend gives a segment further pieces: a row of the code's matrix does not
// depend on how many there are, so those that are there stay as they are.
func (m *mending) extend(ctx context.Context, seg *catalog.Segment, homes []int) error {
	n := seg.N + len(homes)
	buf := m.e.segments.get(n)
	defer m.e.segments.put(buf)
	wide := *seg
	wide.N = n
	bufs := columns(buf, &wide, segment.Whole(seg.K, seg.ShardLen))
	have, err := m.fetch.any(ctx, seg, bufs[:seg.N])
	if err != nil {
		return err
	}
	c, err := m.fetch.codec(&wide)
	if err != nil {
		return err
	}
	shards, required := make([][]byte, n), make([]bool, n)
	for i := range shards {
		if shards[i] = bufs[i][:0]; i < seg.N && have[i] {
			shards[i] = bufs[i]
		}
		required[i] = i >= seg.N
	}
	if err := c.Reconstruct(shards, required); err != nil {
		return fmt.Errorf("segment %d: %w", seg.ID, err)
	}
	wide.Shards = append(slices.Clone(seg.Shards), make([]catalog.Shard, len(homes))...)
	for i, home := range homes {
		m.newShard(&wide.Shards[seg.N+i], home, shards[seg.N+i])
	}
	return m.regroup(ctx, seg, &wide, shards, seg.N, 1)
}

// newShard makes a shard for a home; regroup names it.
func (m *mending) newShard(sh *catalog.Shard, home int, data []byte) {
	sh.Keeper, sh.Root, sh.State = m.crew.keepers[home].Device(), erasure.ShardRoot(data), catalog.Owed
}

// recode gives a segment another k and n. The old pieces stay until enough of
// the new ones are durable.
func (m *mending) recode(ctx context.Context, seg *catalog.Segment, plan *repair.Plan) error {
	g := plan.Recode
	buf := m.e.segments.get(max(seg.N, g.N))
	defer m.e.segments.put(buf)
	if err := m.fetch.data(ctx, seg, columns(buf, seg, segment.Whole(seg.K, seg.ShardLen))); err != nil {
		return err
	}
	now := &catalog.Segment{ID: seg.ID, K: g.K, N: g.N, DataLen: seg.DataLen, ShardLen: segment.ShardLen(seg.DataLen, g.K)}
	// The data lie in front, as before; what follows must tell nothing.
	var seed [32]byte
	rand.Read(seed[:])
	mrand.NewChaCha8(seed).Read(buf[seg.DataLen : g.K*now.ShardLen])
	shards := columns(buf, now, segment.Whole(now.K, now.ShardLen))
	c, err := m.fetch.codec(now)
	if err != nil {
		return err
	}
	if err := c.Encode(shards); err != nil {
		return fmt.Errorf("segment %d: %w", seg.ID, err)
	}
	now.Shards = make([]catalog.Shard, g.N)
	for i, home := range plan.Homes {
		m.newShard(&now.Shards[i], home, shards[i])
	}
	// As many as let no fewer machines be lost than now.
	need := min(max(quorum(g.K, g.N), g.K+m.mayLose(seg)), g.N)
	return m.regroup(ctx, seg, now, shards, 0, need)
}

// mayLose tells how many of the machines that are relied on a segment can lose.
func (m *mending) mayLose(seg *catalog.Segment) int {
	held := make([]int, len(m.crew.ms))
	for i := range seg.Shards {
		sh := &seg.Shards[i]
		if at, ok := m.crew.at[sh.Keeper]; ok && sh.State == catalog.There && takesNew(m.crew.ms[at].Standing) {
			held[at]++
		}
	}
	return placement.MayLose(held, seg.K)
}

// regroup sends the shards of now from number first on, and puts now in the
// place of seg when at least need of them are durable.
func (m *mending) regroup(ctx context.Context, seg, now *catalog.Segment, shards [][]byte, first, need int) error {
	for i := first; i < now.N; i++ {
		var err error
		if now.Shards[i].ID, err = m.e.cat.BeginMove(ctx, now.Shards[i].Keeper); err != nil {
			return err
		}
	}
	var all sync.WaitGroup
	var stored atomic.Int64
	errs := make([]error, now.N)
	for i := first; i < now.N; i++ {
		sh := &now.Shards[i]
		all.Go(func() {
			if errs[i] = m.send(ctx, m.crew.keepers[m.crew.at[sh.Keeper]], sh, shards[i]); errs[i] == nil {
				stored.Add(1)
			}
		})
	}
	all.Wait()
	if int(stored.Load()) < need {
		return errors.Join(errs...) // EndMoves has them deleted
	}
	return m.e.cat.Replace(context.WithoutCancel(ctx), seg, now)
}
