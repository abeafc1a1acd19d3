// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/chunk"
	"github.com/preezm/preezm/engine/placement"
	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// bufferBudget bounds the segment buffers of one put or get, in bytes.
const bufferBudget = 64 << 20

// segmentsInMemory is how many segments of n shards a put or get works on at
// once.
func segmentsInMemory(n int) int {
	return min(max(2, bufferBudget/(max(n, 1)*peers.MaxShard)), mostSegments)
}

const mostSegments = 8

// mostWorkers bounds the goroutines of each stage of a put. Each packer has a
// chunk, its compressed form and the tables of a compressor in memory, and four
// of them make more than a network at home takes.
const mostWorkers = 4

// put is one running Put. Its stages are goroutines joined by channels:
//
//	scan -> jobs -> pack (name, deduplicate, compress, seal) -> full
//	     -> encode (erasure, roots, intent) -> deliver (keepers) -> commit
//
// Memory is bounded by the segments in slots and by the capacity of
// jobs. The first error cancels ctx with its cause; every stage then drains.
type put struct {
	e       *Engine
	ctx     context.Context
	cancel  context.CancelCauseFunc
	meter   *meter
	bytes   bytePool
	geo     erasure.Geometry
	codec   *erasure.Codec
	targets []*target
	// machines are the targets as placement sees them, circle all keepers.
	machines []placement.Machine
	circle   map[peers.DeviceID]bool

	jobs  chan chunkJob
	slots chan struct{} // one for each segment in memory
	full  chan *openSegment
	sent  sync.WaitGroup // deliveries

	packMu  sync.Mutex
	current *openSegment
	nextSeg int64

	nameMu    sync.Mutex
	finder    *catalog.Finder
	inFlight  map[chunk.ID]*flyingChunk
	nextChunk int64

	backup     bool // what is kept is a backup of the catalog
	skip       func(local string, folder bool) bool
	stage      Stage
	retry      time.Duration  // how long it waits for keepers to come back
	gentle     bool           // leaves most of the machine to others
	home       fs.FileInfo    // the folder that is never kept
	deadChunks map[int64]bool // rows of chunks that cannot be brought back

	commits committer

	reportMu sync.Mutex
	report   PutReport
	newBytes atomic.Int64
	packed   atomic.Int64
	stored   atomic.Int64
	debt     atomic.Int64
}

func newPut(e *Engine, m *meter) *put {
	return &put{e: e, meter: m, stage: StagePut, retry: retryFor, circle: map[peers.DeviceID]bool{}}
}

// Put keeps the sources, files or folders, in the circle. It returns when
// everything that could be kept is durable on the keepers and in the catalog.
// The report is valid, as far as it goes, also with an error. A put that was
// interrupted resumes when it is repeated: what was acknowledged is not sent
// again. Files that cannot be read are reported and make ErrNotKept; the rest
// is kept.
func (e *Engine) Put(ctx context.Context, o PutOptions, progress func(Progress)) (*PutReport, error) {
	p := newPut(e, newMeter(StageScan, progress))
	p.skip, p.gentle = o.Skip, o.Gentle
	defer p.meter.close()
	defer p.finish()
	sources, err := p.resolve(o)
	if err != nil {
		return &p.report, err
	}
	e.wanted.Add(1)
	err = e.lockPut(ctx, func() { p.meter.set(StageWait); e.giveWay() })
	e.wanted.Add(-1)
	if err != nil {
		return &p.report, err
	}
	defer e.unlockPut()
	e.foreground.Add(1)
	defer e.foreground.Add(-1)
	err = p.run(ctx, func() { p.count(sources) }, func() { p.scan(sources) })
	if err == nil {
		for _, pr := range p.report.Problems {
			if pr.Failed {
				return &p.report, ErrNotKept
			}
		}
	}
	return &p.report, err
}

