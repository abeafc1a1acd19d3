// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/placement"
	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
)

// List gives what lies in a folder, folders first within each name's order as
// the catalog has it. A file's own path lists just it.
func (e *Engine) List(ctx context.Context, o ListOptions) ([]Entry, error) {
	out := []Entry{}
	err := e.ListEach(ctx, o, func(en *Entry) error {
		out = append(out, *en)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// manyFiles is from how many on the segments of all chunks are loaded at once
// rather than looked up file by file.
const manyFiles = 1000

// ListEach calls f for every entry of a listing, in its order, and holds no
// more than a page of them. It stops at f's first error.
func (e *Engine) ListEach(ctx context.Context, o ListOptions, f func(*Entry) error) error {
	view := e.viewAt(o.At)
	var h *health
	if o.Health {
		var err error
		if h, err = e.health(ctx, nil, o.Folder == "", nil); err != nil {
			return err
		}
	}
	count := 0
	return e.listed(ctx, view, o, func(v *catalog.Version) error {
		en := entryOf(v)
		if count++; count == manyFiles && h != nil && h.of1 == nil {
			var err error
			if h.of1, err = e.cat.ChunkSegments(ctx); err != nil {
				return err
			}
		}
		switch {
		case v.Kind == catalog.Folder:
			if err := e.sum(ctx, view, &en, h); err != nil {
				return err
			}
		case h != nil:
			var err error
			if en.MayLose, en.Keepers, err = h.of(ctx, v); err != nil {
				return err
			}
		}
		if en.MayLose == noLimit {
			en.MayLose, en.Keepers = 0, 0
		}
		if err := f(&en); err != nil {
			return err
		}
		return ctx.Err()
	})
}

func (e *Engine) listed(ctx context.Context, view catalog.View, o ListOptions, f func(*catalog.Version) error) error {
	folder := string(o.Folder)
	if folder != "" {
		if err := checkPath(o.Folder); err != nil {
			return err
		}
		v, err := view.Version(ctx, folder)
		if err != nil {
			return fmt.Errorf("%q: %w", folder, err)
		}
		if v.Kind != catalog.Folder {
			return f(&v)
		}
	}
	if !o.Recursive {
		return view.EachChild(ctx, folder, f)
	}
	return view.Below(ctx, folder, f)
}

func entryOf(v *catalog.Version) Entry {
	p := Path(v.Path)
	return Entry{
		Path: p, RawPath: p.Bytes(), Kind: Kind(v.Kind), Size: v.Size, Mode: v.Mode,
		ModTime: time.Unix(0, v.ModTime), Target: v.Target, Kept: time.Unix(0, v.Kept), Torn: v.Torn,
		Version: v.Number, Former: v.Until != 0,
	}
}

// sum fills a folder's entry from what lies below it: the sizes added up, the
// health of its worst file.
func (e *Engine) sum(ctx context.Context, view catalog.View, en *Entry, h *health) error {
	s, err := view.SumBelow(ctx, string(en.Path))
	if err != nil {
		return err
	}
	en.Size, en.Files = s.Bytes, s.Files
	if h == nil {
		return nil
	}
	en.MayLose, en.Keepers = noLimit, noLimit
	err = view.Below(ctx, string(en.Path), func(v *catalog.Version) error {
		lose, keepers, err := h.of(ctx, v)
		en.MayLose, en.Keepers = min(en.MayLose, lose), min(en.Keepers, keepers)
		return err
	})
	return err
}

// noLimit is the health of what has no data, such as an empty file: its only
// place is the catalog.
const noLimit = 1<<31 - 1

// health knows how many machines each segment can still lose.
type health struct {
	e      *Engine
	online map[peers.DeviceID]bool
	segs   map[int64]segmentHealth
	of1    catalog.ChunkPlaces // when loaded for all
}

type segmentHealth struct{ mayLose, keepers int32 }

// health looks at every segment. With online, only those keepers count;
// without, those that answered a probe just now, or else the whole circle. all
// prepares for asking after many files; also, when not nil, sees each segment.
func (e *Engine) health(ctx context.Context, online map[peers.DeviceID]bool, all bool, also func(*catalog.Spread)) (*health, error) {
	if online == nil {
		online = e.likelyOnline()
	}
	h := &health{e: e, online: online, segs: map[int64]segmentHealth{}}
	err := e.cat.Spreads(ctx, func(s *catalog.Spread) error {
		h.segs[s.Segment] = h.judge(s)
		if also != nil {
			also(s)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	if all {
		h.of1, err = e.cat.ChunkSegments(ctx)
	}
	return h, err
}

// likelyOnline are the keepers that may answer: all of the circle but those that
// did not answer a probe just now and were not seen since.
func (e *Engine) likelyOnline() map[peers.DeviceID]bool {
	online := map[peers.DeviceID]bool{}
	for _, k := range e.keepers() {
		online[k.Device()] = true
	}
	if p := e.probed.Load(); p != nil && time.Since(p.at) < probeAge {
		maps.Copy(online, p.online)
	}
	return online
}

// judge counts machines: one that holds two pieces is lost with both.
func (h *health) judge(s *catalog.Spread) segmentHealth {
	var held [erasure.MaxShards]int
	var who []peers.DeviceID
	for i, d := range s.Keepers {
		if s.States[i] != catalog.There || !h.online[d] {
			continue
		}
		at := slices.Index(who, d)
		if at < 0 {
			at = len(who)
			who = append(who, d)
		}
		held[at]++
	}
	return segmentHealth{int32(placement.MayLose(held[:len(who)], s.K)), int32(len(who))}
}

// one judges the segment of a single chunk. A chunk that is gone was removed
// meanwhile, with all that needed it.
func (h *health) one(ctx context.Context, chunk int64) (segmentHealth, error) {
	gone := segmentHealth{noLimit, noLimit}
	rows, err := h.e.cat.Chunks(ctx, []int64{chunk})
	if errors.Is(err, catalog.ErrGone) {
		return gone, nil
	} else if err != nil {
		return gone, err
	}
	return h.segment(ctx, rows[chunk].Segment)
}

// segment judges one, also when it came after the look at all of them. One that is
// gone was removed meanwhile.
func (h *health) segment(ctx context.Context, id int64) (segmentHealth, error) {
	if s, ok := h.segs[id]; ok {
		return s, nil
	}
	seg, err := h.e.cat.Segment(ctx, id)
	if errors.Is(err, catalog.ErrGone) {
		return segmentHealth{noLimit, noLimit}, nil
	} else if err != nil {
		return segmentHealth{}, err
	}
	return h.judge(seg.Spread()), nil
}

// of gives how many machines may still be lost before v cannot be brought
// back, -1 when it cannot be now, and how many hold a piece.
func (h *health) of(ctx context.Context, v *catalog.Version) (mayLose, keepers int, err error) {
	mayLose, keepers = noLimit, noLimit
	segment := h.of1.Of
	if h.of1 == nil {
		rows, err := h.e.cat.Chunks(ctx, catalog.ChunkRows(v.Parts))
		if errors.Is(err, catalog.ErrGone) {
			return noLimit, noLimit, nil
		} else if err != nil {
			return 0, 0, err
		}
		segment = func(chunk int64) int64 { return rows[chunk].Segment }
	}
	for _, p := range v.Parts {
		if p.Chunk == 0 {
			continue
		}
		s, ok := h.segs[segment(p.Chunk)]
		if !ok {
			// It came after the look at all segments: look again at this one.
			if s, err = h.one(ctx, p.Chunk); err != nil {
				return 0, 0, err
			}
		}
		mayLose, keepers = min(mayLose, int(s.mayLose)), min(keepers, int(s.keepers))
	}
	return mayLose, keepers, nil
}
