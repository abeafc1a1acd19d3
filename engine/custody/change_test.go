// SPDX-License-Identifier: MPL-2.0

package custody_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"slices"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
)

func TestTamperedGrantRefuses(t *testing.T) {
	w := ct.New(t, 3)
	ticket := w.Grant(w.Terms(20, 1), ct.Item(1, 1))
	c := w.Custodians[0]
	send := func(change func(*custody.OpenRequest)) error {
		t.Helper()
		b := request(t, w, ticket, 1).Request.Body
		change(&b)
		s, err := custody.Sign(w.Brand.Member.Device, b)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Answer(s.Raw, w.Gateway.Device)
		return err
	}
	// A longer grant, signed by the brand or by a device certified by nobody.
	g := ticket.Grant.Body
	g.NotAfter += ct.Day
	for _, key := range []ed25519.PrivateKey{w.Brand.Member.Device, w.Brand.Root, ct.Key(t)} {
		s, err := custody.Sign(key, g)
		if err != nil {
			t.Fatal(err)
		}
		reason(t, send(func(r *custody.OpenRequest) { r.Grant = s.Raw }), custody.BadGrant)
	}
	// A genuine grant of somebody else.
	other := ct.New(t, 3)
	foreign := other.Grant(other.Terms(3600, 1), ct.Item(1, 1))
	reason(t, send(func(r *custody.OpenRequest) { r.Grant = foreign.Grant.Raw }), custody.BadGrant)
	// One type for another.
	reason(t, send(func(r *custody.OpenRequest) { r.Grant = ticket.Package.Raw }), custody.BadGrant)
	reason(t, send(func(r *custody.OpenRequest) { r.Package = ticket.Grant.Raw }), custody.BadPackage)
	reason(t, send(func(r *custody.OpenRequest) { r.Package = foreign.Package.Raw }), custody.BadPackage)
	reason(t, send(func(r *custody.OpenRequest) { r.Version = 2 }), custody.BadPackage)
	// A package by the brand that lists other entries.
	p := ticket.Package.Body
	p.Entries = slices.Clone(p.Entries)
	p.Entries[0].Version = 2
	s, err := custody.Sign(w.Brand.Member.Device, p)
	if err != nil {
		t.Fatal(err)
	}
	reason(t, send(func(r *custody.OpenRequest) { r.Package, r.Version = s.Raw, 2 }), custody.BadPackage)

	// Every flipped bit of a whole request, with and without a signature of
	// the brand over it.
	raw := request(t, w, ticket, 1).Request.Raw
	for i := 0; i < len(raw); i += 7 {
		bent := slices.Clone(raw)
		bent[i] ^= 1 << (i % 8)
		_, err := custody.Decide(bent, w.Gateway.Device, c)
		reason(t, err, custody.Malformed)
	}
	for i := 0; i < len(ticket.Grant.Raw); i += 7 {
		reason(t, send(func(r *custody.OpenRequest) {
			r.Grant = slices.Clone(r.Grant)
			r.Grant[i] ^= 1 << (i % 8)
		}), custody.BadGrant)
	}
	opens(t, w, ticket, 1, 1)
}

