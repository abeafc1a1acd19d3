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
	// watchEvery is how often a node compares its peers' clocks, and who is in
	// touch, without a reason.
	watchEvery = 20 * time.Second
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
	local.gate = n.gate
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		select {
		case how := <-n.reopen:
			return &reopenError{how}
		case <-ctx.Done():
			return nil
		}
	})
	g.Go(func() error { return n.net.Serve(ctx) })
	g.Go(func() error { return local.serve(ctx, l) })
	for _, work := range n.chores(local) {
		g.Go(func() error { work(ctx); return nil })
	}
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

// chores are what a serving node does by itself. The owner's rest while the
// owner's part is shut.
func (n *Node) chores(local *localServer) []func(context.Context) {
	all := []func(context.Context){n.watch, n.runServers, n.mail.Run, n.carryLetters, n.carryHelpers, n.keepLimits, n.takeCare}
	if n.shut {
		return all
	}
	all = append(all, n.maintain, n.errands, n.tidy, n.careLoop, n.makeReceipts, n.entrustLoop, n.backUpChanges, n.importOthers,
		func(ctx context.Context) { n.lockWhenIdle(ctx, local.idle) })
	if n.watcher != nil {
		all = append(all, n.watcher.Run)
	}
	return all
}

// gate refuses a call that needs the owner's part while that is shut.
func (n *Node) gate(path string) error {
	switch path {
	case pathAbout, pathKey, pathLock, pathUnlock, pathHelperRequests, pathVetoRequest:
		return nil
	}
	if n.shut {
		return ErrLocked
	}
	return nil
}

// maintain lets the engine pay its debts: at the start, every minute, and
// when watch says that somebody is back.
func (n *Node) maintain(ctx context.Context) {
	tick := time.NewTicker(maintainEvery)
	defer tick.Stop()
	for {
		if n.limits.holding() == "" {
			if err := n.engine.Maintain(ctx); err != nil && ctx.Err() == nil {
				n.log.Warn("repair goes on later", "err", err)
			}
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

// watch tells the engine, and wakes maintain, when a peer comes into touch that
// was away.
func (n *Node) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	online := make(map[peers.DeviceID]bool)
	for {
		now := n.online(ctx)
		for d := range now {
			if !online[d] && !n.shut {
				n.engine.Seen(d)
				n.wake()
				n.receipts.come()
			}
		}
		online = now
		n.mail.Wake()
		select {
		case <-ctx.Done():
			return
		case <-n.net.Changes():
		case <-tick.C:
		}
	}
}

// online gives the devices that are in touch now, and passes their clocks on.
func (n *Node) online(ctx context.Context) map[peers.DeviceID]bool {
	out := make(map[peers.DeviceID]bool)
	reach := n.net.Touch()
	if len(reach) == 0 {
		return out
	}
	n.notice(ctx, reach)
	for _, r := range reach {
		if r.Online {
			out[r.Device] = true
			if n.witness != nil && r.Info.UnixTime != 0 {
				n.witness.Heard(r.Device, r.Info.UnixTime)
			}
		}
	}
	return out
}
