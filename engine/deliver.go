// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/placement"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

const (
	// sendersPerKeeper shards are on their way to a keeper at once, so that
	// one is sent while another is being fsynced.
	sendersPerKeeper = 2
	// laggardGrace: once enough keepers have a segment, the others get as
	// long again as those took three times over, at least this.
	laggardGrace = 3 * time.Second
	// retryFor: how long a put waits for keepers to come back before it
	// gives up for want of them.
	retryFor = 10 * time.Second
)

// target is a keeper during one put.
type target struct {
	peers.Keeper
	queue chan *shardJob
	done  sync.WaitGroup

	mu      sync.Mutex
	until   time.Time // owe it everything until then
	pause   time.Duration
	full    bool // refuses for want of room: not asked again
	stored  int64
	owed    int64
	lastErr error
}

type shardJob struct {
	ctx    context.Context
	id     peers.ShardID
	root   peers.Root
	data   []byte
	idx    int
	result chan<- shardResult
}

type shardResult struct {
	idx int
	err error
}

func newTarget(k peers.Keeper) *target {
	return &target{Keeper: k, queue: make(chan *shardJob, 16)}
}

func (t *target) start(ctx context.Context) {
	for range sendersPerKeeper {
		t.done.Go(func() {
			for j := range t.queue {
				j.result <- shardResult{j.idx, t.send(j)}
			}
		})
	}
}

func (t *target) stop() {
	close(t.queue)
	t.done.Wait()
}

// send gives one shard to the keeper, once more when the connection breaks.
func (t *target) send(j *shardJob) error {
	if err := t.shun(); err != nil {
		return err
	}
	var err error
	for range 2 {
		if err = t.PutShard(j.ctx, j.id, j.root, j.data); err == nil {
			t.mu.Lock()
			t.pause, t.lastErr, t.full, t.until = 0, nil, false, time.Time{}
			t.stored += int64(len(j.data))
			t.mu.Unlock()
			return nil
		}
		if j.ctx.Err() != nil || !errors.Is(err, peers.ErrUnreachable) {
			break
		}
	}
	if j.ctx.Err() == nil || errors.Is(context.Cause(j.ctx), errSlow) {
		t.failed(j.ctx, err)
	}
	return err
}

func (t *target) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lastErr = err
	t.full = t.full || errors.Is(err, peers.ErrQuota) || errors.Is(err, peers.ErrDiskFull)
	t.pause = min(max(2*t.pause, time.Second), 30*time.Second)
	if errors.Is(err, errSlow) {
		t.pause = 30 * time.Second
	}
	t.until = time.Now().Add(t.pause)
}

// shun gives the reason not to try this keeper now, or nil.
func (t *target) shun() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.full || time.Now().Before(t.until) {
		return t.lastErr
	}
	return nil
}

// outcome says whether the keeper took anything, and what a person should
// know of it.
func (t *target) outcome() (took bool, note said.Note) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lastErr != nil && t.owed > 0 {
		note = said.Because(reason(t.lastErr), "part-later", "{name} {why}; it gets its part later", "name", t.Name())
	}
	return t.stored > 0, note
}

// place chooses a keeper for each shard of a segment: those that take shards
// now before those that do not, then as package placement says.
func (p *put) place(seg int64, size int) []*target {
	ms := slices.Clone(p.machines)
	for i, t := range p.targets {
		ms[i].Takes = t.shun() == nil
		// A put does not know how much others send there: what a keeper
		// refuses it refuses itself.
		ms[i].Room = -1
	}
	held := make([]int, len(ms))
	order := placement.Choose(ms, held, p.geo.N, int64(size), uint64(seg))
	out := make([]*target, 0, p.geo.N)
	for _, i := range order {
		if held[i] == 0 {
			out = append(out, p.targets[i])
		}
		held[i]++
	}
	for j := range p.targets {
		i := (j + int(seg)) % len(p.targets)
		if held[i] == 0 && len(out) < p.geo.N {
			out = append(out, p.targets[i])
			held[i]++
		}
	}
	return out
}

