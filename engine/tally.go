// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/preezm/preezm/engine/catalog"
)

// tally is what a walk through all files gave. It holds until the catalog
// changes, whoever of the keepers comes and goes.
type tally struct {
	changes int64
	sum     catalog.Sum
	sets    []*fileSet
}

// fileSet counts the files that need the same segments: as a rule many small
// ones, or a large one.
type fileSet struct {
	segments     []int64
	files, bytes int64
}

// mostTallied bounds, over all sets of a tally that is kept, the segments in
// them, 8 bytes each.
const mostTallied = 1 << 18

// tally counts the files by the segments that they need. A window asks again and
// again, and a walk through 100,000 files takes a third of a second.
func (e *Engine) tally(ctx context.Context) (*tally, error) {
	changes, err := e.cat.Changes(ctx) // before the walk: what comes meanwhile shows next time
	if err != nil {
		return nil, err
	}
	if last := e.tallied.Load(); last != nil && last.changes == changes {
		return last, nil
	}
	t := &tally{changes: changes}
	if t.sum, err = e.cat.SumBelow(ctx, ""); err != nil {
		return nil, err
	}
	of, err := e.cat.ChunkSegments(ctx)
	if err != nil {
		return nil, err
	}
	sets := map[string]*fileSet{}
	var segments []int64
	var key []byte
	needed := 0
	err = e.cat.Below(ctx, "", func(v *catalog.Version) error {
		if v.Kind != catalog.File {
			return ctx.Err()
		}
		segments, key = segments[:0], key[:0]
		for _, p := range v.Parts {
			// What is not found came after the look at the chunks, or is gone.
			if s := of.Of(p.Chunk); s != 0 && (len(segments) == 0 || segments[len(segments)-1] != s) {
				segments = append(segments, s)
			}
		}
		if len(segments) == 0 {
			return ctx.Err()
		}
		slices.Sort(segments)
		segments = slices.Compact(segments)
		for _, s := range segments {
			key = binary.LittleEndian.AppendUint64(key, uint64(s))
		}
		set := sets[string(key)]
		if set == nil {
			set = &fileSet{segments: slices.Clone(segments)}
			sets[string(key)] = set
			t.sets = append(t.sets, set)
			needed += len(segments)
		}
		set.files++
		set.bytes += v.Size
		return ctx.Err()
	})
	if err == nil && needed <= mostTallied {
		e.tallied.Store(t)
	}
	return t, err
}

// health counts the files by how many machines they may lose, those that may lose
// least first.
func (t *tally) health(ctx context.Context, h *health) ([]HealthCount, error) {
	counts := map[int]*HealthCount{}
	for _, set := range t.sets {
		lose := noLimit
		for _, id := range set.segments {
			s, err := h.segment(ctx, id)
			if err != nil {
				return nil, err
			}
			lose = min(lose, int(s.mayLose))
		}
		if lose == noLimit {
			continue
		}
		c := counts[lose]
		if c == nil {
			c = &HealthCount{MayLose: lose}
			counts[lose] = c
		}
		c.Files += set.files
		c.Bytes += set.bytes
	}
	out := []HealthCount{}
	for _, c := range counts {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b HealthCount) int { return a.MayLose - b.MayLose })
	return out, nil
}
