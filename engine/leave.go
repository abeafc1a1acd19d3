// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/repair"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// Leave says which machine leaves, and how.
type Leave struct {
	Device peers.DeviceID `json:"device"`
	Name   string         `json:"name"`
	// Gone: it does not answer any more and is out of the circle already; what
	// it held is made anew from the others.
	Gone bool `json:"gone"`
	// Stays: it only stops keeping.
	Stays bool      `json:"stays,omitempty"`
	Since time.Time `json:"since"`
	// Left is how many pieces it still holds for this owner.
	Left int64 `json:"left"`
}

// BeginLeave writes down that a machine leaves: it gets nothing more, and what
// it holds is made anew elsewhere, by Drain or Maintain. It is remembered
// until EndLeave.
func (e *Engine) BeginLeave(ctx context.Context, l Leave) error {
	return e.withCare(ctx, func(c *care) error {
		x := catalog.Leave{Name: l.Name, Since: e.now().Unix(), Gone: l.Gone, Stays: l.Stays}
		if old, ok := c.leaving[l.Device]; ok {
			x.Since = old.Since
		}
		if err := e.cat.SetLeaving(ctx, l.Device, x); err != nil {
			return err
		}
		c.leaving[l.Device] = x
		return nil
	})
}

// EndLeave forgets that a machine leaves: it stays after all, or, with gone,
// it holds nothing any more and is out of the circle.
func (e *Engine) EndLeave(ctx context.Context, d peers.DeviceID, gone bool) error {
	return e.withCare(ctx, func(c *care) error {
		if gone {
			if err := e.cat.Empty(ctx, d); err != nil {
				return err
			}
		}
		if err := e.cat.ClearLeaving(ctx, d, gone); err != nil {
			return err
		}
		delete(c.leaving, d)
		if gone {
			delete(c.history, d)
			delete(c.audits, d)
		}
		return nil
	})
}

// Leaving lists the machines that leave, with what they still hold.
func (e *Engine) Leaving(ctx context.Context) ([]Leave, error) {
	var out []Leave
	err := e.withCare(ctx, func(c *care) error {
		for d, l := range c.leaving {
			out = append(out, Leave{Device: d, Name: l.Name, Gone: l.Gone, Stays: l.Stays, Since: time.Unix(l.Since, 0)})
		}
		return nil
	})
	if err != nil || len(out) == 0 { // nearly always: nothing is to be counted
		return nil, err
	}
	held, err := e.cat.Keepers(ctx)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i].Left = held[out[i].Device].Shards
	}
	return out, nil
}

// endLeaves forgets machines that are out of the circle and of which nothing
// is missing any more.
func (e *Engine) endLeaves(ctx context.Context) error {
	list, err := e.Leaving(ctx)
	if err != nil {
		return err
	}
	for _, l := range list {
		if !l.Gone {
			continue
		}
		if l.Left > 0 {
			more, err := e.needs(ctx, l.Device)
			if err != nil || more {
				return err
			}
		}
		if err := e.EndLeave(ctx, l.Device, true); err != nil {
			return err
		}
		e.log.Info("what a machine held is safe elsewhere", "machine", l.Name)
	}
	return nil
}

// needs tells whether anything that a machine holds is still to be made anew.
func (e *Engine) needs(ctx context.Context, d peers.DeviceID) (bool, error) {
	w, err := e.crew(ctx)
	if err != nil {
		return false, err
	}
	var r DrainReport
	err = e.unfinished(ctx, w, repair.Policy{Margin: -1}, holds(d), &r)
	return r.Left > 0, err
}

// holds chooses the segments of which a machine holds a piece.
func holds(d peers.DeviceID) func(*catalog.Spread) bool {
	return func(s *catalog.Spread) bool { return slices.Contains(s.Keepers, d) }
}

