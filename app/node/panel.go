// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
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
	if err != nil || len(members) < 2 {
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
