// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/gateway"
)

// saidPlan is under what the catalog numbers the plans of a grant.
func saidPlan(grant custody.Hash) string { return "plan/" + grant.String() }

// digest is what a plan says of where things lie, without what differs for each
// gateway or is signed anew each time.
func (p *planner) digest(ctx context.Context) ([]byte, error) {
	plan := p.plan
	plan.Seq = 0
	plan.Contacts = slices.Clone(plan.Contacts)
	for i := range plan.Contacts {
		plan.Contacts[i].Permit = nil
	}
	raw, err := custody.Marshal(plan)
	if err != nil {
		return nil, err
	}
	// With the devices: once one was removed, gateways take no plan of it, and
	// have to get another's with a higher number.
	set, err := p.d.deviceSet(ctx)
	if err != nil {
		return nil, err
	}
	if set != nil {
		for _, device := range set.Body.Devices {
			raw = append(raw, device[:]...)
		}
	}
	sum := sha256.Sum256(raw)
	return sum[:], nil
}

// sealPlans makes the plans for a grant's gateways, in order. One that has left
// the circle keeps what it had, where it had something.
func (p *planner) sealPlans(g *custody.Grant, before [][]byte) (plans [][]byte, via []string, err error) {
	for i, gw := range g.Gateways {
		m, err := p.d.member(peers.DeviceID(gw.Device).String())
		if err == nil && len(m.KEM) == 0 {
			err = fmt.Errorf("%s has not told its keys yet", m.Name)
		}
		switch {
		case err == nil:
			plan, err := p.seal(m)
			if err != nil {
				return nil, nil, err
			}
			plans, via = append(plans, plan), append(via, m.Name)
		case i < len(before):
			plans = append(plans, before[i])
		default:
			return nil, nil, err
		}
	}
	return plans, via, nil
}

// PlanErrand is a plan on its way to a gateway that does not know it yet.
type PlanErrand struct {
	Grant   custody.Hash
	Seq     uint64
	Gateway peers.DeviceID
	Body    []byte // gateway.Pushed
}

// Replan looks for every grant that lasts whether its files lie where its
// gateways were told, or machines have other addresses by now, and makes new plans
// and a new ticket where not. The tickets that are out stay good: what a gateway
// was pushed goes before the plan in them.
func (d *Desk) Replan(ctx context.Context) error {
	var errs []error
	for g, err := range d.lasting(ctx) {
		if err != nil {
			return err
		}
		// One that cannot be planned now, as a repair is under way, must not
		// keep the others from it.
		if _, err := d.replan(ctx, g.Grant, g.doc); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", ticket.ShortID(g.ID), err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// replan makes new plans for one grant if they are needed, and says so.
func (d *Desk) replan(ctx context.Context, row *catalog.Grant, g *custody.Signed[custody.Grant]) (bool, error) {
	p, err := d.planned(ctx, g, row)
	if err != nil {
		return false, err
	}
	now, err := p.digest(ctx)
	if err != nil {
		return false, err
	}
	seq, before, err := d.cat.Said(ctx, saidPlan(g.Hash))
	if err != nil || seq > 0 && bytes.Equal(now, before) {
		return false, err
	}
	t, err := ticket.Parse(row.Ticket)
	if err != nil {
		return false, err
	}
	p.plan.Seq = d.nextPlan(seq)
	if t.Plans, _, err = p.sealPlans(&g.Body, t.Plans); err != nil {
		return false, err
	}
	text, err := t.Text()
	if err != nil {
		return false, err
	}
	row.Ticket = text
	return true, d.cat.Replan(ctx, row.Hash, text, saidPlan(g.Hash), p.plan.Seq, now)
}

// nextPlan numbers a plan behind the last one that this catalog knows. The time
// counts, so that it is higher than those of another machine of this person, or of
// a catalog that was lost; the one in the first ticket is 1.
func (d *Desk) nextPlan(last uint64) uint64 {
	return max(last+1, uint64(max(d.cfg.Now().Unix(), 2)))
}

// planned gathers where the files of a grant lie now.
func (d *Desk) planned(ctx context.Context, g *custody.Signed[custody.Grant], row *catalog.Grant) (*planner, error) {
	p := newPlanner(d, g)
	for _, f := range row.Files {
		if _, err := p.add(ctx, f); err != nil {
			return nil, err
		}
	}
	return p, p.custodians(seatsOf(row))
}

// PlanErrands are the newest plans that some gateway has not acknowledged. The
// first plan of a grant comes with its ticket.
func (d *Desk) PlanErrands(ctx context.Context) ([]PlanErrand, error) {
	var out []PlanErrand
	for g, err := range d.lasting(ctx) {
		if err != nil {
			return nil, err
		}
		seq, _, err := d.cat.Said(ctx, saidPlan(g.Hash))
		if err != nil {
			return nil, err
		}
		if seq < 2 {
			continue
		}
		heard, err := d.cat.Heard(ctx, saidPlan(g.Hash))
		if err != nil {
			return nil, err
		}
		var t *ticket.Ticket
		for j, gw := range g.doc.Body.Gateways {
			dev := peers.DeviceID(gw.Device)
			if _, err := d.member(dev.String()); err != nil || heard[dev] >= seq {
				continue
			}
			if t == nil {
				if t, err = ticket.Parse(g.Ticket); err != nil {
					return nil, err
				}
			}
			body, err := custody.Marshal(gateway.Pushed{Grant: g.Doc, Plan: t.Plans[j]})
			if err != nil {
				return nil, err
			}
			out = append(out, PlanErrand{Grant: g.Hash, Seq: seq, Gateway: dev, Body: body})
		}
	}
	return out, nil
}

// PlanKnown notes that a gateway has a plan.
func (d *Desk) PlanKnown(ctx context.Context, e *PlanErrand) error {
	return d.cat.Hear(ctx, e.Gateway, saidPlan(e.Grant), e.Seq)
}

// Moved is a number that changes when anything in the catalog does, and so
// when shards have moved. It says nothing about addresses.
func (d *Desk) Moved(ctx context.Context) (int64, error) { return d.cat.Changes(ctx) }