// run keeps what feed sends to jobs; count, which may be nil, adds up ahead of
// it what that will be.
func (p *put) run(ctx context.Context, count, feed func()) error {
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	defer p.cancel(nil)
	if err := p.prepare(); err != nil {
		return err
	}
	defer func() {
		if err := p.finder.Close(); err != nil {
			p.e.log.Warn("the connection that looked chunks up is given up", "err", err)
		}
	}()

	var counting, packing, encoding sync.WaitGroup
	if p.meter.report != nil && count != nil {
		counting.Go(count)
	}
	workers := min(runtime.GOMAXPROCS(0), mostWorkers)
	if p.gentle {
		workers = 1
	}
	for range workers {
		packing.Go(p.pack)
		encoding.Go(p.encode)
	}
	p.commits.start(p)
	for _, t := range p.targets {
		t.start(p.ctx)
	}
	p.meter.set(p.stage)

	feed()
	close(p.jobs)
	packing.Wait()
	p.flush()
	close(p.full)
	encoding.Wait()
	p.sent.Wait()
	for _, t := range p.targets {
		t.stop()
	}
	p.commits.stop()
	err := context.Cause(p.ctx)
	p.cancel(nil)
	counting.Wait()

	// The catalog outlives a cancelled put: what it holds must be put right.
	quiet := context.WithoutCancel(ctx)
	_, cerr := p.e.collect(quiet)
	err = errors.Join(err, p.e.cat.Abandon(quiet), cerr)
	p.e.tellDeletions(ctx, deletionPatience)
	return err
}

func (p *put) fail(err error) { p.cancel(err) }

func (p *put) prepare() error {
	w, err := p.e.crew(p.ctx)
	if err != nil {
		return err
	}
	if len(w.keepers) == 0 {
		return ErrNoKeepers
	}
	for i, k := range w.keepers {
		p.circle[k.Device()] = true
		if !takesNew(w.ms[i].Standing) {
			continue
		}
		p.targets = append(p.targets, newTarget(k))
		p.machines = append(p.machines, w.ms[i].Machine)
	}
	if len(p.targets) == 0 {
		return said.Wrap(ErrTooFewKeepers, "keepers-unfit", "{why}: all of them leave, failed their checks or have been away for long")
	}
	if p.geo, err = erasure.ForCircle(len(p.targets)); err != nil {
		return err
	}
	if p.codec, err = erasure.New(p.geo); err != nil {
		return err
	}
	if p.nextSeg, p.nextChunk, err = p.e.cat.NextIDs(p.ctx); err != nil {
		return err
	}
	if p.home, err = os.Stat(p.e.dir); err != nil {
		return fmt.Errorf("home folder: %w", err)
	}
	if err := p.disownDead(); err != nil {
		return err
	}
	if p.finder, err = p.e.cat.NewFinder(p.ctx); err != nil {
		return err
	}
	p.inFlight = map[chunk.ID]*flyingChunk{}
	p.jobs = make(chan chunkJob, 4)
	inMemory := segmentsInMemory(p.geo.N)
	p.slots = make(chan struct{}, inMemory)
	p.full = make(chan *openSegment, inMemory)
	return nil
}

// disownDead sees to it that nothing is taken for kept because it once was:
// segments that have lost too many shards are not found by deduplication.
func (p *put) disownDead() error {
	var dead []int64
	err := p.e.cat.Spreads(p.ctx, func(s *catalog.Spread) error {
		left := 0
		for i, d := range s.Keepers {
			left += btoi(s.States[i] == catalog.There && p.circle[d])
		}
		if left < s.K {
			dead = append(dead, s.Segment)
		}
		return nil
	})
	if err == nil && len(dead) > 0 {
		p.deadChunks, err = p.e.cat.Disown(p.ctx, dead)
	}
	return err
}

func (p *put) finish() {
	r := &p.report
	r.NewBytes, r.Packed, r.Stored, r.Debt = p.newBytes.Load(), p.packed.Load(), p.stored.Load(), p.debt.Load()
	r.K, r.N, r.Elapsed = p.geo.K, p.geo.N, p.meter.elapsed()
	for _, t := range p.targets {
		took, note := t.outcome()
		if took {
			r.Keepers++
		}
		if !note.IsZero() {
			r.Notes = append(r.Notes, note)
		}
	}
}

func (p *put) problem(path Path, failed bool, note said.Note) {
	p.reportMu.Lock()
	defer p.reportMu.Unlock()
	p.report.Problems = append(p.report.Problems,
		Problem{Path: path, RawPath: path.Bytes(), Said: note, Failed: failed})
}