// Threatened gives the files that could not be brought back without a machine:
// from the pieces that the others hold, whether they are on now or not.
func (e *Engine) Threatened(ctx context.Context, without peers.DeviceID) ([]Path, error) {
	circle := map[peers.DeviceID]bool{}
	for _, k := range e.keepers() {
		circle[k.Device()] = k.Device() != without
	}
	h, err := e.health(ctx, circle, true, nil)
	if err != nil {
		return nil, err
	}
	all := map[peers.DeviceID]bool{without: true}
	for d := range circle {
		all[d] = true
	}
	with, err := e.health(ctx, all, false, nil)
	if err != nil {
		return nil, err
	}
	with.of1 = h.of1
	var out []Path
	err = e.cat.Below(ctx, "", func(v *catalog.Version) error {
		if v.Kind != catalog.File {
			return ctx.Err()
		}
		lose, _, err := h.of(ctx, v)
		if err != nil || lose >= 0 {
			return err
		}
		// What is lost already is not this machine's doing.
		if before, _, err := with.of(ctx, v); err != nil || before < 0 {
			return err
		}
		out = append(out, Path(v.Path))
		return ctx.Err()
	})
	return out, err
}

// Emptied is called when a machine that leaves was drained, and before it is
// out of reach: it forgets what nobody needs any more.
func (e *Engine) Emptied(ctx context.Context, d peers.DeviceID) error {
	if err := e.cat.Empty(ctx, d); err != nil {
		return err
	}
	e.tellDeletions(ctx, deletionPatience)
	return nil
}

// DrainReport is the outcome of Drain and Repair.
type DrainReport struct {
	Segments int64         `json:"segments"` // looked after
	Pieces   int64         `json:"pieces"`   // made anew
	Read     int64         `json:"read"`     // bytes
	Sent     int64         `json:"sent"`
	Left     int64         `json:"left"`   // segments that need more and cannot have it now
	Copies   int64         `json:"copies"` // of these, hold nothing but copies of the catalog
	Waits    []Wait        `json:"waits,omitempty"`
	Blamed   []Blame       `json:"blamed,omitempty"`
	Elapsed  time.Duration `json:"elapsed_ns"`
}

// Wait is a machine that does not answer and holds pieces of segments that are
// left.
type Wait struct {
	Device   peers.DeviceID `json:"device"`
	Name     string         `json:"name"`
	Segments int64          `json:"segments"`
	Copies   int64          `json:"copies"` // of these, hold nothing but copies of the catalog
}

// ErrNotDrained: some of what a machine holds could not be made anew yet.
var ErrNotDrained = said.Error("not-drained", "some pieces could not be made anew elsewhere")

// Drain makes anew on other machines what one that leaves holds: from itself,
// or from k others when it does not answer. It can be repeated, and goes on
// where it was.
func (e *Engine) Drain(ctx context.Context, d peers.DeviceID, progress func(Progress)) (*DrainReport, error) {
	return e.mendAll(ctx, repair.Policy{Margin: -1}, holds(d), true, progress)
}

// Repair makes everything as whole as the circle allows now, without waiting
// for machines that are away. It succeeds where nothing but copies of the catalog
// is left: the next ones take their place.
func (e *Engine) Repair(ctx context.Context, progress func(Progress)) (*DrainReport, error) {
	all := func(*catalog.Spread) bool { return true }
	return e.mendAll(ctx, repair.Policy{Margin: -1, Now: true}, all, false, progress)
}

