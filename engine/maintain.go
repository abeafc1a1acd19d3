// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/repair"
)

const (
	// deletionPatience bounds how long a put or a removal waits for keepers
	// to be told what they may forget; what is not told waits in the catalog.
	deletionPatience = 3 * time.Second
	deletionBatch    = 1000
)

// Maintain pays debts: it drops segments that nobody needs, tells keepers what
// they may forget, and makes anew what is missing, on machines that leave, on
// ones that failed checks or that have been away for too long, until nothing is
// left that can be done now or ctx ends. Segments that fit the circle badly
// since it grew or shrank get another k and n.
func (e *Engine) Maintain(ctx context.Context) error {
	select {
	case e.maintaining <- struct{}{}:
	default:
		return nil // somebody is at it
	}
	defer func() { <-e.maintaining }()
	select {
	case e.putting <- struct{}{}:
		_, err := e.collect(ctx)
		e.unlockPut()
		if err == nil {
			err = e.judge(ctx, &blames{}) // may merge, which waits for puts
		}
		if err != nil {
			return err
		}
	default: // the put that is running collects at its end
	}
	if err := e.cat.EndMoves(ctx); err != nil {
		return err
	}
	e.tellDeletions(ctx, time.Minute) // makes room for what follows
	err := e.payDebts(ctx)
	e.tellDeletions(ctx, time.Minute) // of what was replaced
	return errors.Join(err, e.endLeaves(ctx))
}

// tellDeletions asks each keeper, all at once, to forget what is queued.
func (e *Engine) tellDeletions(ctx context.Context, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var all sync.WaitGroup
	for _, k := range e.keepers() {
		all.Go(func() {
			for ctx.Err() == nil {
				ids, err := e.cat.Deletions(ctx, k.Device(), deletionBatch)
				if err != nil || len(ids) == 0 {
					return
				}
				if err = k.DeleteShards(ctx, ids); err == nil {
					err = e.cat.Deleted(context.WithoutCancel(ctx), k.Device(), ids)
				}
				if err != nil {
					e.log.Info("deletions wait", "keeper", k.Name(), "shards", len(ids), "err", err)
					return
				}
			}
		})
	}
	all.Wait()
}

// lookEvery is how often every segment is looked at without a reason.
const lookEvery = time.Hour

// payDebts mends the segments that have a piece owed or lost; and every one,
// when the circle is not as it was at the last look.
func (e *Engine) payDebts(ctx context.Context) error {
	m, err := e.newMending(ctx, repair.Policy{Margin: -1})
	if err != nil {
		return err
	}
	due, err := e.lookDue(ctx, m.crew)
	if err != nil {
		return err
	}
	var ids []int64
	if due {
		ids, err = e.needing(ctx, m.crew, m.pol)
	} else {
		ids, err = e.indebted(ctx)
	}
	if err != nil {
		return err
	}
	if err := m.each(ctx, ids); err != nil {
		return err
	}
	if due && len(m.errs) == 0 && e.urgent.Load() == 0 {
		// Some segments need a second step: look again at once. It is done
		// when a look finds nothing.
		return e.withCare(ctx, func(c *care) error {
			if len(ids) == 0 {
				c.lastLook, c.lookedAt = m.crew.looks(), e.now()
			}
			return nil
		})
	}
	return nil
}

// lookDue tells whether every segment is to be looked at.
func (e *Engine) lookDue(ctx context.Context, w *crew) (due bool, err error) {
	err = e.withCare(ctx, func(c *care) error {
		age := e.now().Sub(c.lookedAt)
		due = c.lastLook != w.looks() || age > lookEvery || age < 0
		return nil
	})
	return due, err
}

// indebted gives the segments with a piece owed or lost.
func (e *Engine) indebted(ctx context.Context) (ids []int64, err error) {
	for {
		var after int64
		if len(ids) > 0 {
			after = ids[len(ids)-1]
		}
		more, err := e.cat.Indebted(ctx, after, 1000)
		if err != nil || len(more) == 0 {
			return ids, err
		}
		ids = append(ids, more...)
	}
}

// needing gives the segments for which something is to be done now, those with
// the least to spare first.
func (e *Engine) needing(ctx context.Context, w *crew, pol repair.Policy) ([]int64, error) {
	type found struct {
		id    int64
		spare int
	}
	var list []found
	err := e.cat.Spreads(ctx, func(s *catalog.Spread) error {
		if plan := repair.Decide(w.segment(s), w.ms, pol); !plan.Nothing() {
			list = append(list, found{s.Segment, plan.Spare})
		}
		return ctx.Err()
	})
	slices.SortStableFunc(list, func(a, b found) int { return a.spare - b.spare })
	ids := make([]int64, len(list))
	for i, x := range list {
		ids[i] = x.id
	}
	return ids, err
}
