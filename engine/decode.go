// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/chunk"
	"github.com/preezm/preezm/engine/seal"
	"github.com/preezm/preezm/engine/segment"
	"github.com/preezm/preezm/peers/said"
)

// unitsAtOnce parts of one segment are fetched at once.
const unitsAtOnce = 4

// segmentJob brings back the chunks that are wanted of one segment.
type segmentJob struct {
	*get
	id   int64
	uses []use
	at   place
	// again: the segment had other pieces than a moment before.
	again bool
	// followed: its chunks lay in another segment a moment before.
	followed bool
}

// run fails only when the whole get must end; what happens to single files
// is reported.
func (j *segmentJob) run() error {
	defer j.at.close()
	seg, err := j.e.cat.Segment(j.ctx, j.id)
	if errors.Is(err, catalog.ErrGone) {
		return j.follow(err)
	} else if err != nil {
		return err
	}
	chunks := byChunk(j.uses)
	var ranges []segment.Range
	for _, c := range chunks {
		row := &c[0].row
		if !sane(row, seg) {
			return fmt.Errorf("chunk %d is damaged in the catalog", row.ID)
		}
		ranges = append(ranges, segment.Range{Off: row.Off, Len: row.Sealed})
	}
	buf := j.e.segments.get(seg.N)
	defer j.e.segments.put(buf)
	units := segment.Units(ranges, seg.K, seg.ShardLen)
	var all errgroup.Group
	all.SetLimit(unitsAtOnce)
	for _, u := range units {
		all.Go(func() error { return j.fetch.unit(j.ctx, seg, u, columns(buf, seg, u)) })
	}
	fetchErr := all.Wait()
	if fetchErr != nil && !j.again && j.e.moved(j.ctx, seg) {
		// It was mended or recoded meanwhile: its pieces have other names.
		again := *j
		again.again = true
		return again.run()
	}
	checked := false
	for _, c := range chunks {
		if err := context.Cause(j.ctx); err != nil {
			return err
		}
		plain := j.bytes.get(c[0].row.Plain)
		err := fetchErr
		if err == nil {
			err = j.open(plain, &c[0].row, buf)
		}
		if errors.Is(err, seal.ErrAuthentic) && !checked {
			// Somebody gave wrong bytes: find out who, and do without them.
			checked = true
			if err = j.fetch.recheck(j.ctx, seg, buf); err == nil {
				err = j.open(plain, &c[0].row, buf)
			} else {
				fetchErr = err
			}
		}
		if err == nil {
			err = j.deliver(c, *plain)
		} else {
			j.giveUp(c, err)
			err = nil
		}
		j.bytes.put(plain)
		if err != nil {
			return err
		}
	}
	return nil
}

// follow looks for the chunks of a segment that is gone: they may lie in
// others by now.
func (j *segmentJob) follow(gone error) error {
	ids := make([]int64, len(j.uses))
	for i, u := range j.uses {
		ids[i] = u.row.ID
	}
	rows, err := j.e.cat.Chunks(j.ctx, ids)
	if errors.Is(err, catalog.ErrGone) || j.followed {
		j.giveUp(j.uses, gone)
		return nil
	} else if err != nil {
		return err
	}
	next := map[int64]*segmentJob{}
	for _, u := range j.uses {
		u.row = rows[u.row.ID]
		n := next[u.row.Segment]
		if n == nil {
			n = &segmentJob{get: j.get, id: u.row.Segment, at: place{root: j.root}, followed: true}
			next[u.row.Segment] = n
		}
		n.uses = append(n.uses, u)
	}
	for _, n := range next {
		if err := n.run(); err != nil {
			return err
		}
	}
	return nil
}

// sane guards against a damaged catalog.
func sane(c *catalog.Chunk, s *catalog.Segment) bool {
	return c.Off >= 0 && c.Sealed > 0 && c.Sealed <= s.DataLen && c.Off <= s.DataLen-c.Sealed &&
		c.Plain > 0 && c.Plain <= chunk.Max
}

// columns are a unit's places in a segment's buffer, shard by shard.
func columns(buf []byte, seg *catalog.Segment, u segment.Unit) [][]byte {
	out := make([][]byte, seg.N)
	for i := range out {
		at := i * seg.ShardLen
		out[i] = buf[at+u.Lo : at+u.Hi : at+u.Hi]
	}
	return out
}

// open opens a chunk from the segment's data into plain.
func (j *segmentJob) open(plain *[]byte, row *catalog.Chunk, data []byte) error {
	var scratch []byte
	if row.Zstd {
		packed := j.bytes.get(row.Sealed)
		defer j.bytes.put(packed)
		scratch = *packed
	}
	_, err := OpenChunk((*plain)[:0], scratch, row.Name, row.Key, row.Zstd, row.Plain, data[row.Off:row.Off+row.Sealed])
	return err
}

// recheck reads the whole segment again, with every shard checked against its
// root.
func (f *fetcher) recheck(ctx context.Context, seg *catalog.Segment, buf []byte) error {
	required := make([]bool, seg.N)
	for i := range seg.K {
		required[i] = true
	}
	return f.verified(ctx, seg, columns(buf, seg, segment.Whole(seg.K, seg.ShardLen)), required)
}

// deliver writes a chunk wherever it belongs.
func (j *segmentJob) deliver(uses []use, plain []byte) error {
	for _, u := range uses {
		if !u.file.failed.Load() {
			err := j.write(&j.at, u.file, plain, u.off)
			if err != nil && u.file.failed.CompareAndSwap(false, true) {
				if err := j.refuse(u.file.v, err); err != nil {
					return err
				}
			}
		}
		j.meter.bytes.Add(int64(len(plain)))
		j.settle(&j.at, u.file)
	}
	return nil
}

// whyNot says why a file cannot be brought back.
func whyNot(err error) said.Note {
	switch {
	case errors.Is(err, catalog.ErrGone):
		return said.By(err)
	case errors.Is(err, seal.ErrAuthentic), errors.Is(err, chunk.ErrCorrupt):
		return said.As("not-as-named", "cannot be brought back: what is kept of it is not what the catalog names, on any machine")
	}
	return said.Because(err, "not-back-now", "cannot be brought back now: {why}")
}

// giveUp fails the files that need a chunk which cannot be had.
func (j *segmentJob) giveUp(uses []use, err error) {
	for _, u := range uses {
		if u.file.failed.CompareAndSwap(false, true) && j.ctx.Err() == nil {
			j.problem(u.file.v.Path, true, whyNot(err))
		}
		j.settle(&j.at, u.file)
	}
}
