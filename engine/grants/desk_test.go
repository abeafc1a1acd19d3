// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
)

// office is a desk with three machines around it and one file in the catalog.
type office struct {
	*testing.T
	*Desk
	now     time.Time
	members []Member
	kems    []hpke.PrivateKey
	logs    []ed25519.PrivateKey
	brand   hpke.PrivateKey
	card    string
}

// openNames gives a brand the names of a ticket's files.
func openNames(tk *ticket.Ticket, kem hpke.PrivateKey) (*ticket.Names, error) {
	raw, err := tk.UnsealNames(kem)
	if err != nil {
		return nil, err
	}
	return tk.ReadNames(raw)
}

func newOffice(t *testing.T) *office {
	o := &office{T: t, now: time.Unix(ct.Start, 0), brand: ct.NewKEM(t)}
	ctx := t.Context()
	cat, err := catalog.Open(ctx, filepath.Join(t.TempDir(), "c.db"))
	o.must(err)
	t.Cleanup(func() { cat.Close() })
	for i := range 3 {
		k := ct.NewKEM(t)
		o.kems, o.logs = append(o.kems, k), append(o.logs, ct.Key(t))
		o.members = append(o.members, Member{
			Device: peers.DeviceID{byte(i + 1)}, Name: []string{"attic", "office", "study"}[i],
			Addresses: []string{"192.0.2.1:24930"}, KEM: k.PublicKey().Bytes(),
		})
	}
	seg := &catalog.Segment{ID: 1, K: 2, N: 3, ShardLen: 4096, DataLen: 5000}
	for i := range 3 {
		s := catalog.Shard{Keeper: o.members[i].Device, State: catalog.There}
		rand.Read(s.ID[:])
		seg.Shards = append(seg.Shards, s)
	}
	o.must(cat.Intend(ctx, []*catalog.Segment{seg}, 1))
	o.must(cat.Commit(ctx, &catalog.Batch{
		Segments: []*catalog.Segment{seg},
		Chunks:   []catalog.Chunk{{ID: 1, Segment: 1, Off: 100, Sealed: 1016, Plain: 1000, Name: [32]byte{1}, Key: [32]byte{2}}},
		Versions: []*catalog.Version{{Path: "papers/lease", Kind: catalog.File, Size: 1000, Parts: []catalog.Part{{Chunk: 1}}}},
	}))
	var secrets identity.Secrets
	rand.Read(secrets.Identity[:])
	rand.Read(secrets.Custody[:])
	o.Desk, err = NewDesk(Config{
		Catalog: cat, Secrets: secrets, Sign: ct.Key(t), Device: peers.DeviceID{9},
		Members: func() []Member { return o.members }, Now: func() time.Time { return o.now },
	})
	o.must(err)
	o.card, err = custody.NewCard(ct.Key(t), "ACME", o.brand.PublicKey(), ct.Start)
	o.must(err)
	return o
}

