// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"sync"
	"time"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
)

// probePatience bounds how long Status waits for a keeper's answer.
const probePatience = 5 * time.Second

// probe is which keepers answered, and when.
type probe struct {
	at     time.Time
	online map[peers.DeviceID]bool
}

// probeAge is how long a probe tells more than the circle's list does, so that
// a listing agrees with the status beside it.
const probeAge = time.Minute

// Status tells how well everything is kept.
func (e *Engine) Status(ctx context.Context, o StatusOptions) (*Status, error) {
	p, err := e.cat.Pieces(ctx)
	if err != nil {
		return nil, err
	}
	s := &Status{Stored: p.Stored, Segments: p.Segments, Debt: p.Debt, Pending: p.Pending}
	past, err := e.cat.Past(ctx)
	if err != nil {
		return nil, err
	}
	s.Past = Past(past)
	twice, err := e.cat.Conflicts(ctx)
	if err != nil {
		return nil, err
	}
	for i := range twice { // they come by path
		if i == 0 || twice[i].Path != twice[i-1].Path {
			s.Conflicts++
		}
	}
	circle := e.keepers()
	if s.Keepers, err = e.keeperStates(ctx, circle, o.Probe); err != nil {
		return nil, err
	}
	var online map[peers.DeviceID]bool
	if o.Probe {
		online = map[peers.DeviceID]bool{}
		var seen []Notice
		for _, k := range s.Keepers {
			online[k.Device] = k.Online
			if k.Asked && ctx.Err() == nil {
				seen = append(seen, Notice{Device: k.Device, Online: k.Online, Free: k.Free})
			}
		}
		if err := e.Noticed(ctx, seen); err != nil {
			return nil, err
		}
		e.probed.Store(&probe{time.Now(), online})
	}
	w, err := e.crew(ctx)
	if err != nil {
		return nil, err
	}
	if g, err := erasure.ForCircle(w.taking()); err == nil {
		s.K, s.N = g.K, g.N
	}
	var look *outlook
	err = e.withCare(ctx, func(c *care) error { look = e.newOutlook(w, c); return nil })
	if err != nil {
		return nil, err
	}
	h, err := e.health(ctx, online, false, look.look)
	if err != nil {
		return nil, err
	}
	s.Outlook = *look.end()
	if s.Outlook.Leaving, err = e.Leaving(ctx); err != nil {
		return nil, err
	}
	t, err := e.tally(ctx)
	if err != nil {
		return nil, err
	}
	s.Files, s.Folders, s.Bytes = t.sum.Files, t.sum.Folders, t.sum.Bytes
	if s.Health, err = t.health(ctx, h); err != nil {
		return nil, err
	}
	if len(s.Health) > 0 {
		s.MayLose = s.Health[0].MayLose
	}
	return s, nil
}

// Keepers tells what each keeper holds, and with probe whether it answers.
func (e *Engine) Keepers(ctx context.Context, probe bool) ([]KeeperStatus, error) {
	return e.keeperStates(ctx, e.keepers(), probe)
}

// keeperStates looks at each keeper of the circle, and at those that hold
// shards but are no longer of it.
func (e *Engine) keeperStates(ctx context.Context, circle []peers.Keeper, probe bool) ([]KeeperStatus, error) {
	held, err := e.cat.Keepers(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]KeeperStatus, len(circle))
	var all sync.WaitGroup
	for i, k := range circle {
		t := held[k.Device()]
		delete(held, k.Device())
		out[i] = KeeperStatus{Device: k.Device(), Name: k.Name(), Shards: t.Shards, Bytes: t.Bytes, Asked: probe}
		if !probe {
			continue
		}
		all.Go(func() {
			one, cancel := context.WithTimeout(ctx, probePatience)
			defer cancel()
			started := time.Now()
			info, err := k.Info(one)
			if err != nil {
				out[i].Text = reason(err).Error()
				return
			}
			out[i].Online, out[i].Free, out[i].Latency = true, info.Free, time.Since(started)
		})
	}
	all.Wait()
	err = e.withCare(ctx, func(c *care) error {
		for i := range out {
			out[i].Conduct = e.conduct(c, out[i].Device)
		}
		for d, t := range held {
			name := d.Short()
			if l, ok := c.leaving[d]; ok {
				name = l.Name
			}
			out = append(out, KeeperStatus{Device: d, Name: name, Shards: t.Shards, Bytes: t.Bytes, Asked: probe, Text: errGone.Error()})
		}
		return nil
	})
	return out, err
}
