// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/placement"
	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
)

// sampler looks, whenever a keeper took a piece or forgot some, at how many
// machines each segment can lose now, by what their depots hold. It must never
// be fewer than before, but for what the test itself takes away.
type sampler struct {
	c   *circle
	all []*testKeeper

	mu     sync.Mutex
	gone   map[peers.DeviceID]bool // do not count
	best   map[int64]int           // machines, by segment
	looks  int
	failed bool
}

func watchHealth(c *circle, all []*testKeeper) *sampler {
	s := &sampler{c: c, all: all, gone: map[peers.DeviceID]bool{}}
	s.take(func() {})
	look := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.look()
	}
	for _, k := range all {
		k.onChange.Store(&look)
	}
	return s
}

// take does something that may make health worse, and begins anew from there.
func (s *sampler) take(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.best = map[int64]int{}
	s.look()
}

// look is called with the lock held, from any goroutine.
func (s *sampler) look() {
	ctx := context.Background() // the operation that is looked at may be over
	s.looks++
	var ids []int64
	err := s.c.cat.Spreads(ctx, func(x *catalog.Spread) error {
		ids = append(ids, x.Segment)
		return nil
	})
	for _, id := range ids {
		seg, e := s.c.cat.Segment(ctx, id)
		if errors.Is(e, catalog.ErrGone) {
			continue
		}
		if e != nil {
			err = e
			break
		}
		held, e := s.held(ctx, seg)
		if e != nil {
			err = e
			break
		}
		now := placement.MayLose(held, seg.K)
		was, ok := s.best[id]
		if ok && now < was && !s.failed {
			s.failed = true
			s.c.t.Errorf("look %d: segment %d, %d of %d, may lose %d machines and could lose %d before: %v", s.looks, id, seg.K, seg.N, now, was, held)
		}
		if !ok || now > was {
			s.best[id] = now
		}
	}
	if err != nil && !s.failed {
		s.failed = true
		s.c.t.Error(err)
	}
}

// held counts the pieces of a segment that each machine has for sure.
func (s *sampler) held(ctx context.Context, seg *catalog.Segment) ([]int, error) {
	held := make([]int, len(s.all))
	for i, k := range s.all {
		if s.gone[k.id] {
			continue
		}
		for _, sh := range seg.Shards {
			if sh.Keeper != k.id || sh.State != catalog.There {
				continue
			}
			size, err := k.depot.Stat(ctx, k.owner, []peers.ShardID{sh.ID})
			if err != nil {
				return nil, err
			}
			held[i] += btoi(size[0] >= 0)
		}
	}
	return held, nil
}

// worst is what the segment with the least to spare may lose.
func (s *sampler) worst() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look()
	out := 1 << 20
	for _, n := range s.best {
		out = min(out, n)
	}
	return out
}

// Whatever happens on the way, a repair never makes a segment less safe than it
// was: machines are lost, lose pieces, have full disks, join and leave while it
// runs, and it is broken off at any piece.
func TestRepairNeverMakesWorse(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			repairUnderWatch(t, rand.New(rand.NewPCG(seed, 3)))
		})
	}
}

