// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/helpers"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/account"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/helper"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/said"
)

// helperEvery is how often messages of helpers are tried again.
const helperEvery = 15 * time.Second

// openHelper opens what this machine keeps for persons who may lose their words.
func (n *Node) openHelper(cfg *rpc.Config) error {
	var err error
	n.helper, err = helper.Open(helper.Options{
		Device: n.device, KEM: n.keys.KEM, Box: n.box, Path: filepath.Join(n.home, helper.File),
		Person: n.book.Person, Own: n.ownRoot, Now: n.now, Logger: n.log,
		Name: func(d peers.DeviceID) string {
			p, _ := n.book.Peer(d)
			return p.Name
		},
	})
	if err != nil {
		return fmt.Errorf("what this machine keeps as a helper: %w", err)
	}
	cfg.Helpers = n.helper
	return nil
}

// ownRoot is the root of this machine's person, once it has a list of machines.
func (n *Node) ownRoot() (root custody.Key, ok bool) {
	raw := n.book.Own()
	if len(raw) == 0 {
		return root, false
	}
	s, err := account.Parse(raw)
	if err != nil {
		return root, false
	}
	return s.Body.Root, true
}

// carryHelpers brings messages of helpers to their machines until ctx ends.
func (n *Node) carryHelpers(ctx context.Context) {
	tick := time.NewTicker(helperEvery)
	defer tick.Stop()
	for {
		n.deliverHelpers(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (n *Node) deliverHelpers(ctx context.Context) {
	if err := n.helper.Deliver(ctx, n.callHelper); err != nil && ctx.Err() == nil {
		n.log.Warn("messages of helpers go on later", "err", err)
	}
}

// Helpers is part of HelperAPI.
func (n *Node) Helpers(context.Context) (HelperSet, error) {
	out := HelperSet{Helpers: []Helper{}, Helped: []Helped{}}
	for _, k := range n.helper.Helped() {
		out.Helped = append(out.Helped, Helped{Owner: k.Owner(), Since: k.Since})
	}
	m, ok := n.helper.Mine()
	if !ok {
		return out, nil
	}
	out.Number, out.K, out.Delay, out.Made, out.Words = m.Number, m.K, time.Duration(m.Delay)*time.Second, m.At, m.Kind == helpers.Words
	for _, h := range m.Helpers {
		out.Helpers = append(out.Helpers, Helper{
			Name: h.Name, Device: h.Device, Kept: h.Kept, Problem: h.Problem, Left: !n.book.Has(h.Device), Handing: n.helper.Handing(h.Device),
		})
	}
	if own, err := account.Parse(n.book.Own()); err == nil && len(m.Devices) > 0 {
		out.Outdated = slices.ContainsFunc(own.Body.Devices, func(d peers.DeviceID) bool { return !slices.Contains(m.Devices, d) })
	}
	return out, nil
}

// AddHelpers is part of HelperAPI.
func (n *Node) AddHelpers(ctx context.Context, o HelperOrder) (HelperSet, error) {
	old, _ := n.helper.Mine()
	var all []peers.DeviceID
	for _, h := range old.Helpers {
		if n.book.Has(h.Device) {
			all = append(all, h.Device)
		}
	}
	for _, who := range o.Names {
		m, err := n.desk.Member(who)
		if err != nil {
			return HelperSet{}, err
		}
		if !slices.Contains(all, m.Device) {
			all = append(all, m.Device)
		}
	}
	return n.setHelpers(ctx, old, all, o.Delay)
}

// RemoveHelpers is part of HelperAPI.
func (n *Node) RemoveHelpers(ctx context.Context, o HelperOrder) (HelperSet, error) {
	old, ok := n.helper.Mine()
	if !ok {
		return HelperSet{}, said.Error("no-helpers", "you have no helpers")
	}
	var all []peers.DeviceID
	if !o.All {
		var gone []peers.DeviceID
		for _, who := range o.Names {
			i := slices.IndexFunc(old.Helpers, func(h helper.MineHelper) bool {
				return h.Name == who || h.Device.Short() == who || h.Device.String() == who
			})
			if i < 0 {
				return HelperSet{}, said.Error("no-such-helper", "\"{name}\" is none of your helpers: 'preezm helpers list' shows them", "name", who)
			}
			gone = append(gone, old.Helpers[i].Device)
		}
		for _, h := range old.Helpers {
			if !slices.Contains(gone, h.Device) {
				all = append(all, h.Device)
			}
		}
	}
	return n.setHelpers(ctx, old, all, o.Delay)
}

// setHelpers draws a new set. The old shares are of no use with the new, and are
// dropped by machines that hold them.
func (n *Node) setHelpers(ctx context.Context, old helper.Mine, all []peers.DeviceID, delay time.Duration) (HelperSet, error) {
	if len(all) > 0 && len(all) < helpers.MinHelpers || len(all) > helpers.MaxHelpers {
		return HelperSet{}, said.Error("helpers-count", "{n} helpers: it takes {least} to {most}, so that one may be missing; name all of them at once", "n", strconv.Itoa(len(all)), "least", strconv.Itoa(helpers.MinHelpers), "most", strconv.Itoa(helpers.MaxHelpers))
	}
	now := n.now()
	p := helpers.Plan{
		Name: n.settings.Name, K: len(all)/2 + 1, Delay: int64(delay / time.Second), At: now.Unix(),
		// A machine that was recovered does not know the number before.
		Number: max(old.Number+1, uint64(now.Unix())),
	}
	if p.Delay == 0 {
		p.Delay = old.Delay
	}
	if p.Delay == 0 {
		p.Delay = helpers.DefaultDelay
	}
	n.ownerMu.Lock()
	p.Kind, p.Secret = helpers.Root, n.owner.Root()
	if master, ok := n.owner.Master(); ok {
		p.Kind, p.Secret = helpers.Words, master
	}
	secrets := n.owner.Secrets()
	n.ownerMu.Unlock()
	defer clear(p.Secret[:])
	own, err := account.Parse(n.book.Own())
	if err != nil {
		return HelperSet{}, err
	}
	p.Devices = own.Body.Devices
	mine := helper.Mine{Number: p.Number, K: p.K, Kind: p.Kind, Delay: p.Delay, At: now, Devices: p.Devices}
	if err := n.fillHelpers(ctx, &p, all); err != nil {
		return HelperSet{}, err
	}
	for _, h := range p.Helpers {
		mine.Helpers = append(mine.Helpers, helper.MineHelper{Helper: h})
	}
	root := secrets.RootKey()
	var docs [][]byte
	if len(all) > 0 {
		if docs, err = helpers.Split(root, &p); err != nil {
			return HelperSet{}, err
		}
	}
	var gone []peers.DeviceID
	for _, h := range old.Helpers {
		if !slices.Contains(all, h.Device) {
			gone = append(gone, h.Device)
		}
	}
	drop, err := custody.Sign(root, helpers.Drop{Owner: custody.KeyOf(root), Number: p.Number, At: p.At})
	if err != nil {
		return HelperSet{}, err
	}
	if err := n.helper.SetMine(mine, docs, gone, drop.Raw); err != nil {
		return HelperSet{}, err
	}
	n.deliverHelpers(ctx)
	return n.Helpers(ctx)
}

// fillHelpers looks the machines up: their keys, and that no person has two seats.
func (n *Node) fillHelpers(ctx context.Context, p *helpers.Plan, all []peers.DeviceID) error {
	person := map[string]string{}
	root := map[custody.Key]string{}
	probed := false
	for _, d := range all {
		m, ok := n.book.Peer(d)
		if ok && len(m.KEM) == 0 && !probed {
			n.net.Probe(ctx) // it joined before it had keys to tell
			probed = true
			m, ok = n.book.Peer(d)
		}
		if !ok {
			return fmt.Errorf("%s %w", d.Short(), circle.ErrUnknownPeer)
		}
		if len(m.KEM) == 0 {
			return said.Error("helper-key", "{name} has not told its key yet: it must answer once", "name", m.Name)
		}
		other := ""
		if m.Person != "" {
			other = person[m.Person]
			person[m.Person] = m.Name
		}
		if r, ok := n.book.Person(d); ok {
			if other == "" {
				other = root[r]
			}
			root[r] = m.Name
		}
		if other != "" {
			return said.Error("one-seat", "{first} and {second} are of one person, who has one seat: leave one of them out", "first", other, "second", m.Name)
		}
		p.Helpers = append(p.Helpers, helpers.Helper{Device: d, Name: m.Name, Addresses: m.Addresses[:min(len(m.Addresses), 8)]})
		p.Keys = append(p.Keys, m.KEM)
	}
	return nil
}

func helperRequest(v helper.View) HelperRequest {
	return HelperRequest{
		ID: v.ID.Short(), Owner: v.Owner, Newcomer: v.Newcomer, Here: v.Device != (peers.DeviceID{}), State: string(v.State),
		At: v.At, Until: v.Until, By: v.By, Places: v.Places,
	}
}

// HelperRequests is part of HelperAPI.
func (n *Node) HelperRequests(context.Context) ([]HelperRequest, error) {
	out := []HelperRequest{}
	for _, v := range n.helper.Requests() {
		out = append(out, helperRequest(v))
	}
	return out, nil
}

// ApproveRequest is part of HelperAPI.
func (n *Node) ApproveRequest(ctx context.Context, o ApproveOrder) (HelperRequest, error) {
	v, err := n.helper.Approve(o.ID, o.Words)
	if err != nil {
		return HelperRequest{}, err
	}
	n.deliverHelpers(ctx)
	return helperRequest(v), nil
}

// VetoRequest is part of HelperAPI.
func (n *Node) VetoRequest(ctx context.Context, id string) (HelperRequest, error) {
	v, err := n.helper.Veto(id)
	if err != nil {
		return HelperRequest{}, err
	}
	n.deliverHelpers(ctx)
	return helperRequest(v), nil
}