// mendAll mends the segments that which chooses until no more can be done. With
// copies it fails where only those of the catalog are left, too.
func (e *Engine) mendAll(ctx context.Context, pol repair.Policy, which func(*catalog.Spread) bool, copies bool, progress func(Progress)) (*DrainReport, error) {
	meter := newMeter(StageWait, progress)
	defer meter.close()
	r := &DrainReport{}
	defer func() { r.Elapsed = meter.elapsed() }()
	e.urgent.Add(1)
	defer e.urgent.Add(-1)
	select {
	case e.maintaining <- struct{}{}:
		defer func() { <-e.maintaining }()
	case <-ctx.Done():
		return r, context.Cause(ctx)
	}
	if err := e.judge(ctx, &blames{}); err != nil {
		return r, err
	}
	if err := e.cat.EndMoves(ctx); err != nil {
		return r, err
	}
	meter.set(StageRepair)
	// A segment may need several steps, such as more pieces and then a move.
	for {
		m, err := e.newMending(ctx, pol)
		if err != nil {
			return r, err
		}
		m.meter = meter
		ids, bytes, err := e.needed(ctx, m, which)
		if err != nil {
			return r, err
		}
		meter.totalFiles.Add(int64(len(ids)))
		meter.totalBytes.Add(bytes)
		meter.totalKnown.Store(true)
		err = m.each(ctx, ids)
		r.Segments += int64(len(ids))
		r.Pieces += m.pieces.Load()
		r.Read += m.fetch.fetched.Load()
		r.Sent += m.sent.Load()
		r.Blamed = append(r.Blamed, m.fetch.blames.all()...)
		if err != nil {
			return r, err
		}
		if len(ids) > 0 && m.pieces.Load() > 0 {
			continue
		}
		if err = e.unfinished(ctx, m.crew, pol, which, r); err != nil {
			return r, err
		}
		if r.Left > 0 {
			// A put or a backup that began before the machine left may end meanwhile.
			now, _, err := e.needed(ctx, m, which)
			if err != nil {
				return r, err
			}
			if slices.ContainsFunc(now, func(id int64) bool { _, tried := slices.BinarySearch(ids, id); return !tried }) {
				continue
			}
		}
		e.tellDeletions(ctx, deletionPatience)
		left := r.Left
		if !copies {
			left -= r.Copies
		}
		if left > 0 {
			return r, errors.Join(append([]error{fmt.Errorf("%w (%d segments)", ErrNotDrained, left)}, m.errs...)...)
		}
		return r, nil
	}
}

// needed gives the segments to mend, and about how many bytes will be sent.
func (e *Engine) needed(ctx context.Context, m *mending, which func(*catalog.Spread) bool) (ids []int64, bytes int64, err error) {
	err = e.cat.Spreads(ctx, func(s *catalog.Spread) error {
		if !which(s) {
			return ctx.Err()
		}
		plan := repair.Decide(m.crew.segment(s), m.crew.ms, m.pol)
		if !plan.Nothing() {
			ids = append(ids, s.Segment)
			bytes += int64(s.ShardLen) * int64(len(plan.Moves)+len(plan.More))
			if plan.Recode.N > 0 {
				bytes += int64(s.ShardLen) * int64(s.K*plan.Recode.N) / int64(plan.Recode.K)
			}
		}
		return ctx.Err()
	})
	return ids, bytes, err
}

// unfinished counts in r the chosen segments of which pieces still wait, and says
// for whom.
func (e *Engine) unfinished(ctx context.Context, w *crew, pol repair.Policy, which func(*catalog.Spread) bool, r *DrainReport) error {
	r.Left, r.Copies, r.Waits = 0, 0, nil
	waits := make([]Wait, len(w.keepers))
	err := e.cat.Spreads(ctx, func(s *catalog.Spread) error {
		if !which(s) {
			return ctx.Err()
		}
		seg := w.segment(s)
		if plan := repair.Decide(seg, w.ms, pol); plan.Homeless == 0 && plan.Nothing() {
			return ctx.Err()
		}
		copies := int64(btoi(s.Backup))
		r.Left++
		r.Copies += copies
		seen := map[int]bool{}
		for _, p := range seg.Pieces {
			if p.At < 0 || p.At >= len(waits) || seen[p.At] || w.ms[p.At].Standing != repair.Away && w.ms[p.At].Standing != repair.Missing {
				continue
			}
			seen[p.At] = true
			waits[p.At].Segments++
			waits[p.At].Copies += copies
		}
		return ctx.Err()
	})
	for i, x := range waits {
		if x.Segments > 0 {
			x.Device, x.Name = w.keepers[i].Device(), w.keepers[i].Name()
			r.Waits = append(r.Waits, x)
		}
	}
	return err
}
