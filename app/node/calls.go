// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"os"
	"slices"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/said"
)

// Both ways to reach a home are the same API.
var (
	_ API = (*Node)(nil)
	_ API = (*client)(nil)
)

// About describes the home and whether a node serves it.
func (n *Node) About(ctx context.Context) (About, error) {
	kept, err := n.depot.Total(ctx)
	if err != nil {
		return About{}, err
	}
	a := About{
		Device: n.device, Name: n.settings.Name, Home: n.home, Version: n.version,
		Offer: n.offered(), Kept: kept.Used, Addresses: n.addresses(), Locked: n.shut,
	}
	if key, err := n.Key(ctx); err == nil {
		a.WordsThere = key.WordsThere
	}
	select {
	case <-n.ready:
		a.Running, a.PID = true, os.Getpid()
	default:
	}
	return a, nil
}

// Invite makes a code for one other device. It works without a serving node,
// but nobody can join before one serves.
func (n *Node) Invite(ctx context.Context, o InviteOptions) (Invite, error) {
	if err := n.settle(ctx); err != nil {
		return Invite{}, err
	}
	inv, err := n.book.NewInvite(circle.Invite{
		Device: n.device, Name: n.settings.Name, Addresses: n.addresses(), Servers: slices.Concat(n.offers(), n.usedServers()),
	}, o.For)
	if err != nil {
		return Invite{}, err
	}
	return Invite{ID: inv.ID(), Code: inv.Code(), Expires: inv.Expires}, nil
}

// Join uses a code somebody else's Invite made.
func (n *Node) Join(ctx context.Context, code string) (Member, error) {
	inv, err := circle.ParseInvite(code)
	if err != nil {
		return Member{}, err
	}
	p, err := n.net.Join(ctx, inv)
	if err != nil {
		return Member{}, err
	}
	n.wake()
	if err := n.useServers(inv.Servers); err != nil {
		return Member{}, said.Wrap(err, "joined-no-servers", "you are in; the servers of the invite were not kept: {why}")
	}
	m := member(p)
	pairing, err := circle.NewPairing(inv.Device, n.device, inv.Token)
	m.Words = words(pairing)
	return m, err
}

// Circle lists the other machines; with probe each is asked whether it
// answers, and what it keeps.
func (n *Node) Circle(ctx context.Context, probe bool) ([]Member, error) {
	keepers, err := n.engine.Keepers(ctx, false)
	if err != nil {
		return nil, err
	}
	forMe := make(map[peers.DeviceID]int64)
	for _, k := range keepers {
		forMe[k.Device] = k.Bytes
	}
	var reach map[peers.DeviceID]rpc.Reach
	if probe {
		reach = n.probe(ctx)
	}
	look, err := n.lookAfter(ctx)
	if err != nil {
		return nil, err
	}
	members := []Member{}
	first := map[peers.DeviceID]peers.DeviceID{} // of each person
	for _, p := range n.book.Peers() {
		m := member(p)
		m.MemberCare = look.member(p)
		m.ForMe = forMe[p.Device]
		who := n.book.Owner(p.Device)
		if m.SameAs = first[who]; m.SameAs == (peers.DeviceID{}) {
			first[who] = p.Device
			use, err := n.depot.Usage(ctx, p.Device)
			if err != nil {
				return nil, err
			}
			m.ForThem = use.Used
			if m.Balance, err = n.balance(ctx, p); err != nil {
				return nil, err
			}
		}
		if r, ok := reach[p.Device]; ok {
			m.Asked, m.Online, m.Latency = true, r.Online, r.Latency
			switch {
			case r.Online:
				m.ForMe, m.Free = r.Info.Used, r.Info.Free
			case r.Err != nil:
				m.Why = said.By(r.Err)
			}
			// The probe itself may just have heard of it.
			if again, ok := n.book.Peer(p.Device); ok {
				m.LastSeen = again.LastSeen
			}
		}
		members = append(members, m)
	}
	return members, ctx.Err()
}

func (n *Node) probe(ctx context.Context) map[peers.DeviceID]rpc.Reach {
	out := make(map[peers.DeviceID]rpc.Reach)
	for _, r := range n.net.Probe(ctx) {
		out[r.Device] = r
	}
	return out
}

func member(p circle.Peer) Member {
	return Member{
		Device: p.Device, Name: p.Name, Addresses: p.Addresses, Keeper: p.Keeper, LastSeen: p.LastSeen,
	}
}

// Put keeps files and folders.
func (n *Node) Put(ctx context.Context, o engine.PutOptions, progress func(engine.Progress)) (*engine.PutReport, error) {
	r, err := n.engine.Put(ctx, o, progress)
	if r != nil && r.Debt > 0 {
		n.wake()
	}
	return r, err
}

// Get brings files and folders back.
func (n *Node) Get(ctx context.Context, o engine.GetOptions, progress func(engine.Progress)) (*engine.GetReport, error) {
	return n.engine.Get(ctx, o, progress)
}

// List lists what is kept.
func (n *Node) List(ctx context.Context, o engine.ListOptions) ([]engine.Entry, error) {
	return n.engine.List(ctx, o)
}

// Remove moves files and folders to the trash, and says which grants still
// cover them.
func (n *Node) Remove(ctx context.Context, names []engine.Path) (*engine.RemoveReport, error) {
	r, err := n.engine.Remove(ctx, names)
	return n.withGrants(ctx, names, r, err)
}

// withGrants completes the report of a removal.
func (n *Node) withGrants(ctx context.Context, names []engine.Path, r *engine.RemoveReport, err error) (*engine.RemoveReport, error) {
	if err != nil || n.desk == nil {
		return r, err
	}
	var paths []string
	for _, name := range names {
		paths = append(paths, string(name))
	}
	if r.Grants, err = n.desk.Covering(ctx, paths); err != nil {
		n.log.Warn("look for grants of what was removed", "err", err) // it is removed all the same
	}
	return r, nil
}

// Verify fetches and compares every shard of the named files.
func (n *Node) Verify(ctx context.Context, o engine.VerifyOptions, progress func(engine.Progress)) (*engine.VerifyReport, error) {
	return n.engine.Verify(ctx, o, progress)
}

// Status tells the health of everything kept.
func (n *Node) Status(ctx context.Context, o engine.StatusOptions) (*engine.Status, error) {
	return n.engine.Status(ctx, o)
}
