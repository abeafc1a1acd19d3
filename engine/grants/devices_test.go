// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"crypto/ed25519"
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
)

// on is a second device of the same person, with the same catalog.
func (o *office) on(key ed25519.PrivateKey) *Desk {
	o.Helper()
	cfg := o.cfg
	cfg.Sign = key
	d, err := NewDesk(cfg)
	o.must(err)
	return d
}

func TestRemovedDeviceKeepsWhatIsKnown(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	o.appoint()
	laptop := ct.Key(t)
	other := o.on(laptop)
	o.must(o.AddDevice(ctx, custody.KeyOf(laptop)))
	lasts, err := other.Make(ctx, o.order())
	o.must(err)
	gone, err := other.Make(ctx, o.order())
	o.must(err)
	_, err = other.Revoke(ctx, idOf(gone), "")
	o.must(err)
	mine, err := o.Make(ctx, o.order())
	o.must(err)

	before, err := o.DeviceSet(ctx)
	o.must(err)
	o.must(o.RemoveDevice(ctx, custody.KeyOf(laptop)))
	after, err := o.DeviceSet(ctx)
	o.must(err)
	if after.Body.Epoch <= before.Body.Epoch || slices.Contains(after.Body.Devices, custody.KeyOf(laptop)) {
		t.Fatalf("set %d of %d devices after %d", after.Body.Epoch, len(after.Body.Devices), before.Body.Epoch)
	}
	pkg, err := custody.CheckPackage(lasts.Package, lasts.Grant)
	o.must(err)
	for what, c := range map[string]struct {
		doc  custody.Hash
		want bool
	}{
		"the grant": {lasts.Grant.Hash, true}, "its package": {pkg.Hash, true},
		"what was withdrawn": {gone.Grant.Hash, false}, "one by a device that stays": {mine.Grant.Hash, false},
	} {
		if got := slices.Contains(after.Body.Kept, c.doc); got != c.want {
			t.Errorf("%s is kept: %v", what, got)
		}
	}

	// Made by the thief after that, and somehow in this catalog: not kept by
	// the next set either, while what was kept still is.
	thief := o.on(laptop)
	thief.cat = o.cat
	late, err := thief.Make(ctx, o.order())
	o.must(err)
	if set, err := o.DeviceSet(ctx); err != nil || set.Hash != after.Hash {
		t.Fatalf("the set changed by itself: %v", err)
	}
	o.must(o.AddDevice(ctx, custody.KeyOf(ct.Key(t))))
	next, err := o.DeviceSet(ctx)
	o.must(err)
	if slices.Contains(next.Body.Kept, late.Grant.Hash) || !slices.Contains(next.Body.Kept, lasts.Grant.Hash) {
		t.Error("the next set keeps something else than what stood before")
	}
	o.now = o.now.Add(2 * time.Hour) // all of it has ended
	o.must(o.AddDevice(ctx, custody.KeyOf(ct.Key(t))))
	if next, err = o.DeviceSet(ctx); err != nil || len(next.Body.Kept) != 0 {
		t.Errorf("%d documents are kept after the end, %v", len(next.Body.Kept), err)
	}
	if o.RemoveDevice(ctx, custody.KeyOf(o.cfg.Sign)) == nil {
		t.Error("a device removed itself")
	}
}

// A home that was brought back on a new machine has the old one's list.
func TestNewDeviceOfAHomeJoinsTheSet(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	first, err := o.DeviceSet(ctx)
	o.must(err)
	again, err := o.on(ct.Key(t)).DeviceSet(ctx)
	o.must(err)
	if len(again.Body.Devices) != 2 || again.Body.Epoch <= first.Body.Epoch {
		t.Errorf("%d devices in set %d after %d", len(again.Body.Devices), again.Body.Epoch, first.Body.Epoch)
	}
}

// One that was removed takes over the list without it, and leaves it so.
func TestRemovedDeviceStaysOut(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	laptop := ct.Key(t)
	other := o.on(laptop)
	o.must(o.AddDevice(ctx, custody.KeyOf(laptop)))
	m := catalog.Machine{Device: peers.DeviceID{8}, Name: "laptop", Sign: custody.KeyOf(laptop), Added: 1}
	o.must(o.cat.PutMachine(ctx, m))
	m.Removed, m.Stolen = o.now.Unix(), true
	o.must(o.cat.PutMachine(ctx, m))
	o.must(o.RemoveDevice(ctx, custody.KeyOf(laptop)))
	want, err := o.DeviceSet(ctx)
	o.must(err)
	if got, err := other.DeviceSet(ctx); err != nil || got.Hash != want.Hash {
		t.Fatalf("it has another list: %v", err)
	}
	if other.AddDevice(ctx, custody.KeyOf(ct.Key(t))) == nil {
		t.Error("a removed device added another one")
	}
	if got, err := o.DeviceSet(ctx); err != nil || got.Hash != want.Hash {
		t.Errorf("the list was changed: %v", err)
	}
}

