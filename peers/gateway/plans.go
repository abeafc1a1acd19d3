// SPDX-License-Identifier: MPL-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
)

const (
	maxPlans     = 1024      // of one owner that are kept
	maxPlanBytes = 128 << 20 // of them
)

// Pushed is a plan that an owner sends to a gateway, since the ticket's own does
// not fit any more.
type Pushed struct {
	Grant []byte `cbor:"1,keyasint"` // signed
	Plan  []byte `cbor:"2,keyasint"` // sealed to the gateway
}

// Plan implements rpc.Guests: it takes a newer plan from a member. One that is
// not newer than what is known is passed over.
func (g *Gateway) Plan(_ context.Context, from peers.DeviceID, raw []byte) error {
	if err := g.takePlan(from, raw); err != nil {
		return fmt.Errorf("%w: %w", peers.ErrRefused, err)
	}
	return nil
}

func (g *Gateway) takePlan(from peers.DeviceID, raw []byte) error {
	var in Pushed
	if err := custody.Unmarshal(raw, &in); err != nil {
		return err
	}
	grant, err := custody.CheckGrant(in.Grant)
	if err != nil {
		return err
	}
	if g.cfg.Now().Unix() >= grant.Body.NotAfter {
		return errors.New("the grant has ended")
	}
	if !g.serving(grant) {
		return errors.New("this device is no gateway of the grant")
	}
	plan, err := ticket.OpenPlan(in.Plan, g.cfg.KEM, grant, g.cfg.Device)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.known(grant.Body.Owner, from) {
		return errNobody
	}
	next := newStay(g, grant, plan, in.Plan)
	if err := g.sound(next); err != nil {
		return err
	}
	k := granted{grant.Body.Owner, grant.Hash}
	n, bytes, err := g.store.plansOf(k)
	if err != nil {
		return err
	}
	if n >= maxPlans || bytes+int64(len(raw)) > maxPlanBytes {
		return errors.New("too many plans")
	}
	if err := g.store.putPlan(k, next.row(), grant.Body.NotAfter, true); err != nil {
		return err
	}
	g.renew(k, next)
	return nil
}

// serving says whether this device is a gateway of a grant.
func (g *Gateway) serving(grant *custody.Signed[custody.Grant]) bool {
	return slices.ContainsFunc(grant.Body.Gateways, func(w custody.Gateway) bool { return w.Device == g.cfg.Device })
}

// renew puts a newer plan in the place of older ones under a grant. The caller
// holds the lock.
func (g *Gateway) renew(k granted, next *stay) {
	for at, s := range g.stays {
		if at.granted == k && s.plan.Seq < next.plan.Seq {
			s.close() // its permits are old
			g.stays[at] = s.with(next)
		}
	}
	if c := g.couriers[k]; c != nil && c.plan.Seq < next.plan.Seq {
		c.close()
		delete(g.couriers, k)
	}
}

// newest gives the newest plan that is known of a grant beside one, and that is by
// a device of the owner: that itself, when there is no newer one. The caller holds
// the lock.
func (g *Gateway) newest(k granted, shown *stay) (*stay, error) {
	var best *stay
	why := g.sound(shown)
	if why == nil {
		best = shown
	}
	row, err := g.store.plan(k)
	if err != nil {
		return nil, err
	}
	if row != nil && (best == nil || row.seq > best.plan.Seq) {
		s, err := g.stored(row, k)
		if err != nil {
			return nil, err
		}
		if g.sound(s) == nil {
			best = s
		}
	}
	for at, o := range g.stays {
		if at.granted == k && (best == nil || o.plan.Seq > best.plan.Seq) && g.sound(o) == nil {
			best = shown.with(o)
		}
	}
	if best == nil {
		return nil, why
	}
	return best, nil
}

// stored opens a plan as it was kept.
func (g *Gateway) stored(row *planRow, k granted) (*stay, error) {
	grant, err := custody.CheckGrant(row.doc)
	if err != nil {
		return nil, err
	}
	if grant.Hash != k.grant || grant.Body.Owner != k.root {
		return nil, errors.New("a plan is kept under another grant")
	}
	plan, err := ticket.OpenPlan(row.sealed, g.cfg.KEM, grant, g.cfg.Device)
	if err != nil {
		return nil, err
	}
	return newStay(g, grant, plan, row.sealed), nil
}

// standing is a way to the custodians of a grant under which letters wait; nil
// when there is none any more. The caller holds the lock.
func (g *Gateway) standing(k granted) *stay {
	for at, s := range g.stays {
		if at.granted == k {
			return s
		}
	}
	if c := g.couriers[k]; c != nil {
		return c
	}
	row, err := g.store.plan(k)
	if err != nil || row == nil {
		return nil
	}
	s, err := g.stored(row, k)
	if err != nil || g.sound(s) != nil {
		return nil
	}
	g.couriers[k] = s
	return s
}
