// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/peers"
)

// Where a person has several machines, a keeper that lacks a shard may have been
// told by another one to forget it: it was moved, and this machine has not heard
// of that yet. So it hears first, and blames then.

const (
	// mostSuspects are remembered. What is found beyond them is found again.
	mostSuspects = 100_000
	// catchUpTime bounds the wait for what other machines did: a put may be
	// under way, which a merge waits for.
	catchUpTime = time.Minute
)

// suspects are shards that keepers said they lack.
type suspects struct {
	mu sync.Mutex
	of map[suspect]struct{}
}

type suspect struct {
	segment int64
	idx     int
	id      peers.ShardID
}

// shared says whether this person has other machines.
func (e *Engine) shared() bool { return e.catchUp != nil && e.together.Load() }

// current takes over what other machines did until now. It tells whether this
// machine knows all of that.
func (e *Engine) current(ctx context.Context) bool {
	if !e.shared() {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpTime)
	defer cancel()
	if err := e.catchUp(ctx); err != nil {
		e.log.Info("what other machines of this person did is not known yet", "err", err)
		return false
	}
	return true
}

// lacks remembers that a keeper says it lacks a shard, and tells whether it is to
// blame for that.
func (f *fetcher) lacks(ctx context.Context, seg *catalog.Segment, idx int) bool {
	e := f.e
	if !e.shared() {
		e.mark(ctx, seg, idx, catalog.Lost)
		return true
	}
	e.suspects.mu.Lock()
	defer e.suspects.mu.Unlock()
	if e.suspects.of == nil {
		e.suspects.of = map[suspect]struct{}{}
	}
	if len(e.suspects.of) < mostSuspects {
		e.suspects.of[suspect{seg.ID, idx, seg.Shards[idx].ID}] = struct{}{}
	}
	return false
}

// judge marks the shards that keepers lack although no machine of this person has
// moved them, so that they are made anew, and blames those keepers in b.
func (e *Engine) judge(ctx context.Context, b *blames) error {
	e.suspects.mu.Lock()
	list := e.suspects.of
	e.suspects.of = nil
	e.suspects.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	if !e.current(ctx) {
		e.suspects.mu.Lock()
		defer e.suspects.mu.Unlock()
		for s := range e.suspects.of {
			list[s] = struct{}{}
		}
		e.suspects.of = list
		return ctx.Err()
	}
	names := map[peers.DeviceID]string{}
	for _, k := range e.keepers() {
		names[k.Device()] = k.Name()
	}
	for s := range list {
		sh, err := e.placed(ctx, s)
		if err != nil {
			return err
		}
		if sh == nil {
			continue
		}
		e.log.Info("a keeper lacks a piece that it was given", "keeper", sh.Keeper.Short(), "segment", s.segment)
		b.add(sh.Keeper, names[sh.Keeper], peers.ErrNotFound, false)
		sh.State = catalog.Lost
		if err := e.cat.SetShard(context.WithoutCancel(ctx), s.segment, s.idx, s.id, *sh); err != nil {
			return err
		}
	}
	return nil
}

// placed gives a shard as the catalog has it now; nil when something else has its
// place, or nothing.
func (e *Engine) placed(ctx context.Context, s suspect) (*catalog.Shard, error) {
	seg, err := e.cat.Segment(ctx, s.segment)
	if errors.Is(err, catalog.ErrGone) {
		return nil, nil
	}
	if err != nil || s.idx >= len(seg.Shards) || seg.Shards[s.idx].ID != s.id {
		return nil, err
	}
	return &seg.Shards[s.idx], nil
}
