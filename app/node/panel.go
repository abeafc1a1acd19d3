// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/witness"
)

// panel is what the custodians of this owner were told of each other.
type panel struct {
	mu      sync.Mutex
	members []witness.Member
	raw     []byte
	told    map[peers.DeviceID]bool
}

// sharePanel tells the custodians about each other: when they or their
// addresses changed, and those that have not heard it yet. Only then do they
// gossip, since the devices of a circle need not know each other.
func (n *Node) sharePanel(ctx context.Context) error {
	members, err := n.desk.Panel(ctx)
	if err != nil || len(members) == 0 {
		return err
	}
	p := &n.panel
	p.mu.Lock()
	defer p.mu.Unlock()
	same := slices.EqualFunc(members, p.members, func(a, b witness.Member) bool {
		return a.Device == b.Device && a.LogKey == b.LogKey && slices.Equal(a.Addresses, b.Addresses)
	})
	if !same || p.raw == nil {
		raw, err := n.desk.SignPanel(members)
		if err != nil {
			return err
		}
		p.members, p.raw, p.told = members, raw, map[peers.DeviceID]bool{}
	}
	var untold []peers.DeviceID
	for _, m := range members {
		if !p.told[m.Device] {
			untold = append(untold, m.Device)
		}
	}
	var mu sync.Mutex
	n.everybody(ctx, untold, func(ctx context.Context, c *rpc.Client) {
		news := witness.News{Owner: n.desk.Root(), Panel: p.raw}
		if _, err := (witness.Client{Caller: c}).Status(ctx, news); err != nil {
			n.log.Debug("tell a custodian of the others", "custodian", c.Name(), "err", err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		p.told[c.Device()] = true
	})
	return nil
}

// forgetTold forgets what this process remembers to have told a device, which
// may have lost it.
func (n *Node) forgetTold(d peers.DeviceID) {
	n.told.mu.Lock()
	delete(n.told.done, d)
	delete(n.told.set, d)
	n.told.mu.Unlock()
	n.panel.mu.Lock()
	delete(n.panel.told, d)
	n.panel.mu.Unlock()
	n.updates.mu.Lock()
	defer n.updates.mu.Unlock()
	maps.DeleteFunc(n.updates.told, func(k updateKey, _ bool) bool { return k.device == d })
}

// catchUp tells a custodian every withdrawal and newer package that still
// matters and that it has not acknowledged.
func (n *Node) catchUp(ctx context.Context, c *rpc.Client) error {
	w := witness.Client{Caller: c}
	errands, err := n.desk.Errands(ctx)
	if err != nil {
		return err
	}
	for _, e := range errands {
		if !slices.Contains(e.Untold, c.Device()) {
			continue
		}
		if _, err := w.Revoke(ctx, e.Revocation); err != nil {
			return err
		}
		if err := n.desk.Told(ctx, e.Grant, c.Device()); err != nil {
			return err
		}
	}
	updates, err := n.desk.Updates(ctx)
	if err != nil {
		return err
	}
	for _, u := range updates {
		if !slices.Contains(u.Seats, c.Device()) {
			continue
		}
		news := witness.News{Owner: n.desk.Root(), Updates: []witness.Update{{Grant: u.Grant, Package: u.Package}}}
		if _, err := w.Status(ctx, news); err != nil {
			return err
		}
	}
	return nil
}