func repairUnderWatch(t *testing.T, rng *rand.Rand) {
	n, joins := 3+rng.IntN(5), rng.IntN(4)
	c := newCircle(t, n+joins)
	all := c.keepers
	c.keepers = all[:n]
	dir := filepath.Join(t.TempDir(), "d")
	for i := range 5 { // a segment each
		write(t, filepath.Join(dir, fmt.Sprint(i)), data(byte(i), 100_000+rng.IntN(400_000)))
		c.put(dir)
	}
	g, err := erasure.ForCircle(n)
	if err != nil {
		t.Fatal(err)
	}
	may := g.N - g.K // as many may be lost, in all
	s := watchHealth(c, all)
	order := rng.Perm(n)
	lose := func() {
		if may == 0 {
			return
		}
		may--
		k := all[order[may]]
		s.take(func() { s.gone[k.id] = true })
		k.down.Store(true)
		t.Logf("look %d: %s is lost", s.looks, k.name)
	}
	for range 1 + rng.IntN(2) {
		lose()
	}
	if may > 0 && rng.IntN(2) == 0 {
		c.forgetHalf(s, all[order[may-1]])
		may--
	}
	c.keepers = all // the new ones are in

	for try := range 6 {
		ctx, cancel := context.WithCancelCause(t.Context())
		c.trouble(rng, all, cancel, lose)
		var err error
		if rng.IntN(2) == 0 {
			_, err = c.Repair(ctx, nil)
		} else {
			err = c.Maintain(ctx)
		}
		t.Logf("look %d: try %d: %v", s.looks, try, err)
		for _, k := range all {
			k.onPut.Store(nil)
			k.refuse.Store(nil)
		}
		cancel(nil)
		if rng.IntN(3) == 0 {
			c.reopen()
		}
	}
	before := s.worst()
	c.notice()
	if _, err := c.Repair(t.Context(), nil); err != nil && !errors.Is(err, ErrNotDrained) {
		t.Fatal(err)
	}
	if after := s.worst(); after < before || after < 0 {
		t.Errorf("%d may be lost after the repair, %d before", after, before)
	}
	if s.looks < 8 { // pieces came, or went
		t.Errorf("looked %d times only", s.looks)
	}
	sameTree(t, dir, filepath.Join(c.get("d"), "d"))
}

// A keeper whose disk is full is not away: what it holds stays where it is.
func TestFullKeeperKeepsWhatItHas(t *testing.T) {
	c := newCircle(t, 6)
	all := c.keepers
	c.keepers = all[:5] // 3 of 5
	for range 2 {
		c.put(c.source())
	}
	all[4].down.Store(true)
	c.keepers = all
	c.notice()
	full := error(peers.ErrDiskFull)
	for _, k := range all[2:] {
		k.refuse.Store(&full)
	}
	before := c.held()
	if _, err := c.Repair(t.Context(), nil); err != nil && !errors.Is(err, ErrNotDrained) {
		t.Fatal(err)
	}
	if _, err := c.Repair(t.Context(), nil); err != nil && !errors.Is(err, ErrNotDrained) {
		t.Fatal(err)
	}
	for i, n := range c.held()[:4] {
		if n < before[i] {
			t.Errorf("keeper-%d held %d pieces and holds %d", i, before[i], n)
		}
	}
}

// forgetHalf has a keeper lose every other piece, and the owner find out.
func (c *circle) forgetHalf(s *sampler, k *testKeeper) {
	c.t.Helper()
	k.mu.Lock()
	var some []peers.ShardID
	for i, id := range k.ids {
		if i%2 == 0 {
			some = append(some, id)
		}
	}
	k.mu.Unlock()
	s.take(func() {
		if err := k.depot.Delete(c.t.Context(), k.owner, some); err != nil {
			c.t.Error(err)
		}
	})
	if v, err := c.Verify(c.t.Context(), VerifyOptions{}, nil); err != nil || v.Good == v.Shards {
		c.t.Fatalf("%v: %+v", err, v)
	}
}

// trouble has something happen when the third piece or so is sent.
func (c *circle) trouble(rng *rand.Rand, all []*testKeeper, cancel context.CancelCauseFunc, lose func()) {
	c.notice()
	at, what, full := 1+rng.IntN(6), rng.IntN(4), all[rng.IntN(len(all))]
	var once sync.Mutex
	strike := func() {
		once.Lock()
		defer once.Unlock()
		if at--; at != 0 {
			return
		}
		switch what {
		case 0:
			cancel(errors.New("broken off"))
		case 1:
			e := error(peers.ErrDiskFull)
			full.refuse.Store(&e)
		case 2:
			lose()
		}
	}
	for _, k := range all {
		k.onPut.Store(&strike)
	}
}