// reassign offers the shards that were refused or did not arrive to keepers
// that hold none of the segment, and gives how many found one.
func (p *put) reassign(s *openSegment) (moved int) {
	used := map[peers.DeviceID]bool{}
	for _, sh := range s.rec.Shards {
		used[sh.Keeper] = true
	}
	for i := range s.rec.Shards {
		if s.rec.Shards[i].State == catalog.There || s.why[i] == nil {
			continue
		}
		spare := slices.IndexFunc(p.targets, func(t *target) bool { return !used[t.Device()] && t.shun() == nil })
		if spare < 0 {
			break
		}
		sh := s.rec.Shards[i]
		sh.Keeper = p.targets[spare].Device()
		// In the catalog before it leaves; the one before may have arrived
		// after all and is queued for deletion.
		var err error
		if sh.ID, err = p.e.cat.Reassign(p.own(context.WithoutCancel(p.ctx)), s.rec.ID, i, sh.Keeper); err != nil {
			p.fail(err)
			return 0
		}
		s.rec.Shards[i] = sh
		used[sh.Keeper] = true
		moved++
	}
	return moved
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// quorum is how many keepers must hold a segment before it counts as kept:
// one more than bring it back, where there are that many.
func quorum(k, n int) int { return min(n, k+1) }

// deliver sends the shards of a segment and commits it when enough are
// durable. It returns when nothing uses the buffer any more.
func (p *put) deliver(s *openSegment) {
	defer func() {
		p.e.segments.put(s.buf)
		<-p.slots
	}()
	need := quorum(p.geo.K, p.geo.N)
	started := time.Now()
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 4*time.Second) {
		have := p.round(s, need)
		if p.ctx.Err() == nil && have < p.geo.N && p.reassign(s) > 0 {
			continue
		}
		if have >= need {
			break
		}
		if p.ctx.Err() != nil {
			return
		}
		if time.Since(started) > p.retry || p.hopeless(s, need) {
			p.fail(p.shortage(s, have, need))
			return
		}
		p.meter.set(StageWait)
		select {
		case <-time.After(wait):
		case <-p.ctx.Done():
			return
		}
	}
	p.meter.set(p.stage)
	for i, sh := range s.rec.Shards {
		if sh.State == catalog.There {
			p.stored.Add(int64(s.rec.ShardLen))
			continue
		}
		p.debt.Add(1)
		if t := p.target(s.rec.Shards[i].Keeper); t != nil {
			t.mu.Lock()
			t.owed++
			t.mu.Unlock()
		}
	}
	p.landed(s)
}

func (p *put) target(d peers.DeviceID) *target {
	for _, t := range p.targets {
		if t.Device() == d {
			return t
		}
	}
	return nil
}

// round tries every shard that is not there yet, and returns how many are.
func (p *put) round(s *openSegment, need int) (have int) {
	ctx, cancel := context.WithCancelCause(p.ctx)
	defer cancel(nil)
	results := make(chan shardResult, len(s.shards))
	open := 0
	for i := range s.rec.Shards {
		sh := &s.rec.Shards[i]
		if sh.State == catalog.There {
			have++
			continue
		}
		j := &shardJob{ctx: ctx, id: sh.ID, root: sh.Root, data: s.shards[i], idx: i, result: results}
		open++
		select {
		case p.target(sh.Keeper).queue <- j:
		case <-ctx.Done():
			results <- shardResult{i, context.Cause(ctx)}
		}
	}
	started := time.Now()
	grace := time.NewTimer(atSlowest(s.rec.ShardLen))
	defer grace.Stop()
	for open > 0 {
		select {
		case r := <-results:
			open--
			s.why[r.idx] = r.err
			if r.err == nil {
				s.rec.Shards[r.idx].State = catalog.There
				if have++; have == need {
					grace.Reset(max(laggardGrace, 3*time.Since(started)))
				}
			}
		case <-grace.C:
			// Each job still waits for its sender to notice: the buffer is
			// theirs until then.
			cancel(errSlow)
		}
	}
	return have
}

// hopeless tells whether too many keepers have no room for waiting to help.
func (p *put) hopeless(s *openSegment, need int) bool {
	can := 0
	for _, sh := range s.rec.Shards {
		t := p.target(sh.Keeper)
		t.mu.Lock()
		if sh.State == catalog.There || !t.full {
			can++
		}
		t.mu.Unlock()
	}
	return can < need
}

// shortageError says that too few keepers took their part; it is
// ErrTooFewKeepers and whatever each of them said.
type shortageError struct {
	text   string
	causes []error
}

func (e *shortageError) Error() string   { return e.text }
func (e *shortageError) Unwrap() []error { return append([]error{ErrTooFewKeepers}, e.causes...) }

// shortage names the keepers that did not take their part, and why.
func (p *put) shortage(s *openSegment, have, need int) error {
	var why []string
	var causes []error
	for i, err := range s.why {
		if err != nil {
			why = append(why, p.target(s.rec.Shards[i].Keeper).Name()+" "+reason(err).Error())
			causes = append(causes, err)
		}
	}
	slices.Sort(why)
	return &shortageError{fmt.Sprintf("%v: %d of %d could store their part and %d must (%s); what was kept so far stays, repeat the command to go on",
		ErrTooFewKeepers, have, p.geo.N, need, strings.Join(why, "; ")), causes}
}
