// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/gateway"
)

// pushed opens the one plan that is on its way to a gateway.
func (o *office) pushed(made *Made) (*custody.Signed[ticket.Plan], *PlanErrand) {
	o.Helper()
	todo, err := o.PlanErrands(o.Context())
	o.must(err)
	if len(todo) != 1 || todo[0].Gateway != o.members[1].Device {
		o.Fatalf("%d plans are on their way", len(todo))
	}
	var p gateway.Pushed
	o.must(custody.Unmarshal(todo[0].Body, &p))
	plan, err := ticket.OpenPlan(p.Plan, o.kems[1], made.Grant, o.members[1].Device)
	o.must(err)
	return plan, &todo[0]
}

// TestRemovalOfADeviceRenewsPlans: gateways that know of it take no older ones.
func TestRemovalOfADeviceRenewsPlans(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	o.appoint()
	_, phone, err := ed25519.GenerateKey(nil)
	o.must(err)
	o.must(o.AddDevice(ctx, custody.KeyOf(phone)))
	made, err := o.Make(ctx, o.order())
	o.must(err)
	o.must(o.Replan(ctx))
	if todo, err := o.PlanErrands(ctx); err != nil || len(todo) != 0 {
		t.Fatalf("%d plans are on their way, %v", len(todo), err)
	}
	o.must(o.RemoveDevice(ctx, custody.KeyOf(phone)))
	o.must(o.Replan(ctx))
	if plan, _ := o.pushed(made); plan.Body.Seq < 2 || plan.Signer != custody.KeyOf(o.cfg.Sign) {
		t.Errorf("plan %d by %s", plan.Body.Seq, plan.Signer)
	}
}

func TestPlansFollowWhatMoved(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	o.appoint()
	made, err := o.Make(ctx, o.order())
	o.must(err)
	quiet := func(when string) {
		t.Helper()
		o.must(o.Replan(ctx))
		if todo, err := o.PlanErrands(ctx); err != nil || len(todo) != 0 {
			t.Fatalf("%s: %d plans are on their way, %v", when, len(todo), err)
		}
	}
	quiet("nothing has moved")

	// A repair put a shard elsewhere.
	seg, err := o.cat.Segment(ctx, 1)
	o.must(err)
	cellar := peers.DeviceID{77}
	o.members = append(o.members, Member{Device: cellar, Name: "cellar", Addresses: []string{"192.0.2.9:1"}})
	moved := catalog.Shard{Keeper: cellar, State: catalog.There}
	rand.Read(moved.ID[:])
	o.must(o.cat.SetShard(ctx, 1, 0, seg.Shards[0].ID, moved))
	o.must(o.Replan(ctx))
	plan, e := o.pushed(made)
	if at := plan.Body.Segments[0].Shards[0]; plan.Body.Seq < 2 || at.ID != moved.ID || plan.Body.Contacts[at.Contact].Device != cellar || plan.Body.Contacts[at.Contact].Addresses[0] != "192.0.2.9:1" {
		t.Errorf("plan %d leads to %+v", plan.Body.Seq, plan.Body.Segments[0].Shards[0])
	}
	permit, err := custody.Parse[ticket.Permit](plan.Body.Contacts[plan.Body.Segments[0].Shards[0].Contact].Permit)
	o.must(err)
	if peers.ShardID(permit.Body.Shards) != moved.ID {
		t.Error("the permit is not for the moved shard")
	}
	o.must(o.PlanKnown(ctx, e))
	quiet("the gateway knows")
	in, err := o.Find(ctx, idOf(made))
	o.must(err)
	tk, err := ticket.Parse(in.Ticket)
	o.must(err)
	if p, err := ticket.OpenPlan(tk.Plans[0], o.kems[1], made.Grant, o.members[1].Device); err != nil || p.Body.Seq != e.Seq {
		t.Errorf("the ticket has an older plan: %v", err)
	}

	// A custodian moved. The same ticket, asked for, is the new one.
	o.members[2].Addresses = []string{"192.0.2.3:2"}
	fresh, err := o.Refresh(ctx, idOf(made))
	o.must(err)
	if fresh.Ticket == in.Ticket || fresh.Grant.Hash != made.Grant.Hash {
		t.Error("refreshed to the ticket there was, or to another grant")
	}
	before := plan.Body.Seq
	if plan, e = o.pushed(made); plan.Body.Seq <= before {
		t.Errorf("plan %d", plan.Body.Seq)
	}
	if _, err := o.Refresh(ctx, idOf(made)); !errors.Is(err, ErrUnchanged) {
		t.Errorf("refreshed again: %v", err)
	}
	o.must(o.PlanKnown(ctx, e))

	// A gateway that left keeps its plan in the ticket; others would get theirs.
	o.members = append(o.members[:1:1], o.members[2:]...)
	quiet("the gateway left")
	_, err = o.Revoke(ctx, idOf(made), "")
	o.must(err)
	o.members[1].Addresses = nil
	quiet("withdrawn")
}