func TestRemovedDeviceCannotDateBack(t *testing.T) {
	w := ct.New(t, 3)
	old := w.Owner
	known := w.Grant(w.Terms(30*ct.Day, 1), ct.Item(1, 1))
	forgotten := w.Grant(w.Terms(30*ct.Day, 1), ct.Item(1, 1))
	w.Owner.Device, w.Owner.Cert = w.Device("new laptop")
	w.Devices(2, []custody.Key{custody.KeyOf(w.Owner.Device)}, []custody.Hash{known.Grant.Hash, known.Package.Hash})

	opens(t, w, known, 1, 1)
	refused(t, w, forgotten, 1, custody.BadDevice)
	opens(t, w, w.Grant(w.Terms(3600, 1), ct.Item(1, 1)), 1, 1)

	fresh := w.Owner
	w.Owner = old // the thief dates a grant back to yesterday
	w.Now -= ct.Day / 2
	stolen := w.Grant(w.Terms(30*ct.Day, 1), ct.Item(1, 1))
	w.Now += ct.Day / 2
	refused(t, w, stolen, 1, custody.BadDevice)
	// Nor can it add a package to a grant that was kept.
	again := w.Package(known.Grant, 1, ct.Item(1, 1))
	refused(t, w, again, 1, custody.BadDevice)
	w.Owner = fresh
	// Its revocations do count: the safe side.
	rev, err := old.Revoke(known.Grant.Hash, w.Now, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Custodians[0].Revoke(rev.Raw); err != nil {
		t.Fatal(err)
	}
	// A device set cannot go back.
	s, err := custody.Sign(w.Root, custody.DeviceSet{Root: custody.KeyOf(w.Root), Epoch: 1, At: w.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := custody.CheckDeviceSet(s.Raw, custody.KeyOf(w.Root), 2); !errors.Is(err, custody.ErrMalformed) {
		t.Fatalf("an older device set: %v", err)
	}
}

func TestRectificationNeedsNoCustodian(t *testing.T) {
	w := ct.New(t, 5)
	terms := w.Terms(30*ct.Day, 1, 2)
	terms.Follow = true
	first := w.Grant(terms, ct.Item(1, 1), ct.Item(2, 1))
	opens(t, w, first, 1, 1)
	for _, c := range w.Custodians {
		c.Off = true
	}
	second := w.Package(first.Grant, 2, ct.Item(1, 2), ct.Item(2, 1))
	for _, c := range w.Custodians {
		c.Off = false
	}
	opens(t, w, second, 1, 2)
	refused(t, w, first, 1, custody.Superseded)
	refused(t, w, first, 2, custody.Superseded)
	opens(t, w, second, 2, 1)

	// A custodian that was told of a third one refuses the second at once.
	third := w.Package(first.Grant, 3, ct.Item(1, 3))
	for _, c := range w.Custodians {
		if err := c.Learn(third.Grant.Raw, third.Package.Raw); err != nil {
			t.Fatal(err)
		}
		if err := c.Learn(third.Grant.Raw, third.Grant.Raw); !errors.Is(err, custody.ErrMalformed) {
			t.Fatal("learns from a grant: ", err)
		}
	}
	refused(t, w, second, 1, custody.Superseded)
	opens(t, w, third, 1, 3)

	// A grant that does not follow takes no second package.
	pinned := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	_, err := w.Owner.Package(pinned.Grant, w.Seats(), w.Brand.KEM.PublicKey().Bytes(), 2, []custody.Item{ct.Item(1, 2)})
	if err == nil {
		t.Fatal("a pinned grant takes a second package")
	}
	// And of two first packages, the one that was used first stays.
	opens(t, w, pinned, 1, 1)
	refused(t, w, w.Package(pinned.Grant, 1, ct.Item(1, 2)), 1, custody.Superseded)
	// No file comes in that the grant does not name.
	_, err = w.Owner.Package(first.Grant, w.Seats(), w.Brand.KEM.PublicKey().Bytes(), 3, []custody.Item{ct.Item(9, 1)})
	if err == nil {
		t.Fatal("a package brings in another file")
	}
}

func TestExtend(t *testing.T) {
	w := ct.New(t, 3)
	terms := w.Terms(20, 1)
	terms.Consent = custody.Hash{7}
	old := w.Grant(terms, ct.Item(1, 1))
	w.Now += 30
	refused(t, w, old, 1, custody.Expired)
	g, err := w.Owner.Extend(w.Now, old.Grant, w.Brand.KEM.PublicKey().Bytes(), w.Seats(), 0, w.Now+3600)
	if err != nil {
		t.Fatal(err)
	}
	if g.Body.Consent != old.Grant.Body.Consent || g.Body.ID == old.Grant.Body.ID {
		t.Fatal("not a new grant under the old consent")
	}
	opens(t, w, w.Package(g, 1, ct.Item(1, 1)), 1, 1)
	refused(t, w, old, 1, custody.Expired)
}

// Re-issuing a version must not use its pads again: the XOR of the two lists of
// masked shares would then be that of the shares, without any custodian.
func TestReissueUsesFreshPads(t *testing.T) {
	w := ct.New(t, 3)
	terms := w.Terms(3600, 1)
	terms.Follow = true
	a := w.Grant(terms, ct.Item(1, 1))
	b := w.Package(a.Grant, 2, ct.Item(1, 1))
	x, y := a.Package.Body.Entries[0], b.Package.Body.Entries[0]
	if x.Salt == y.Salt || x.Wrapped == y.Wrapped {
		t.Fatal("a salt or a wrapping key is used twice")
	}
	for i := range x.Corr {
		if x.Corr[i] == y.Corr[i] || x.Commit[i] == y.Commit[i] {
			t.Fatal("a pad is used twice")
		}
	}
	opens(t, w, a, 1, 1)
	opens(t, w, b, 1, 1)
}

func TestDeterministicEncoding(t *testing.T) {
	w := ct.New(t, 3)
	ticket := w.Grant(w.Terms(3600, 2, 1), ct.Item(2, 1), ct.Item(1, 1))
	again, err := custody.Sign(w.Owner.Device, ticket.Grant.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Raw, ticket.Grant.Raw) || again.Hash != ticket.Grant.Hash {
		t.Fatal("one grant has two encodings")
	}
	parsed, err := custody.Parse[custody.Grant](ticket.Grant.Raw)
	if err != nil || !bytes.Equal(parsed.Raw, ticket.Grant.Raw) {
		t.Fatal("signed bytes are not kept as they came")
	}
}

// What a brand and a gateway get names no custodian and no two grants have a
// custodian's key in common.
func TestCircleStaysPrivate(t *testing.T) {
	w := ct.New(t, 5)
	a := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	b := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	o := request(t, w, a, 1)
	releases, err := w.Ask(o, w.Custodians...)
	if err != nil {
		t.Fatal(err)
	}
	seen := slices.Concat(append(releases, a.Grant.Raw, a.Package.Raw, o.Request.Raw)...)
	for i, c := range w.Custodians {
		log := custody.KeyOf(c.LogKey)
		kem := c.KEM.PublicKey().Bytes()
		for _, secret := range [][]byte{c.Seat[:], log[:], kem[:32], kem[len(kem)-32:], c.Kept.Key[:]} {
			if bytes.Contains(seen, secret) {
				t.Fatal("a brand sees who a custodian is")
			}
		}
		if slices.Contains(b.Grant.Body.Custodians, a.Grant.Body.Custodians[i]) ||
			slices.Contains(b.Grant.Body.Mailboxes, a.Grant.Body.Mailboxes[i]) {
			t.Fatal("two grants can be linked by a custodian's key")
		}
	}
}

func TestCard(t *testing.T) {
	w := ct.New(t, 1)
	text, err := custody.NewCard(w.Brand.Root, "ACME Insurance", w.Brand.KEM.PublicKey(), w.Now)
	if err != nil {
		t.Fatal(err)
	}
	c, err := custody.ParseCard(" " + text[:80] + "\n" + text[80:])
	if err != nil || c.Body.Name != "ACME Insurance" || c.Body.Root != custody.KeyOf(w.Brand.Root) {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := custody.NewCard(w.Brand.Root, "", w.Brand.KEM.PublicKey(), w.Now); err == nil {
		t.Fatal("a card without a name")
	}
	forged, err := custody.Sign(ct.Key(t), c.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", text + "A", "preezm-brand1-" + base64.RawURLEncoding.EncodeToString(forged.Raw)} {
		if _, err := custody.ParseCard(bad); !errors.Is(err, custody.ErrMalformed) {
			t.Fatalf("a bad card: %v", err)
		}
	}
}

func TestLettersPassAGateway(t *testing.T) {
	w := ct.New(t, 3)
	ticket := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	o := request(t, w, ticket, 1)
	delivered := 0
	for i := range ticket.Grant.Body.Custodians {
		raw, err := custody.SealLetter(o.Request.Raw, ticket.Grant, i)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(raw, []byte(ticket.Grant.Body.Purpose)) {
			t.Fatal("a gateway can read a request")
		}
		l, err := custody.ReadLetter(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range w.Custodians {
			req, err := l.Open(c.Kept)
			if err != nil {
				continue
			}
			delivered++
			r, err := c.Answer(req, w.Gateway.Device)
			if err != nil {
				t.Fatal(err)
			}
			if err := o.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		l.Day++
		for _, c := range w.Custodians {
			if _, err := l.Open(c.Kept); err == nil {
				t.Fatal("a changed letter opens")
			}
		}
	}
	if delivered != 3 {
		t.Fatalf("%d letters were opened, want 3: one for each custodian", delivered)
	}
	if key, err := o.Key(w.Brand.KEM); err != nil || key != ct.Secret(1, 1) {
		t.Fatal(err)
	}
}

func TestDenialIsSigned(t *testing.T) {
	w := ct.New(t, 3)
	ticket := w.Grant(w.Terms(20, 1), ct.Item(1, 1))
	o := request(t, w, ticket, 1)
	w.Now += 20
	_, err := w.Custodians[0].Answer(o.Request.Raw, w.Gateway.Device)
	var r *custody.Refusal
	if !errors.As(err, &r) {
		t.Fatal(err)
	}
	d, err := r.Deny()
	if err != nil || d == nil {
		t.Fatal("no denial: ", err)
	}
	i, why, err := o.Denied(d.Raw)
	if err != nil || why != custody.Expired || ticket.Grant.Body.Custodians[i] != d.Signer {
		t.Fatalf("denied by %d: %s, %v", i, why, err)
	}
	if _, _, err := request(t, w, ticket, 1).Denied(d.Raw); err == nil {
		t.Fatal("a denial counts for another request")
	}
	// Somebody without a part in the grant has no name to sign with.
	_, err = ct.New(t, 3).Custodians[0].Answer(o.Request.Raw, w.Gateway.Device)
	if !errors.As(err, &r) {
		t.Fatal(err)
	}
	if d, err := r.Deny(); d != nil || err != nil {
		t.Fatal("a stranger signs a denial")
	}
}

func TestAppointment(t *testing.T) {
	w := ct.New(t, 1)
	c := w.Custodians[0]
	a, err := custody.Appoint(w.Root, w.Owner.Custody, c.Seat, c.KEM.PublicKey().Bytes(), 3, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	got, chain, err := custody.AcceptAppointment(a.Raw, c.Seat, c.KEM)
	if err != nil || got.Body.Owner != custody.KeyOf(w.Root) {
		t.Fatal(err)
	}
	want, err := custody.NewChain(w.Owner.Custody, c.Seat, 3).At(custody.DayOf(w.Now) - 1)
	if err != nil || chain != want {
		t.Fatal("another chain than the owner's: ", err)
	}
	if _, err := chain.At(chain.Day - 1); !errors.Is(err, custody.ErrErased) {
		t.Fatal("a custodian gets days before its appointment")
	}
	if _, _, err := custody.AcceptAppointment(a.Raw, custody.Seat{1}, c.KEM); err == nil {
		t.Fatal("somebody else's appointment is accepted")
	}
	if _, _, err := custody.AcceptAppointment(a.Raw, c.Seat, ct.NewKEM(t)); err == nil {
		t.Fatal("opens with another key")
	}
	b := a.Body
	b.Owner = custody.Key{1}
	s, err := custody.Sign(w.Root, b)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := custody.AcceptAppointment(s.Raw, c.Seat, c.KEM); err == nil {
		t.Fatal("an appointment in another's name is accepted")
	}
}
