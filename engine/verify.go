// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/segment"
)

// verifyAtOnce segments are checked at once: their buffers hold all shards.
const verifyAtOnce = 2

// Verify fetches every shard of the named files, or of everything, from its
// keeper and compares it with what was stored.
func (e *Engine) Verify(ctx context.Context, o VerifyOptions, progress func(Progress)) (*VerifyReport, error) {
	m := newMeter(StageScan, progress)
	defer m.close()
	r := &VerifyReport{}
	e.current(ctx) // if it can be: what moved would look lost
	files, err := e.filesOf(ctx, o.Names)
	if err != nil {
		return r, err
	}
	chunkSeg, err := e.cat.ChunkSegments(ctx)
	if err != nil {
		return r, err
	}
	var segs []int64
	for _, f := range files {
		for _, row := range catalog.ChunkRows(f.Parts) {
			segs = append(segs, chunkSeg.Of(row))
		}
	}
	slices.Sort(segs)
	segs = slices.Compact(segs)
	v := &verifier{e: e, f: e.newFetcher(&blames{}), m: m, r: r, lost: map[int64]bool{}}
	m.totalFiles.Store(int64(len(segs)))
	m.totalKnown.Store(true)
	m.set(StageVerify)
	err = v.run(ctx, segs)
	if err == nil {
		err = e.judge(ctx, v.f.blames)
	}
	r.Files, r.Blamed, r.Elapsed, r.Bytes = int64(len(files)), v.f.blames.all(), m.elapsed(), v.f.fetched.Load()
	for i := range files {
		if slices.ContainsFunc(files[i].Parts, func(p catalog.Part) bool { return p.Chunk != 0 && v.lost[chunkSeg.Of(p.Chunk)] }) {
			r.Affected = append(r.Affected, Path(files[i].Path))
		}
	}
	return r, err
}

// filesOf gives the files that the names stand for, each once.
func (e *Engine) filesOf(ctx context.Context, names []Path) ([]catalog.Version, error) {
	var out []catalog.Version
	seen := map[string]bool{}
	add := func(v *catalog.Version) error {
		if v.Kind == catalog.File && !seen[v.Path] {
			seen[v.Path] = true
			out = append(out, *v)
		}
		return ctx.Err()
	}
	if len(names) == 0 {
		names = []Path{""}
	}
	for _, n := range names {
		if n != "" {
			if err := checkPath(n); err != nil {
				return nil, err
			}
			v, err := e.cat.Version(ctx, string(n))
			if err != nil {
				return nil, fmt.Errorf("%q: %w", string(n), err)
			}
			if err := add(&v); err != nil {
				return nil, err
			}
			if v.Kind != catalog.Folder {
				continue
			}
		}
		if err := e.cat.Below(ctx, string(n), add); err != nil {
			return nil, err
		}
	}
	return out, nil
}

type verifier struct {
	e    *Engine
	f    *fetcher
	m    *meter
	mu   sync.Mutex
	r    *VerifyReport
	lost map[int64]bool
}

func (v *verifier) run(ctx context.Context, segs []int64) error {
	work := make(chan int64)
	var workers sync.WaitGroup
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for range verifyAtOnce {
		workers.Go(func() {
			for id := range work {
				if err := v.one(ctx, id); err != nil {
					cancel(err)
				}
			}
		})
	}
feed:
	for _, id := range segs {
		select {
		case work <- id:
		case <-ctx.Done():
			break feed
		}
	}
	close(work)
	workers.Wait()
	return context.Cause(ctx)
}

func (v *verifier) one(ctx context.Context, id int64) error {
	seg, err := v.e.cat.Segment(ctx, id)
	if errors.Is(err, catalog.ErrGone) {
		return nil
	} else if err != nil {
		return err
	}
	buf := v.e.segments.get(seg.N)
	defer v.e.segments.put(buf)
	reads := v.f.readAll(ctx, seg, columns(buf, seg, segment.Whole(seg.K, seg.ShardLen)), seg.N)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	good := 0
	for _, err := range reads {
		good += btoi(err == nil)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.r.Segments++
	v.r.Shards += int64(len(reads))
	v.r.Good += int64(good)
	if good < seg.K {
		v.r.Lost++
		v.lost[id] = true
	}
	v.m.files.Add(1)
	v.m.bytes.Add(int64(len(reads) * seg.ShardLen))
	return nil
}
