// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// mostHeard bounds the machines of the local network that a recovery tries.
const mostHeard = 64

// seek listens to the local network and asks whoever is heard, until one knows
// this person.
func (r *recovery) seek(ctx context.Context) error {
	if r.o.NoDiscovery {
		return said.Wrap(ErrNoWay, "seek-none", "{why}: name one with --from")
	}
	ctx, cancel := context.WithTimeout(ctx, seekTime)
	defer cancel()
	heard := make(chan peers.DeviceID, mostHeard)
	d, err := r.listen(heard)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { _ = d.Serve(ctx) })
	defer cancel()
	tried := map[peers.DeviceID]bool{}
	strangers := 0
	for {
		select {
		case <-ctx.Done():
			if strangers > 0 {
				return said.Wrap(ErrNoWay, "seek-strangers", "{why}: {n} machines with Preezm on this network do not know you; name one with --from", "n", strconv.Itoa(strangers))
			}
			return said.Wrap(ErrNoWay, "seek-here", "{why} on this network: name one with --from, as an invite, a device ID or host:port")
		case id := <-heard:
			if tried[id] || len(tried) >= mostHeard {
				continue
			}
			tried[id] = true
			err := r.knock(ctx, id, d.Find(ctx, id))
			if err == nil {
				return nil
			}
			if errors.Is(err, ErrNotKnown) {
				strangers++
			}
			r.o.Logger.Info("a machine on this network did not let this one in", "device", id.Short(), "err", err)
		}
	}
}

// discoverer is local discovery as a recovery uses it.
type discoverer interface {
	Serve(context.Context) error
	Find(context.Context, peers.DeviceID) []string
}

func (r *recovery) listen(heard chan<- peers.DeviceID) (discoverer, error) {
	d, err := r.id.NewDiscovery(func() []string { return nil }, func(peers.DeviceID) bool { return true })
	if err != nil {
		return nil, err
	}
	d.Heard = func(id peers.DeviceID) {
		select {
		case heard <- id:
		default: // more than anybody has at home
		}
	}
	return d, nil
}

// hear waits until one device is heard on the local network.
func (r *recovery) hear(ctx context.Context, want peers.DeviceID) ([]string, error) {
	if r.o.NoDiscovery {
		return nil, fmt.Errorf("%s: its address is not known: write --from %s@host:port", want.Short(), want)
	}
	ctx, cancel := context.WithTimeout(ctx, seekTime)
	defer cancel()
	heard := make(chan peers.DeviceID, mostHeard)
	d, err := r.listen(heard)
	if err != nil {
		return nil, err
	}
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { _ = d.Serve(ctx) })
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if found := d.Find(ctx, want); len(found) > 0 {
			return found, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w on this network: write --from %s@host:port", want.Short(), ErrNoWay, want)
		case <-heard:
		case <-tick.C:
		}
	}
}
