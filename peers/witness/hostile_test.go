// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/peers"
)

func refuses(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, peers.ErrRefused) && !errors.Is(err, peers.ErrNoCustodian) {
		t.Fatalf("%s: %v, want a refusal", what, err)
	}
}

func TestForgedLetters(t *testing.T) {
	w := newWorld(t, 2)
	h := w.homes[0]
	ticket := w.grant(3600, nil)
	o := w.request(ticket)
	good := h.letter(o, ticket)
	through := Client{as{h.svc, w.Gateway.Device}}

	junk := make([]byte, 4000)
	rand.Read(junk)
	for name, raw := range map[string][]byte{"nothing": nil, "junk": junk, "longer": append(bytes.Clone(good), 0), "shorter": good[:len(good)-1]} {
		r, err := through.Letter(t.Context(), raw)
		check(t, err)
		if r.Reason != custody.Malformed {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for i := 0; i < len(good); i += 37 {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		r, err := through.Letter(t.Context(), bad)
		check(t, err)
		if r.Reason == "" {
			t.Fatalf("a letter with byte %d changed got %+v", i, r)
		}
	}
	// For the other custodian, and for nobody's.
	r, err := through.Letter(t.Context(), w.homes[1].letter(o, ticket))
	check(t, err)
	want(t, r.Reason, custody.NotNamed)
	other := newWorld(t, 1)
	strange := other.grant(3600, nil)
	r, err = through.Letter(t.Context(), other.homes[0].letter(other.request(strange), strange))
	check(t, err)
	want(t, r.Reason, custody.NotNamed)

	// Through a device that is no gateway of the grant.
	r, err = Client{as{h.svc, w.owner}}.Letter(t.Context(), good)
	check(t, err)
	want(t, why(t, o, r), custody.NotGateway)
	if n := h.count(ledger.Release); n != 0 {
		t.Fatalf("%d releases", n)
	}

	// Replayed, by the gateway as often as it likes: one opening.
	first := h.ask(o, ticket)
	want(t, why(t, o, first), "")
	for range 3 {
		if again := h.ask(o, ticket); !bytes.Equal(again.Release, first.Release) {
			t.Fatal("a replay got another answer")
		}
	}
	if n := h.count(ledger.Release); n != 1 {
		t.Fatalf("%d releases, want 1", n)
	}
	// After the grant's end a replay gets nothing, and an old request neither.
	w.Now += 3600
	want(t, h.reason(o, ticket), custody.Expired)
	long := w.grant(30*custodytest.Day, nil)
	late := w.request(long)
	w.Now += custody.MaxRequestAge + 1
	check(t, h.svc.Tick(t.Context()))
	h.svc.Heard(w.owner, w.Now)
	want(t, h.reason(late, long), custody.Stale)
}

func TestWrongBrands(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	ticket := w.grant(3600, nil)
	good := w.Brand.Member
	w.Brand.Member.Cert = w.Certify(custodytest.Key(t), custody.KeyOf(good.Device), custody.OrgMember, "another", 3600)
	want(t, h.reason(w.request(ticket), ticket), custody.WrongBrand)
	w.Brand.Member.Cert = w.Certify(w.Brand.Root, custody.KeyOf(good.Device), custody.OrgMember, "dismissed", -1)
	want(t, h.reason(w.request(ticket), ticket), custody.MemberExpired)
	w.Brand.Member.Cert = w.Certify(w.Brand.Root, custody.KeyOf(good.Device), custody.OwnerDevice, "other role", 3600)
	want(t, h.reason(w.request(ticket), ticket), custody.WrongBrand)
	w.Brand.Member = good
	want(t, h.reason(w.request(ticket), ticket), "")
}

func TestRemovedDeviceCannotDateBack(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	root := custody.KeyOf(w.Root)
	kept, lost := w.grant(3600, nil), w.grant(3600, nil)
	old := w.deviceSet(1, []custody.Key{w.device}, nil)
	none := w.deviceSet(2, nil, []custody.Hash{kept.Grant.Hash, kept.Package.Hash})
	_, err := h.byOwner().Status(t.Context(), News{Owner: root, DeviceSet: none})
	check(t, err)
	// The old set again is no news.
	st, err := h.byOwner().Status(t.Context(), News{Owner: root, DeviceSet: old})
	check(t, err)
	if st.Epoch != 2 {
		t.Fatalf("epoch %d", st.Epoch)
	}
	h.restart()
	want(t, h.reason(w.request(kept), kept), "")
	want(t, h.reason(w.request(lost), lost), custody.BadDevice)
}

// TestRemovedDeviceCannotBlockWithdrawals: what a device that was removed can
// make a custodian remember is bounded, and what the others say is not.
func TestRemovedDeviceCannotBlockWithdrawals(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	root := custody.KeyOf(w.Root)
	lost := custody.Owner{Device: custodytest.Key(t)}
	lost.Cert = w.Certify(w.Root, custody.KeyOf(lost.Device), custody.OwnerDevice, "lost", 3600)
	revoke := func(o custody.Owner, g custody.Hash) []byte {
		t.Helper()
		r, err := o.Revoke(g, w.Now, "")
		check(t, err)
		return r.Raw
	}
	var list [][]byte
	for i := range maxStray + 1 {
		list = append(list, revoke(lost, custody.Hash{byte(i), byte(i >> 8), 1}))
	}
	_, err := h.byOwner().Status(t.Context(), News{Owner: root, Revocations: list[:500]})
	check(t, err)
	h.restart() // the count is kept
	a, b := w.grant(3600, nil), w.grant(3600, nil)
	_, err = h.byOwner().Status(t.Context(), News{Owner: root, Revocations: append(list[500:], revoke(w.Owner, a.Grant.Hash))})
	refuses(t, "too many of a removed device", err)
	want(t, h.reason(w.request(a), a), custody.Revoked)
	_, err = h.byOwner().Revoke(t.Context(), list[maxStray])
	refuses(t, "one more", err)
	_, err = h.byOwner().Revoke(t.Context(), revoke(w.Owner, b.Grant.Hash))
	check(t, err)
	h.restart()
	want(t, h.reason(w.request(b), b), custody.Revoked)
	if n := h.count(ledger.Revoke); n != maxStray+2 {
		t.Errorf("%d withdrawals in the log", n)
	}
}

func TestAppointmentsOfOthers(t *testing.T) {
	w := newWorld(t, 2)
	h := w.homes[0]
	ctx := t.Context()
	var stranger peers.DeviceID
	rand.Read(stranger[:])
	byStranger := Client{as{h.svc, stranger}}

	// Another one's appointment, and one that was changed.
	_, err := h.byOwner().Appoint(ctx, w.homes[1].appointing(w, 1, w.Now))
	refuses(t, "another custodian's", err)
	a := h.appointing(w, 1, w.Now)
	a.Appointment[len(a.Appointment)/2] ^= 1
	_, err = h.byOwner().Appoint(ctx, a)
	refuses(t, "a changed one", err)
	// The owner's own, brought again by somebody else.
	_, err = byStranger.Appoint(ctx, h.appointing(w, 0, w.Now))
	refuses(t, "an old one from elsewhere", err)
	// Another person's, from the owner's device: one device, one person.
	other := newWorld(t, 0)
	ha := *h
	ha.w = other
	_, err = h.byOwner().Appoint(ctx, ha.appointing(other, 0, w.Now))
	refuses(t, "a second person on one device", err)
	// From its own device it is welcome, and has no part in the first.
	_, err = byStranger.Appoint(ctx, ha.appointing(other, 0, w.Now))
	check(t, err)
	_, err = byStranger.Log(ctx, custody.KeyOf(w.Root), 0)
	refuses(t, "another owner's log", err)
	_, err = byStranger.Status(ctx, News{Owner: custody.KeyOf(w.Root)})
	refuses(t, "another owner's news", err)

	// A restored home: the same person on a new device, with a newer one.
	var restored peers.DeviceID
	rand.Read(restored[:])
	_, err = Client{as{h.svc, restored}}.Appoint(ctx, h.appointing(w, 1, w.Now+1))
	check(t, err)
	_, err = Client{as{h.svc, restored}}.Log(ctx, custody.KeyOf(w.Root), 0)
	check(t, err)
	_, err = h.byOwner().Log(ctx, custody.KeyOf(w.Root), 0)
	refuses(t, "the device before", err)
	// A generation below the newest is not taken.
	h.svc.kept.chains = map[seat]custody.Chain{{custody.KeyOf(w.Root), 1}: {}}
	_, err = Client{as{h.svc, restored}}.Appoint(ctx, h.appointing(w, 0, w.Now+2))
	refuses(t, "an old generation", err)
}

func TestForgedNews(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	ctx := t.Context()
	root := custody.KeyOf(w.Root)
	ticket := w.grant(3600, nil)
	thief := custody.Owner{Device: custodytest.Key(t)}
	thief.Cert = w.Certify(custodytest.Key(t), custody.KeyOf(thief.Device), custody.OwnerDevice, "thief", 3600)
	rev, err := thief.Revoke(ticket.Grant.Hash, w.Now, "")
	check(t, err)
	_, err = h.byOwner().Revoke(ctx, rev.Raw)
	refuses(t, "a stranger's revocation", err)
	_, err = h.byOwner().Status(ctx, News{Owner: root, Revocations: [][]byte{rev.Raw}})
	refuses(t, "a stranger's revocation in news", err)
	set, err := custody.Sign(thief.Device, custody.DeviceSet{Root: root, Epoch: 9, At: w.Now})
	check(t, err)
	_, err = h.byOwner().Status(ctx, News{Owner: root, DeviceSet: set.Raw})
	refuses(t, "a stranger's device set", err)
	p, err := custody.Sign(thief.Device, Panel{Owner: root, Epoch: 9, At: w.Now})
	check(t, err)
	_, err = h.byOwner().Status(ctx, News{Owner: root, Panel: p.Raw})
	refuses(t, "a stranger's panel", err)
	st, err := thief.Status(9, w.Now, nil)
	check(t, err)
	_, err = h.byOwner().Status(ctx, News{Owner: root, Status: st.Raw})
	refuses(t, "a stranger's status", err)
	for _, verb := range []string{verbAppoint, verbRevoke, verbStatus, verbLog, verbGossip, verbEvidence} {
		for _, raw := range [][]byte{nil, {0xa0}, {0xff}, bytes.Repeat([]byte{0x9f}, 100)} {
			_, err := h.svc.Answer(ctx, verb, w.owner, raw)
			refuses(t, verb, err)
		}
	}
	want(t, h.reason(w.request(ticket), ticket), "")
}

func TestOwnerHeartbeat(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	ticket := w.grant(30*custodytest.Day, func(x *custody.Terms) { x.StatusMaxAge = 3600 })
	want(t, h.reason(w.request(ticket), ticket), custody.OwnerSilent)
	st, err := w.Owner.Status(1, w.Now, nil)
	check(t, err)
	_, err = h.byOwner().Status(t.Context(), News{Owner: custody.KeyOf(w.Root), Status: st.Raw})
	check(t, err)
	h.restart()
	want(t, h.reason(w.request(ticket), ticket), "")
	w.Now += 3601
	want(t, h.reason(w.request(ticket), ticket), custody.OwnerSilent)
}

// TestOwnerFillsNoDisk: whoever appoints a custodian can make brands of its own
// and open its own grants for ever. What is kept of that is bounded, and others
// are served on.
func TestOwnerFillsNoDisk(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	root := custody.KeyOf(w.Root)
	first, second := w.grant(3600, nil), w.grant(3600, nil)
	o := w.request(first)
	release := h.ask(o, first)
	want(t, why(t, o, release), "")

	// Evidence over many grants. The log goes on.
	own := h.svc.owners[root]
	own.provenAll = maxProvenAll - 100
	want(t, h.reason(w.request(second), second), "")
	e, err := h.byOwner().Evidence(t.Context(), root, second.Grant.Hash, 0)
	check(t, err)
	if len(e.Items) != 0 {
		t.Errorf("%d more items of evidence", len(e.Items))
	}
	h.restart()
	own = h.svc.owners[root]
	if own.provenAll != own.proven[first.Grant.Hash] || own.provenAll == 0 {
		t.Errorf("after a restart %d bytes of evidence, of the first grant %d", own.provenAll, own.proven[first.Grant.Hash])
	}

	// Answers that are kept. What has one is repeated.
	for i := len(own.answered); i < maxAnswered; i++ {
		own.answered[custody.Hash{byte(i), byte(i >> 8), byte(i >> 16), 9}] = w.Now
	}
	want(t, h.reason(w.request(second), second), custody.Busy)
	if again := h.ask(o, first); !bytes.Equal(again.Release, release.Release) {
		t.Error("a replay got another answer")
	}
	w.Now += 3*custodytest.Day + 7200
	h.svc.Heard(w.owner, w.Now)
	check(t, h.svc.Tick(t.Context()))
	later := w.grant(3600, nil)
	want(t, h.reason(w.request(later), later), "")

	// Lists of revoked members, of many brands.
	for i := len(own.members); i < maxOrgs; i++ {
		own.members[custody.Key{byte(i), byte(i >> 8), 9}] = &custody.MemberRevocations{}
	}
	list, err := custody.Sign(w.Brand.Root, custody.MemberRevocations{Root: custody.KeyOf(w.Brand.Root), Number: 1, Devices: []custody.Key{{1}}, At: w.Now})
	check(t, err)
	w.Brand.Member.Revoked = list.Raw
	want(t, h.reason(w.request(later), later), "")
	if len(own.members) != maxOrgs {
		t.Errorf("%d lists", len(own.members))
	}

	// Withdrawals.
	for i := len(own.revoked); i < maxRevoked; i++ {
		own.revoked[custody.Hash{byte(i), byte(i >> 8), byte(i >> 16), 9}] = true
	}
	r, err := w.Owner.Revoke(custody.Hash{1}, w.Now, "")
	check(t, err)
	_, err = h.byOwner().Revoke(t.Context(), r.Raw)
	refuses(t, "one withdrawal too many", err)
}