func (o *office) must(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

func (o *office) appoint() {
	o.Helper()
	for i, m := range o.members {
		a, err := o.Appoint(o.Context(), m)
		o.must(err)
		_, _, err = custody.AcceptAppointment(a.Doc, custody.Seat(m.Device), o.kems[i])
		o.must(err)
		_, err = custody.CheckDeviceSet(a.Devices, o.Root(), 0)
		o.must(err)
		o.must(o.Appointed(o.Context(), m, a, custody.KeyOf(o.logs[i]), true))
	}
}

func (o *office) order() Order {
	return Order{Brand: o.card, Paths: []string{"papers"}, NotBefore: o.now, NotAfter: o.now.Add(time.Hour), Via: []string{"Office"}}
}

func TestDeskSaysWhatIsMissing(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	attempt := func(change func(*Order)) error {
		or := o.order()
		change(&or)
		_, err := o.Make(ctx, or)
		return err
	}
	if err := attempt(func(*Order) {}); !errors.Is(err, ErrNoCustodians) {
		t.Errorf("without custodians: %v", err)
	}
	o.appoint()
	for name, tc := range map[string]struct {
		want   error
		change func(*Order)
	}{
		"no gateway":      {ErrNoGateway, func(or *Order) { or.Via = nil }},
		"unknown gateway": {ErrUnknown, func(or *Order) { or.Via = []string{"cellar"} }},
		"unknown brand":   {ErrUnknown, func(or *Order) { or.Brand = "Somebody" }},
		"unknown file":    {catalog.ErrNotFound, func(or *Order) { or.Paths = []string{"nothing"} }},
	} {
		if err := attempt(tc.change); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	if err := attempt(func(or *Order) { or.NotAfter = or.NotBefore }); err == nil {
		t.Error("a grant of no time was made")
	}
	if all, err := o.List(ctx); err != nil || len(all) != 0 {
		t.Errorf("%d grants are there after refusals, %v", len(all), err)
	}
}

func TestPlanLeadsToEveryMachine(t *testing.T) {
	o := newOffice(t)
	o.appoint()
	made, err := o.Make(t.Context(), o.order())
	o.must(err)
	tk, err := ticket.Parse(made.Ticket)
	o.must(err)
	plan, err := ticket.OpenPlan(tk.Plans[0], o.kems[1], tk.Grant, o.members[1].Device)
	o.must(err)
	if len(plan.Body.Contacts) != 3 || len(plan.Body.Segments) != 1 || len(plan.Body.Files) != 1 || plan.Body.Owner != o.cfg.Device {
		t.Fatalf("plan %+v", plan)
	}
	if sp := plan.Body.Files[0].Spans; len(sp) != 1 || sp[0] != (ticket.Span{Off: 100, Len: 1016}) {
		t.Errorf("spans %+v", sp)
	}
	boxes := map[custody.Key]bool{}
	for _, c := range plan.Body.Contacts {
		boxes[c.Mailbox] = true
		p, err := custody.Parse[ticket.Permit](c.Permit)
		o.must(err)
		if b := p.Body; b.Holder != c.Device || b.Gateway != o.members[1].Device || b.Root != o.Root() ||
			b.NotAfter != made.Grant.Body.NotAfter || len(b.Shards) != 32 {
			t.Errorf("permit %+v", b)
		}
	}
	for _, box := range made.Grant.Body.Mailboxes {
		if !boxes[box] {
			t.Error("a custodian of the grant is not in the plan")
		}
	}
	// Nothing in the ticket, opened as far as the brand can, names a machine.
	names, err := openNames(tk, o.brand)
	o.must(err)
	if names.Names[0] != "lease" {
		t.Errorf("names %v", names.Names)
	}
	for i, m := range o.members {
		if i != 1 && bytes.Contains(append(tk.Grant.Raw, tk.Package.Raw...), m.Device[:]) {
			t.Errorf("the ticket names %s", m.Name)
		}
	}
}

func TestWithdrawalIsToldUntilAllKnow(t *testing.T) {
	o := newOffice(t)
	o.appoint()
	ctx := t.Context()
	made, err := o.Make(ctx, o.order())
	o.must(err)
	id := ticket.ShortID(made.Grant.Body.ID)
	e, err := o.Revoke(ctx, id, "a mistake")
	o.must(err)
	again, err := o.Revoke(ctx, id, "another reason")
	o.must(err)
	if len(e.Untold) != 3 || !bytes.Equal(again.Revocation, e.Revocation) {
		t.Fatalf("%d are to be told; the same document: %v", len(e.Untold), bytes.Equal(again.Revocation, e.Revocation))
	}
	for i, d := range e.Untold {
		todo, err := o.Errands(ctx)
		o.must(err)
		if len(todo) != 1 || len(todo[0].Untold) != 3-i {
			t.Fatalf("after %d: %+v", i, todo)
		}
		o.must(o.Told(ctx, e.Grant, d))
		o.must(o.Closed(ctx, e.Grant, d))
	}
	if todo, err := o.Errands(ctx); err != nil || len(todo) != 0 {
		t.Errorf("still to be told: %v, %v", todo, err)
	}
	a, err := o.Appoint(ctx, o.members[1])
	o.must(err)
	o.must(o.Appointed(ctx, o.members[1], a, custody.KeyOf(o.logs[1]), true)) // it may have forgotten
	todo, err := o.Errands(ctx)
	o.must(err)
	if len(todo) != 1 || len(todo[0].Untold) != 1 || todo[0].Untold[0] != o.members[1].Device {
		t.Errorf("to be told after another appointment: %+v", todo)
	}
	o.must(o.Told(ctx, e.Grant, o.members[1].Device))
	if in, err := o.Find(ctx, id); err != nil || in.State != Revoked || in.Told != 3 || in.Quorum != 2 {
		t.Errorf("%+v, %v", in, err)
	}
	if _, err := o.Extend(ctx, id, o.now.Add(2*time.Hour)); !errors.Is(err, ErrOver) {
		t.Errorf("a withdrawn grant was extended: %v", err)
	}
}

func TestLogThatWasChangedIsNotTaken(t *testing.T) {
	o := newOffice(t)
	o.appoint()
	ctx := t.Context()
	cs, err := o.Custodians(ctx)
	o.must(err)
	c, key := cs[0], o.logs[0]
	log := ledger.New(o.Root(), custody.KeyOf(key))
	var records []ledger.Record
	write := func(detail string) {
		t.Helper()
		next, s, err := log.Append(key, ledger.Entry{At: ct.Start, Kind: ledger.Erase, Detail: detail})
		o.must(err)
		log, records = next, append(records, ledger.NewRecord(s))
	}
	head := func(k ed25519.PrivateKey) []byte {
		t.Helper()
		l := log
		l.Custodian = custody.KeyOf(k)
		s, err := l.Sign(k, ct.Start)
		o.must(err)
		return s.Raw
	}
	write("1")
	write("2")
	if err := o.TakeLog(ctx, c, 0, records, head(o.logs[1]), false); err == nil {
		t.Error("a head by another custodian was taken")
	}
	if err := o.TakeLog(ctx, c, 0, records[1:], head(key), false); err == nil {
		t.Error("a log without its beginning was taken")
	}
	o.must(o.TakeLog(ctx, c, 0, records, head(key), false))
	write("3")
	kept, before := records, log
	// The custodian rewrites what it told.
	log, records = ledger.New(o.Root(), custody.KeyOf(key)), nil
	write("another 1")
	write("2")
	write("3")
	var bad *ledger.BadEntry
	if err := o.TakeLog(ctx, c, 2, records[2:], head(key), false); !errors.As(err, &bad) {
		t.Errorf("a rewritten log: %v, want the bad entry", err)
	}
	log, records = before, kept
	o.must(o.TakeLog(ctx, c, 2, records[2:], head(key), false))
	checked, err := o.VerifyLedger(ctx)
	o.must(err)
	if len(checked) != 3 || checked[0].Entries != 3 || !checked[0].Good {
		t.Errorf("checked %+v", checked)
	}
}

// TestExtendAfterTheFileChanged: a grant is of what it was made for, whatever
// became of the file since.
func TestExtendAfterTheFileChanged(t *testing.T) {
	o := newOffice(t)
	o.appoint()
	ctx := t.Context()
	made, err := o.Make(ctx, o.order())
	o.must(err)
	extend := func(what string) {
		t.Helper()
		o.now = o.now.Add(time.Minute)
		made, err = o.Extend(ctx, ticket.ShortID(made.Grant.Body.ID), time.Unix(made.Grant.Body.NotAfter, 0).Add(time.Hour))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		tk, err := ticket.Parse(made.Ticket)
		o.must(err)
		names, err := openNames(tk, o.brand)
		o.must(err)
		if names.Sizes[0] != 1000 || names.Names[0] != "lease" {
			t.Errorf("%s: %+v", what, names)
		}
	}
	extend("unchanged")
	o.must(o.cat.Commit(ctx, &catalog.Batch{Versions: []*catalog.Version{
		{Path: "papers/lease", Kind: catalog.File, Size: 7, Parts: []catalog.Part{{Hole: 7}}},
	}}))
	extend("changed")
	_, err = o.cat.Forget(ctx, []string{"papers"})
	o.must(err)
	extend("removed")
}

// TestNeverOpenedIsSaidWhenItIsKnown: not before so many custodians reported
// that the others could not have let anybody open anything.
func TestNeverOpenedIsSaidWhenItIsKnown(t *testing.T) {
	o := newOffice(t)
	o.appoint()
	ctx := t.Context()
	cs, err := o.Custodians(ctx)
	o.must(err)
	report := func(i int) {
		t.Helper()
		s, err := ledger.New(o.Root(), custody.KeyOf(o.logs[i])).Sign(o.logs[i], o.now.Unix())
		o.must(err)
		o.must(o.TakeLog(ctx, cs[i], 0, nil, s.Raw, false))
	}
	report(0) // before the grant was made: it tells nothing about it
	o.now = o.now.Add(time.Minute)
	made, err := o.Make(ctx, o.order())
	o.must(err)
	expect := func(reported int, unopened bool) {
		t.Helper()
		in, err := o.Find(ctx, ticket.ShortID(made.Grant.Body.ID))
		o.must(err)
		if in.Reported != reported || in.Unopened != unopened {
			t.Errorf("%d have reported, never opened: %v; want %d, %v", in.Reported, in.Unopened, reported, unopened)
		}
	}
	expect(0, false)
	report(1)
	expect(1, false)
	report(2)
	expect(2, true) // of 3, 2 of which must agree
}

func TestGrantsThatCoverAFile(t *testing.T) {
	o := newOffice(t)
	o.appoint()
	ctx := t.Context()
	made, err := o.Make(ctx, o.order())
	o.must(err)
	id := ticket.ShortID(made.Grant.Body.ID)
	expect := func(want int, paths ...string) {
		t.Helper()
		got, err := o.Covering(ctx, paths)
		o.must(err)
		if len(got) != want || want == 1 && got[0] != id {
			t.Errorf("%q: %q, want %d", paths, got, want)
		}
	}
	expect(1, "papers/lease")
	expect(1, "other", "papers")
	expect(0, "pap", "papers/lease/x")
	_, err = o.cat.Forget(ctx, []string{"papers"})
	o.must(err)
	expect(1, "papers")
	_, err = o.Revoke(ctx, id, "")
	o.must(err)
	expect(0, "papers")
}