func TestDeviceSetIsToldUntilAllKnow(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	o.appoint()
	for i, m := range o.members {
		s, err := o.DevicesErrand(ctx)
		o.must(err)
		if len(s.Untold) != 3-i || s.Of != 3 || s.Told != i {
			t.Fatalf("%d of %d know, %d are to be told", s.Told, s.Of, len(s.Untold))
		}
		o.must(o.Heard(ctx, s.What, m.Device, s.Number))
		o.must(o.Heard(ctx, s.What, m.Device, s.Number-1)) // an answer that was late
	}
	o.must(o.AddDevice(ctx, custody.KeyOf(ct.Key(t))))
	s, err := o.DevicesErrand(ctx)
	o.must(err)
	if len(s.Untold) != 3 {
		t.Fatalf("a new set is to be told to %d", len(s.Untold))
	}
	// A custodian that may have lost what it knew is told again.
	o.must(o.Heard(ctx, s.What, o.members[0].Device, s.Number))
	o.appoint()
	if s, err = o.DevicesErrand(ctx); err != nil || !slices.Contains(s.Untold, o.members[0].Device) {
		t.Errorf("it is not told again: %v, %v", s.Untold, err)
	}
}

func TestRemovedCustodian(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	o.appoint()
	or := o.order()
	or.Opens, or.Purpose = 3, "contract"
	made, err := o.Make(ctx, or)
	o.must(err)
	if _, err := o.Retire(ctx, "cellar"); err == nil {
		t.Error("somebody who is none was removed")
	}
	c, err := o.Retire(ctx, "ATTIC")
	o.must(err)
	if again, err := o.Retire(ctx, "attic"); err != nil || again.Device != c.Device {
		t.Errorf("asked again: %v", err)
	}
	if g, err := o.generation(ctx); err != nil || g != 1 {
		t.Fatalf("generation %d, %v", g, err)
	}
	behind, err := o.Behind(ctx)
	o.must(err)
	outdated, err := o.Outdated(ctx)
	o.must(err)
	if len(behind) != 2 || slices.Contains(behind, c.Device) || !slices.Equal(outdated, []string{idOf(made)}) {
		t.Fatalf("behind %v, outdated %v", behind, outdated)
	}
	next, e, err := o.Reissue(ctx, idOf(made))
	o.must(err)
	a, b := &made.Grant.Body, &next.Grant.Body
	if b.Generation != 1 || len(b.Custodians) != 2 || b.K != 2 || b.NotAfter != a.NotAfter || b.Purpose != a.Purpose || b.MaxOpens != 3 {
		t.Errorf("replaced by %+v", b)
	}
	if e.Grant != made.Grant.Hash || !slices.Contains(e.Untold, c.Device) || len(e.Untold) != 3 {
		t.Errorf("the old one is to be withdrawn at %v", e.Untold)
	}
	// What the removed one holds leads to no name in the new grant.
	chain := custody.NewChain(o.cfg.Secrets.Custody, custody.Seat(c.Device), 0)
	key, err := chain.Pseudonym(b)
	o.must(err)
	if slices.Contains(b.Custodians, custody.KeyOf(key)) {
		t.Error("the removed custodian is in the new grant")
	}
	list, err := o.List(ctx)
	o.must(err)
	for _, in := range list {
		if in.ID == idOf(made) && (in.State != Revoked || in.Successor != idOf(next)) {
			t.Errorf("the old grant is listed as %s, followed by %q", in.State, in.Successor)
		}
	}
	if outdated, err = o.Outdated(ctx); err != nil || len(outdated) != 0 {
		t.Errorf("still outdated: %v, %v", outdated, err)
	}
	if _, _, err := o.Reissue(ctx, idOf(made)); err == nil {
		t.Error("a withdrawn grant was made anew")
	}
	members, err := o.Panel(ctx)
	o.must(err)
	if len(members) != 2 {
		t.Errorf("%d custodians are named to each other", len(members))
	}
	_, err = o.Retire(ctx, "office")
	o.must(err)
	if _, err = o.Retire(ctx, "study"); err == nil {
		t.Error("the last custodian was removed")
	}
}

// What was opened under the old grant counts for the new one.
func TestReissueCountsOpenings(t *testing.T) {
	for used, want := range map[int]uint32{0: 2, 1: 1, 2: 0} {
		o := newOffice(t)
		ctx := t.Context()
		o.appoint()
		or := o.order()
		or.Opens = 2
		made, err := o.Make(ctx, or)
		o.must(err)
		for range used {
			o.opened(made, 0)
		}
		_, err = o.Retire(ctx, "study")
		o.must(err)
		next, e, err := o.Reissue(ctx, idOf(made))
		switch {
		case want == 0:
			if next != nil || e == nil || err == nil {
				t.Errorf("used up: %v, %v, %v", next, e, err)
			}
		case err != nil || next.Grant.Body.MaxOpens != want:
			t.Errorf("%d openings: %v", used, err)
		}
	}
}

func idOf(m *Made) string { return ticket.ShortID(m.Grant.Body.ID) }

// opened lets a custodian's log tell of one more opening under a grant.
func (o *office) opened(m *Made, i int) {
	o.Helper()
	ctx := o.Context()
	cs, err := o.Custodians(ctx)
	o.must(err)
	entries, _, err := o.cat.Log(ctx, cs[i].Device)
	o.must(err)
	records, err := recordsOf(entries)
	o.must(err)
	log, err := ledger.Verify(o.Root(), custody.KeyOf(o.logs[i]), records)
	o.must(err)
	e := ledger.Entry{At: o.now.Unix(), Kind: ledger.Release, Grant: m.Grant.Hash, Version: 1, Detail: "desk"}
	rand.Read(e.Request[:])
	next, s, err := log.Append(o.logs[i], e)
	o.must(err)
	head, err := next.Sign(o.logs[i], o.now.Unix())
	o.must(err)
	o.must(o.TakeLog(ctx, cs[i], log.Seq, []ledger.Record{ledger.NewRecord(s)}, head.Raw, false))
}
