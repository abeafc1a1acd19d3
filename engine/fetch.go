// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/segment"
	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// fetcher reads columns of segments from whichever keepers give them first.
// It is safe for concurrent use.
type fetcher struct {
	e       *Engine
	blames  *blames
	keepers map[peers.DeviceID]peers.Keeper
	mu      sync.Mutex
	codecs  map[erasure.Geometry]*erasure.Codec
	fetched atomic.Int64
	rebuilt atomic.Int64
	patient bool                         // waits for keepers that were cut off a moment ago
	waits   func(Stage)                  // says what it does then; may be nil
	cut     map[peers.DeviceID]time.Time // since when a keeper cannot be reached; with mu
}

func (e *Engine) newFetcher(b *blames) *fetcher {
	f := &fetcher{e: e, blames: b, keepers: map[peers.DeviceID]peers.Keeper{}, codecs: map[erasure.Geometry]*erasure.Codec{}}
	for _, k := range e.keepers() {
		f.keepers[k.Device()] = k
	}
	return f
}

func (f *fetcher) codec(seg *catalog.Segment) (*erasure.Codec, error) {
	g := erasure.Geometry{K: seg.K, N: seg.N}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.codecs[g]
	if c == nil {
		var err error
		if c, err = erasure.New(g); err != nil {
			return nil, err
		}
		f.codecs[g] = c
	}
	return c, nil
}

var (
	errGone   = said.Error("left-circle", "is no longer in your circle")
	errNotPut = said.Error("no-part-yet", "has not received its part yet")
)

// shardRead is one request and its outcome.
type shardRead struct {
	idx  int
	err  error
	took time.Duration
}

// race is one unit being fetched: the data shards it needs, or any k shards
// from which they can be rebuilt, whichever come first.
type race struct {
	*fetcher
	ctx     context.Context
	seg     *catalog.Segment
	u       segment.Unit
	bufs    [][]byte
	results chan shardRead
	stop    map[int]context.CancelFunc
	began   map[int]time.Time
	late    time.Duration // from then on a read counts as slow
	waited  map[int]bool  // so long that others were asked as well
	have    []bool
	tried   []bool
	why     map[int]error
}

// unit fills, for each data shard that u needs, bufs[i] with its columns.
// bufs has one buffer of u.Hi-u.Lo bytes for each of the n shards; those of
// other shards may be used too. The bytes are not authenticated: the caller
// opens the chunks in them. It returns when nothing uses the buffers any more.
//
// When too few pieces are where they should be, those are used that a caretaker
// made anew elsewhere. When it is the keepers that cannot be reached, a patient
// fetcher asks them again for a while: lines are cut and come back.
func (f *fetcher) unit(ctx context.Context, seg *catalog.Segment, u segment.Unit, bufs [][]byte) error {
	r := f.newRace(ctx, seg, u, bufs)
	err := r.run()
	if !errors.Is(err, ErrTooFewKeepers) {
		return err
	}
	if now := f.e.elsewhere(ctx, seg, r.why); now != nil {
		r = f.newRace(ctx, now, u, bufs)
		err = r.run()
	}
	for wait := firstWait; errors.Is(err, ErrTooFewKeepers) && r.mayWait(); wait = min(2*wait, longWait) {
		f.say(StageWait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		f.say(StageGet)
		r.again()
		err = r.run()
	}
	return err
}

const (
	// firstWait and longWait are the shortest and the longest pause before
	// keepers that cannot be reached are asked again, for retryFor in all.
	firstWait, longWait = 250 * time.Millisecond, 2 * time.Second
)

func (f *fetcher) say(s Stage) {
	if f.waits != nil {
		f.waits(s)
	}
}

// reached notes whether a keeper could be reached.
func (f *fetcher) reached(d peers.DeviceID, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !errors.Is(err, peers.ErrUnreachable):
		delete(f.cut, d)
	case f.cut[d].IsZero():
		if f.cut == nil {
			f.cut = map[peers.DeviceID]time.Time{}
		}
		f.cut[d] = time.Now()
	}
}

// awaited tells whether a keeper that cannot be reached is waited for. The time
// runs from when that was seen first and is the same for everything that is
// fetched, so a keeper that is off is waited for once.
func (f *fetcher) awaited(d peers.DeviceID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	since, ok := f.cut[d]
	return f.patient && ok && time.Since(since) < retryFor
}

