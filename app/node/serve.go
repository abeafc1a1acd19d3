// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/preezm/preezm/peers"
)

const (
	// maintainEvery is how often debts are looked at without a reason.
	maintainEvery = time.Minute
	// probeEvery is how often a node asks who of its circle answers, to notice
	// that somebody came back.
	probeEvery = 20 * time.Second
	// lookEvery is how often it looks whether somebody called meanwhile, which
	// is seen sooner and costs nothing.
	lookEvery = time.Second
	// probeGap is the least time between probes for calls.
	probeGap = 3 * time.Second
)

// Serve runs the node until ctx ends: it listens to the circle, answers
// commands on the local socket and pays debts. It returns nil after a stop,
// once everything it started is done. Call it once; Close comes after it.
func (n *Node) Serve(ctx context.Context) error {
	if n.role == RoleCommand {
		return errors.New("this home was opened for a command, not to be served")
	}
	if n.serving.Swap(true) {
		return errors.New("this node serves already")
	}
	local, err := newLocalServer(n, n.log)
	if err != nil {
		return err
	}
	if err := n.net.Listen(ctx); err != nil {
		return fmt.Errorf("cannot listen to the circle: %w", err)
	}
	l, err := listenLocal(n.home)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.net.Serve(ctx) })
	g.Go(func() error { return local.serve(ctx, l) })
	g.Go(func() error { n.watch(ctx); return nil })
	g.Go(func() error { n.maintain(ctx); return nil })
	g.Go(func() error { n.errands(ctx); return nil })
	g.Go(func() error { n.tidy(ctx); return nil })
	g.Go(func() error { n.careLoop(ctx); return nil })
	if n.witness != nil {
		g.Go(func() error { n.witness.Run(ctx, n.fellow); return nil })
	}
	close(n.ready)
	n.log.Info("serving", "device", n.device.Short(), "addresses", n.net.Addresses())
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// maintain lets the engine pay its debts: at the start, every minute, and
// when watch says that somebody is back.
func (n *Node) maintain(ctx context.Context) {
	tick := time.NewTicker(maintainEvery)
	defer tick.Stop()
	for {
		if err := n.engine.Maintain(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("repair goes on later", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-n.kick:
		}
	}
}

// wake asks for a Maintain soon.
func (n *Node) wake() {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// watch tells the engine, and wakes maintain, when a peer joins, calls after
// it was away, or answers a probe again.
func (n *Node) watch(ctx context.Context) {
	look, probe := time.NewTicker(lookEvery), time.NewTicker(probeEvery)
	defer look.Stop()
	defer probe.Stop()
	heard := n.heard()
	online := n.online(ctx)
	probed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-probe.C:
		case <-look.C:
			now := n.heard()
			joined, called := false, false
			for d, at := range now {
				before, known := heard[d]
				joined = joined || !known
				called = called || (at.After(before) && !online[d])
			}
			// A peer that can call and cannot be called calls all the time.
			if !joined && (!called || time.Since(probed) < probeGap) {
				continue
			}
			heard = now
		}
		probed = time.Now()
		now := n.online(ctx)
		for d := range now {
			if !online[d] {
				n.engine.Seen(d)
				n.wake()
			}
		}
		online = now
	}
}

// heard gives when each device of the circle was last heard of.
func (n *Node) heard() map[peers.DeviceID]time.Time {
	out := make(map[peers.DeviceID]time.Time)
	for _, p := range n.book.Peers() {
		out[p.Device] = p.LastSeen
	}
	return out
}

// online gives the devices that answer now.
func (n *Node) online(ctx context.Context) map[peers.DeviceID]bool {
	out := make(map[peers.DeviceID]bool)
	if len(n.book.Peers()) == 0 {
		return out
	}
	reach := n.net.Probe(ctx)
	n.notice(ctx, reach)
	for _, r := range reach {
		if r.Online {
			out[r.Device] = true
			if n.witness != nil {
				n.witness.Heard(r.Device, r.Info.UnixTime)
			}
		}
	}
	return out
}
