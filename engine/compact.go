// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/segment"
	"github.com/preezm/preezm/peers"
)

const (
	// compactAge is how old a segment must be before the background compacts
	// it: an interrupted put may still be repeated.
	compactAge = orphanAge
	// compactHold is how long keepers hold what was emptied: a copy of the
	// catalog from before still leads there.
	compactHold = 24 * time.Hour
	// compactRound bounds what is moved before others get a turn, in bytes.
	compactRound = 48 << 20
	// smallSegments that were never filled are worth to be joined.
	smallSegments = 8
)

// CompactOptions says what to compact.
type CompactOptions struct {
	Dry bool // only tell what would be moved
	All bool // also what was kept in the last days
}

// CompactReport is the outcome of Compact.
type CompactReport struct {
	Dry      bool  `json:"dry_run"`
	Segments int64 `json:"segments"` // that were emptied
	Moved    int64 `json:"moved"`    // bytes of chunks
	Freed    int64 `json:"freed"`    // shard bytes that keepers may forget a day later
	Stored   int64 `json:"stored"`   // shard bytes that took their place
	Left     int64 `json:"left"`     // segments that could not be read now
	// Of the shards that keepers hold and nothing needs: those that wait for
	// their grace, and those that went. The node fills them in.
	Unknown int64         `json:"unknown"`
	Swept   int64         `json:"swept"`
	Elapsed time.Duration `json:"elapsed_ns"`
}

// Compact moves what is still needed of half-empty segments into new ones. The
// old ones stay until the new ones are durable and in the catalog, and their
// shards on the keepers a day longer. It makes way for puts; what was done
// before it ends stays done.
func (e *Engine) Compact(ctx context.Context, o CompactOptions, progress func(Progress)) (*CompactReport, error) {
	m := newMeter(StageCompact, progress)
	defer m.close()
	r := &CompactReport{Dry: o.Dry}
	before := e.now().Add(-compactAge).UnixNano()
	if o.All {
		before = math.MaxInt64
	}
	todo, err := e.cat.Sparse(ctx, before, peers.MaxShard, smallSegments)
	for _, s := range todo {
		m.totalBytes.Add(s.Live)
		if o.Dry {
			r.Segments++
			r.Moved += s.Live
			r.Freed += s.Stored
		}
	}
	m.totalKnown.Store(true)
	if err != nil || o.Dry {
		return r, err
	}
	for len(todo) > 0 && err == nil {
		started := time.Now()
		todo, err = e.compactRound(ctx, m, todo, r)
		e.makeWay(ctx, time.Since(started))
	}
	r.Elapsed = m.elapsed()
	return r, err
}

// compactRound moves what is needed of some segments and gives those that are
// left to do.
func (e *Engine) compactRound(ctx context.Context, m *meter, todo []catalog.Sparse, r *CompactReport) ([]catalog.Sparse, error) {
	if err := e.lockPut(ctx, func() { m.set(StageWait) }); err != nil {
		return todo, err
	}
	defer e.unlockPut()
	p := newPut(e, m)
	p.stage, p.gentle = StageCompact, true
	f := e.newFetcher(&blames{})
	done, moved := 0, int64(0)
	var emptied []catalog.Sparse
	err := p.run(ctx, nil, func() {
		for done < len(todo) && moved < compactRound && p.ctx.Err() == nil && (done == 0 || e.wanted.Load() == 0) {
			s := todo[done]
			done++
			n, err := p.moveFrom(f, s.ID)
			switch {
			case errors.Is(err, catalog.ErrGone):
			case errors.Is(err, ErrTooFewKeepers):
				r.Left++
				e.log.Info("a segment cannot be compacted now", "segment", s.ID, "err", err)
			case err != nil:
				p.fail(err)
			default:
				moved += n
				emptied = append(emptied, s)
			}
		}
	})
	r.Stored += p.stored.Load()
	if err == nil {
		r.Moved += moved
		for _, s := range emptied {
			r.Segments++
			r.Freed += s.Stored
		}
	}
	return todo[done:], err
}

// moveFrom copies what is needed of a segment, sealed as it is, to where the
// put packs, and gives how many bytes that were.
func (p *put) moveFrom(f *fetcher, id int64) (int64, error) {
	seg, err := p.e.cat.Segment(p.ctx, id)
	if err != nil {
		return 0, err
	}
	live, err := p.e.cat.LiveChunks(p.ctx, id)
	if err != nil || len(live) == 0 {
		return 0, errors.Join(err, catalog.ErrGone)
	}
	for i := range live {
		if !sane(&live[i], seg) {
			return 0, fmt.Errorf("chunk %d is damaged in the catalog", live[i].ID)
		}
	}
	buf := p.e.segments.get(seg.N)
	defer p.e.segments.put(buf)
	// Whole shards, each compared with its root: what is moved is what was put.
	if err := f.data(p.ctx, seg, columns(buf, seg, segment.Whole(seg.K, seg.ShardLen))); err != nil {
		return 0, err
	}
	var n int64
	for _, row := range live {
		c := &flyingChunk{row: row, from: id}
		sealed := buf[row.Off : row.Off+row.Sealed]
		s, err := p.reserve(c)
		if err != nil {
			return n, err
		}
		copy(s.buf[c.row.Off:], sealed)
		p.wrote(s)
		n += int64(row.Sealed)
	}
	return n, nil
}