// fileJob is a version on its way. It is committed when nothing of it is
// open any more: not the reading, and no chunk that is not yet durable.
type fileJob struct {
	v    catalog.Version
	mu   sync.Mutex // guards v.Parts while chunks are packed
	open atomic.Int64
	bad  atomic.Bool // given up: never committed
	size int64       // bytes read so far
	// bare: not a file but a stream of this program's own, whose parts the
	// caller takes.
	bare bool
}

func (f *fileJob) setPart(i int, p catalog.Part) {
	f.mu.Lock()
	f.v.Parts[i] = p
	f.mu.Unlock()
}

// addPart appends a part and returns its place.
func (f *fileJob) addPart(p catalog.Part) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	// Neighbouring holes are one hole.
	if n := len(f.v.Parts); p.Hole > 0 && n > 0 && f.v.Parts[n-1].Hole > 0 {
		f.v.Parts[n-1].Hole += p.Hole
		return n - 1
	}
	f.v.Parts = append(f.v.Parts, p)
	return len(f.v.Parts) - 1
}

// release ends one thing that kept f open.
func (p *put) release(f *fileJob) {
	if f.open.Add(-1) == 0 && !f.bad.Load() && !f.bare {
		f.v.Kept, f.v.Origin = p.e.now().UnixNano(), p.e.device
		p.commits.add(commitItem{version: &f.v})
	}
}

// committer writes to the catalog, in the order things were added, as many
// at once as have gathered: while it was busy, until a segment lands or for
// commitEvery. A transaction of its own for each costs more than its rows, and
// the next segment waits for it.
type committer struct {
	mu     sync.Mutex
	queue  []commitItem
	wake   chan struct{}
	closed bool
	done   sync.WaitGroup
	err    error
}

// commitEvery is how long a version waits for others when no segment lands.
const commitEvery = 50 * time.Millisecond

// commitItem is an acknowledged segment or a version that is complete.
type commitItem struct {
	segment *openSegment
	version *catalog.Version
}

func (c *committer) start(p *put) {
	c.wake = make(chan struct{}, 1)
	c.done.Go(func() {
		tick := time.NewTicker(commitEvery)
		defer tick.Stop()
		for {
			select {
			case <-c.wake:
			case <-tick.C:
			}
			c.mu.Lock()
			items, closed := c.queue, c.closed
			c.queue = nil
			c.mu.Unlock()
			if len(items) > 0 && c.err == nil {
				if c.err = p.commit(items); c.err != nil {
					p.fail(c.err)
				}
			}
			if closed {
				return
			}
		}
	})
}

// add queues something. It is written soon, or at once after poke.
func (c *committer) add(it commitItem) {
	c.mu.Lock()
	c.queue = append(c.queue, it)
	c.mu.Unlock()
}

func (c *committer) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// stop waits until everything added is committed.
func (c *committer) stop() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.poke()
	c.done.Wait()
}

// commit makes the items true in one transaction. It runs to its end even
// when the put was cancelled: keepers hold the segments already.
func (p *put) commit(items []commitItem) error {
	var b catalog.Batch
	var files, bytes int64
	for _, it := range items {
		if it.segment != nil {
			b.Segments = append(b.Segments, &it.segment.rec)
			for _, c := range it.segment.chunks {
				if c.from != 0 {
					b.Moved = append(b.Moved, catalog.Moved{Chunk: c.row, From: c.from})
				} else {
					b.Chunks = append(b.Chunks, c.row)
				}
			}
		} else {
			b.Versions = append(b.Versions, it.version)
			if it.version.Kind == catalog.File {
				files++
			}
		}
	}
	b.After = p.e.now().Add(compactHold).UnixNano()
	p.nameMu.Lock()
	err := p.finder.Hold(false)
	p.nameMu.Unlock()
	if err != nil {
		return err
	}
	if err := p.e.cat.Commit(p.own(context.WithoutCancel(p.ctx)), &b); err != nil {
		return err
	}
	if len(b.Versions) > 0 {
		p.e.newVersions.Store(true)
	}
	p.nameMu.Lock()
	defer p.nameMu.Unlock()
	for i := range b.Chunks {
		delete(p.inFlight, b.Chunks[i].Name)
		bytes += int64(b.Chunks[i].Plain)
	}
	for i := range b.Moved {
		bytes += int64(b.Moved[i].Sealed)
	}
	p.meter.files.Add(files)
	p.meter.bytes.Add(bytes)
	return p.finder.Hold(true)
}