func (f *fetcher) newRace(ctx context.Context, seg *catalog.Segment, u segment.Unit, bufs [][]byte) *race {
	return &race{
		fetcher: f, ctx: ctx, seg: seg, u: u, bufs: bufs, results: make(chan shardRead, seg.N),
		stop: map[int]context.CancelFunc{}, began: map[int]time.Time{}, waited: map[int]bool{}, have: make([]bool, seg.N), tried: make([]bool, seg.N), why: map[int]error{},
	}
}

// mayWait tells whether enough shards may come yet when their keepers are
// waited for.
func (r *race) mayWait() bool {
	can := r.count()
	for i, err := range r.why {
		if errors.Is(err, peers.ErrUnreachable) && r.awaited(r.seg.Shards[i].Keeper) {
			can++
		}
	}
	return can >= r.seg.K
}

// again forgets which shards did not come. Those that did are there still.
func (r *race) again() {
	copy(r.tried, r.have)
	clear(r.why)
}

// run fetches until the shards that are needed are there, or no more can come.
// Nothing uses the buffers when it returns.
func (r *race) run() error {
	defer r.drain()
	return r.fetchAll()
}

func (r *race) fetchAll() error {
	f, ctx, seg, u := r.fetcher, r.ctx, r.seg, r.u
	for _, i := range u.Shards {
		sh := seg.Shards[i]
		if !r.have[i] && f.keepers[sh.Keeper] != nil && sh.State == catalog.There && !f.e.scores.avoid(sh.Keeper) {
			r.start(i)
		}
	}
	patience := f.e.scores.patience(u.Hi - u.Lo)
	r.late = patience
	pause := patience
	hedge := time.NewTimer(pause)
	defer hedge.Stop()
	for {
		if r.complete() {
			return nil
		}
		if r.count() >= seg.K {
			return r.rebuild()
		}
		// Keep enough requests running to end with either.
		for r.count()+len(r.stop) < r.target() && r.another() {
		}
		if len(r.stop) == 0 {
			return r.shortage()
		}
		select {
		case res := <-r.results:
			r.settle(res)
			if res.err == nil {
				pause = max(250*time.Millisecond, min(patience, 3*res.took))
				hedge.Reset(pause)
			}
		case <-hedge.C:
			for i := range r.stop {
				r.waited[i] = r.waited[i] || time.Since(r.began[i]) >= pause
			}
			// Whoever is late gets company, not a cut: it may still be first.
			for range len(r.stop) {
				if !r.another() {
					break
				}
			}
			pause = patience
			hedge.Reset(pause)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// target is how many shards must be there or on their way: only the needed
// ones while each of those still may come, else k.
func (r *race) target() int {
	for _, i := range r.u.Shards {
		if !r.have[i] && r.stop[i] == nil {
			return r.seg.K
		}
	}
	return 0
}

func (r *race) count() (n int) {
	for _, h := range r.have {
		n += btoi(h)
	}
	return n
}

func (r *race) complete() bool {
	return !slices.ContainsFunc(r.u.Shards, func(i int) bool { return !r.have[i] })
}

// start asks the keeper of shard i, or notes at once why it cannot.
func (r *race) start(i int) {
	sh := r.seg.Shards[i]
	r.tried[i] = true
	k := r.keepers[sh.Keeper]
	if k == nil {
		r.why[i] = errGone
		return
	}
	if sh.State == catalog.Owed {
		r.why[i] = errNotPut
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	r.stop[i], r.began[i] = cancel, time.Now()
	go func() {
		t := time.Now()
		err := k.ReadShard(ctx, sh.ID, int64(r.u.Lo), r.bufs[i])
		r.results <- shardRead{i, err, time.Since(t)}
	}()
}

// another asks one more keeper, the best of those not yet asked: needed
// shards first, and those to be avoided last.
func (r *race) another() bool {
	best, rank := -1, 4
	for i, sh := range r.seg.Shards {
		if r.tried[i] {
			continue
		}
		x := 2*btoi(r.e.scores.avoid(sh.Keeper)) + btoi(!slices.Contains(r.u.Shards, i))
		if sh.State == catalog.Lost {
			x = 3
		}
		if x < rank {
			best, rank = i, x
		}
	}
	if best < 0 {
		return false
	}
	r.start(best)
	return true
}

func (r *race) settle(res shardRead) {
	r.stop[res.idx]()
	delete(r.stop, res.idx)
	sh := r.seg.Shards[res.idx]
	if r.ctx.Err() == nil {
		r.reached(sh.Keeper, res.err)
	}
	if res.err == nil {
		r.have[res.idx] = true
		r.fetched.Add(int64(r.u.Hi - r.u.Lo))
		r.e.scores.ok(sh.Keeper, r.u.Hi-r.u.Lo, res.took)
		return
	}
	if r.ctx.Err() != nil {
		return
	}
	r.why[res.idx] = res.err
	if errors.Is(res.err, peers.ErrNotFound) && !r.lacks(r.ctx, r.seg, res.idx) {
		return
	}
	r.e.scores.fail(sh.Keeper, lie(res.err))
	r.blames.add(sh.Keeper, r.keepers[sh.Keeper].Name(), res.err, lie(res.err))
	if lie(res.err) {
		r.e.mark(r.ctx, r.seg, res.idx, catalog.Lost)
	}
}

// drain takes in what came already, ends what still runs and waits for it.
func (r *race) drain() {
	for len(r.results) > 0 {
		r.settle(<-r.results)
	}
	late := len(r.stop)
	for i, cancel := range r.stop {
		cancel()
		if r.ctx.Err() == nil && (r.waited[i] || time.Since(r.began[i]) >= r.late) {
			// It lost the race against keepers that started later.
			r.e.scores.fail(r.seg.Shards[i].Keeper, false)
			r.blames.add(r.seg.Shards[i].Keeper, r.keepers[r.seg.Shards[i].Keeper].Name(), errSlow, false)
		}
	}
	for range late {
		<-r.results
	}
	clear(r.stop)
	clear(r.waited)
}

// rebuild computes the needed shards that did not come from those that did.
func (r *race) rebuild() error {
	r.drain()
	if r.complete() {
		return nil
	}
	c, err := r.codec(r.seg)
	if err != nil {
		return err
	}
	shards := make([][]byte, r.seg.N)
	required := make([]bool, r.seg.N)
	for i := range shards {
		shards[i] = r.bufs[i]
		if !r.have[i] {
			shards[i] = r.bufs[i][:0]
		}
	}
	for _, i := range r.u.Shards {
		required[i] = !r.have[i]
	}
	if err := c.Reconstruct(shards, required); err != nil {
		return fmt.Errorf("segment %d: %w", r.seg.ID, err)
	}
	for _, i := range r.u.Shards {
		if &shards[i][0] != &r.bufs[i][0] {
			copy(r.bufs[i], shards[i])
		}
	}
	r.rebuilt.Add(1)
	return nil
}

func (r *race) shortage() error {
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	return fmt.Errorf("%w: %d of the %d needed (%s)", ErrTooFewKeepers, r.count(), r.seg.K, r.reasons())
}

// reasons says of each keeper that failed what it did.
func (r *race) reasons() string {
	return explainShards(r.fetcher, r.seg, r.why)
}

func explainShards(f *fetcher, seg *catalog.Segment, why map[int]error) string {
	var out []string
	for i, err := range why {
		name := seg.Shards[i].Keeper.Short()
		if k := f.keepers[seg.Shards[i].Keeper]; k != nil {
			name = k.Name()
		}
		out = append(out, name+" "+reason(err).Error())
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// mark remembers that a keeper does not have a shard as it should be, so that
// it is made again, or that it has it after all. Failing to is no reason to
// fail a get. Only one goroutine at a time works on a place in seg.
func (e *Engine) mark(ctx context.Context, seg *catalog.Segment, idx int, state catalog.ShardState) {
	sh := &seg.Shards[idx]
	sh.State = state
	if err := e.cat.SetShard(context.WithoutCancel(ctx), seg.ID, idx, sh.ID, *sh); err != nil {
		e.log.Warn("a shard's state could not be written down", "segment", seg.ID, "err", err)
	}
}

// verified fetches whole shards until k are there whose roots are right, and
// fills bufs[i] for every required shard. It names whoever gave wrong bytes.
// bufs has a buffer of seg.ShardLen bytes for each shard.
func (f *fetcher) verified(ctx context.Context, seg *catalog.Segment, bufs [][]byte, required []bool) error {
	reads := f.readAll(ctx, seg, bufs, seg.K)
	c, err := f.codec(seg)
	if err != nil {
		return err
	}
	shards := make([][]byte, seg.N)
	want := make([]bool, seg.N)
	why := map[int]error{}
	missing := false
	for i := range shards {
		if shards[i] = bufs[i]; reads[i] != nil {
			shards[i] = bufs[i][:0]
			why[i], want[i] = reads[i], required[i]
			missing = missing || required[i]
		}
	}
	if good := seg.N - len(why); good < seg.K {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%w: %d of the %d needed gave what they were given (%s)", ErrTooFewKeepers, good, seg.K, explainShards(f, seg, why))
	}
	if !missing {
		return nil
	}
	if err := c.Reconstruct(shards, want); err != nil {
		return fmt.Errorf("segment %d: %w", seg.ID, err)
	}
	for i := range shards {
		if want[i] && &shards[i][0] != &bufs[i][0] {
			copy(bufs[i], shards[i])
		}
	}
	f.rebuilt.Add(1)
	return nil
}

const (
	// slowest is the rate, in bytes a second, below which a transfer of a whole
	// shard is given up, however slow the others are.
	slowest = 4 << 10
	// verifyGrace: once enough good shards are there, the others get three
	// times as long as those took, at least this.
	verifyGrace = time.Second
)

// readAll reads the shards of a segment whole and checks their roots; the
// result has nil for each good one. Once enough of them are good the slow
// ones are not waited for.
func (f *fetcher) readAll(ctx context.Context, seg *catalog.Segment, bufs [][]byte, enough int) []error {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, atSlowest(seg.ShardLen))
	defer cancel()
	out := make([]error, seg.N)
	results := make(chan int, seg.N)
	open, good := 0, 0
	for i, sh := range seg.Shards {
		k := f.keepers[sh.Keeper]
		switch {
		case k == nil:
			out[i] = errGone
		case sh.State == catalog.Owed:
			out[i] = errNotPut
		default:
			open++
			go func() {
				out[i] = f.readWhole(ctx, caller, k, seg, i, bufs[i])
				results <- i
			}()
		}
	}
	started := time.Now()
	grace := time.NewTimer(atSlowest(seg.ShardLen))
	defer grace.Stop()
	for open > 0 {
		select {
		case i := <-results:
			open--
			if out[i] == nil {
				if good++; good == enough {
					grace.Reset(max(verifyGrace, 3*time.Since(started)))
				}
			}
		case <-grace.C:
			cancel()
		}
	}
	return out
}

// atSlowest is how long n bytes may take.
func atSlowest(n int) time.Duration { return 30*time.Second + time.Duration(n)*time.Second/slowest }

// readWhole reads one shard and checks it. ctx ends when it takes too long,
// caller when nobody wants it any more.
func (f *fetcher) readWhole(ctx, caller context.Context, k peers.Keeper, seg *catalog.Segment, i int, buf []byte) error {
	sh := seg.Shards[i]
	err := k.ReadShard(ctx, sh.ID, 0, buf)
	if err == nil {
		f.fetched.Add(int64(len(buf)))
		if erasure.ShardRoot(buf) != sh.Root {
			err = peers.ErrDamaged
		}
	}
	switch {
	case err == nil:
		if sh.State == catalog.Lost {
			f.e.mark(caller, seg, i, catalog.There)
		}
		return nil
	case caller.Err() != nil:
		return context.Cause(caller)
	case ctx.Err() != nil:
		err = errSlow
	}
	if errors.Is(err, peers.ErrNotFound) { // who lacks one shard can take another
		if !f.lacks(caller, seg, i) {
			return err
		}
	} else {
		f.e.scores.fail(k.Device(), lie(err))
	}
	f.blames.add(k.Device(), k.Name(), err, lie(err))
	if lie(err) {
		f.e.mark(caller, seg, i, catalog.Lost)
	}
	return err
}
