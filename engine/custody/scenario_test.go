// SPDX-License-Identifier: MPL-2.0

package custody_test

import (
	"errors"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
)

// opens fails the test unless the brand gets the version's key.
func opens(t *testing.T, w *ct.World, ticket *custody.Ticket, file byte, version uint64) {
	t.Helper()
	key, err := w.Open(ticket, file)
	if err != nil {
		t.Fatal("does not open: ", err)
	}
	if key != ct.Secret(file, version) {
		t.Fatal("opens with another key")
	}
}

// refused fails the test unless the brand gets no key, for a reason.
func refused(t *testing.T, w *ct.World, ticket *custody.Ticket, file byte, want custody.Reason) {
	t.Helper()
	key, err := w.Open(ticket, file)
	if err == nil || key != [32]byte{} {
		t.Fatal("opens, want ", want)
	}
	reason(t, err, want)
}

func reason(t *testing.T, err error, want custody.Reason) {
	t.Helper()
	var r *custody.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("%v is no refusal, want %s", err, want)
	}
	if r.Reason != want {
		t.Fatalf("refused: %v, want %s", r, want)
	}
}

func request(t *testing.T, w *ct.World, ticket *custody.Ticket, file byte) *custody.Opening {
	t.Helper()
	o, err := w.Brand.Member.Request(ticket, ct.File(file), w.Now)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestBeforeExpiryOpens(t *testing.T) {
	for _, size := range []struct{ n, k int }{{1, 1}, {3, 2}, {5, 3}} {
		w := ct.New(t, size.n)
		ticket := w.Grant(w.Terms(3600, 1, 2), ct.Item(2, 4), ct.Item(1, 1))
		if int(ticket.Grant.Body.K) != size.k {
			t.Fatalf("%d of %d, want %d", ticket.Grant.Body.K, size.n, size.k)
		}
		opens(t, w, ticket, 1, 1)
		opens(t, w, ticket, 2, 4)
		w.Now = ticket.Grant.Body.NotAfter - 1
		opens(t, w, ticket, 1, 1)
		// As many may be down as leave k.
		for _, c := range w.Custodians[size.k:] {
			c.Off = true
		}
		opens(t, w, ticket, 1, 1)
	}
}

func TestNotBefore(t *testing.T) {
	w := ct.New(t, 3)
	terms := w.Terms(7200, 1)
	terms.NotBefore = w.Now + 3600
	ticket := w.Grant(terms, ct.Item(1, 1))
	refused(t, w, ticket, 1, custody.TooEarly)
	w.Now = terms.NotBefore - 1
	refused(t, w, ticket, 1, custody.TooEarly)
	w.Now = terms.NotBefore
	opens(t, w, ticket, 1, 1)
}

func TestAfterExpiryRefusesEvenIfTwoCheat(t *testing.T) {
	w := ct.New(t, 5)
	ticket := w.Grant(w.Terms(20, 1), ct.Item(1, 1))
	end := ticket.Grant.Body.NotAfter
	kept := request(t, w, ticket, 1)
	w.Now = end // at the very second
	refused(t, w, ticket, 1, custody.Expired)
	for days := int64(0); days < 4; days++ {
		w.Now = end + days*ct.Day
		w.Tick()
		within := end - 1
		w.Custodians[0].Cheat, w.Custodians[1].Cheat = &within, &within
		w.Ask(kept, w.Custodians...) // a request made in time, and kept
		if _, err := kept.Key(w.Brand.KEM); err == nil {
			t.Fatal("two cheats and the brand open after the end")
		}
	}
	// The stated limit: three that cheat and hoarded old keys, and the brand.
	w.Now = end - 1
	late := request(t, w, ticket, 1)
	w.Now = end + 4*ct.Day
	within := end - 1
	for _, c := range w.Custodians[:3] {
		c.Cheat = &within
	}
	w.Ask(late, w.Custodians...)
	if key, err := late.Key(w.Brand.KEM); err != nil || key != ct.Secret(1, 1) {
		t.Fatal("the limit that the documents state does not hold: ", err)
	}
}

// dated makes the same request again with another time.
func dated(t *testing.T, w *ct.World, o *custody.Opening, at int64) *custody.Signed[custody.OpenRequest] {
	t.Helper()
	b := o.Request.Body
	b.At = at
	s, err := custody.Sign(w.Brand.Member.Device, b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTwoSharesRecoverNothing(t *testing.T) {
	w := ct.New(t, 5)
	ticket := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	o := request(t, w, ticket, 1)
	if _, err := w.Ask(o, w.Custodians[:2]...); err != nil {
		t.Fatal(err)
	}
	if o.Have() != 2 || o.Need() != 3 {
		t.Fatalf("%d of %d", o.Have(), o.Need())
	}
	if key, err := o.Key(w.Brand.KEM); err == nil || key != [32]byte{} {
		t.Fatal("two shares of three open")
	}
	// Asking the same custodian again does not help either.
	o2 := request(t, w, ticket, 1)
	r, _ := w.Ask(o2, w.Custodians[0])
	for range 3 {
		if err := o2.Add(r[0]); err != nil {
			t.Fatal("a duplicate is an error: ", err)
		}
	}
	if o2.Have() != 1 {
		t.Fatal("a duplicate counts")
	}
}

func TestRevocationNeedsItsQuorum(t *testing.T) {
	w := ct.New(t, 5)
	ticket := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	rev, err := w.Owner.Revoke(ticket.Grant.Hash, w.Now, "changed my mind")
	if err != nil {
		t.Fatal(err)
	}
	quorum := custody.RevocationQuorum(&ticket.Grant.Body)
	if quorum != 3 {
		t.Fatalf("quorum %d, want 3", quorum)
	}
	for _, c := range w.Custodians[:quorum] {
		opens(t, w, ticket, 1, 1)
		if err := c.Revoke(rev.Raw); err != nil {
			t.Fatal(err)
		}
	}
	// The custodian asked last knows nothing yet and agrees; the others do not.
	if _, err := w.Open(ticket, 1); err == nil {
		t.Fatal("opens though n-k+1 custodians know")
	}
	_, err = w.Custodians[0].Answer(request(t, w, ticket, 1).Request.Raw, w.Gateway.Device)
	reason(t, err, custody.Revoked)

	// Forged: by the brand, by a device that the owner never certified, and
	// with a certificate that is somebody else's.
	thief := custody.Owner{Device: ct.Key(t), Cert: w.Owner.Cert}
	forged, err := thief.Revoke(ticket.Grant.Hash, w.Now, "")
	if err != nil {
		t.Fatal(err)
	}
	brand := custody.Owner{Device: w.Brand.Member.Device, Cert: w.Brand.Member.Cert}
	foreign, err := brand.Revoke(ticket.Grant.Hash, w.Now, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range [][]byte{forged.Raw, foreign.Raw, rev.Raw[1:]} {
		if err := w.Custodians[4].Revoke(raw); !errors.Is(err, custody.ErrMalformed) {
			t.Fatalf("a forged revocation: %v", err)
		}
	}
	// An order in which revocations were heard does not show.
	a, b := custody.Hash{1}, custody.Hash{2}
	if custody.RevocationsHash([]custody.Hash{a, b}) != custody.RevocationsHash([]custody.Hash{b, a, b}) {
		t.Fatal("the hash of a set depends on its order")
	}
}

func TestWrongBrandRefuses(t *testing.T) {
	w := ct.New(t, 3)
	ticket := w.Grant(w.Terms(60*ct.Day, 1), ct.Item(1, 1))
	good := request(t, w, ticket, 1)

	mine := w.Brand
	w.Brand = w.NewBrand()
	refused(t, w, ticket, 1, custody.WrongBrand)
	w.Brand = mine

	// Replayed by another peer, and by a gateway.
	c := w.Custodians[0]
	_, err := c.Answer(good.Request.Raw, [32]byte{9})
	reason(t, err, custody.NotGateway)
	if _, err := c.Answer(good.Request.Raw, w.Gateway.Device); err != nil {
		t.Fatal(err)
	}
	_, err = c.Answer(good.Request.Raw, w.Gateway.Device)
	reason(t, err, custody.Replay)

	// A member whose certificate ran out.
	for range 31 {
		w.Now += ct.Day
		w.Tick()
	}
	refused(t, w, ticket, 1, custody.MemberExpired)
	w.Brand.Member.Cert = w.Certify(w.Brand.Root, custody.KeyOf(w.Brand.Member.Device), custody.OrgMember, "desk", 30*ct.Day)
	opens(t, w, ticket, 1, 1)

	// A request that was kept for too long, and one from the future.
	fresh := request(t, w, ticket, 1)
	for _, at := range []int64{w.Now - custody.MaxRequestAge - 1, w.Now + 601} {
		_, err = c.Answer(dated(t, w, fresh, at).Raw, w.Gateway.Device)
		reason(t, err, custody.Stale)
	}
}

func TestBorrowedCertificate(t *testing.T) {
	w := ct.New(t, 3)
	ticket := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	honest := w.Brand.Member
	w.Brand.Member.Device = ct.Key(t) // another device, the same certificate
	refused(t, w, ticket, 1, custody.WrongBrand)
	// Certified by the organisation, but for something else.
	w.Brand.Member.Cert = w.Certify(w.Brand.Root, custody.KeyOf(w.Brand.Member.Device), custody.OwnerDevice, "x", 3600)
	refused(t, w, ticket, 1, custody.WrongBrand)
	// Certified by itself in the organisation's name.
	w.Brand.Member.Cert = w.Certify(w.Brand.Member.Device, custody.KeyOf(w.Brand.Member.Device), custody.OrgMember, "x", 3600)
	refused(t, w, ticket, 1, custody.WrongBrand)
	w.Brand.Member = honest
	opens(t, w, ticket, 1, 1)
}

func TestStolenReleasesAreUselessToAnother(t *testing.T) {
	w := ct.New(t, 5)
	ticket := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	o := request(t, w, ticket, 1)
	releases, err := w.Ask(o, w.Custodians...)
	if err != nil {
		t.Fatal(err)
	}
	// Another request, even by the same device, cannot use them.
	other := request(t, w, ticket, 1)
	for _, r := range releases {
		if err := other.Add(r); !errors.Is(err, custody.ErrMalformed) {
			t.Fatalf("a release of another request: %v", err)
		}
	}
	// Nor can k custodians that collude and have a brand's device, but not
	// the brand's own key: the second lock.
	if key, err := o.Key(ct.NewKEM(t)); err == nil || key != [32]byte{} {
		t.Fatal("opens without the brand's key")
	}
	if key, err := o.Key(w.Brand.KEM); err != nil || key != ct.Secret(1, 1) {
		t.Fatal("the brand itself cannot open: ", err)
	}
}

func TestLiarIsNamed(t *testing.T) {
	w := ct.New(t, 5)
	ticket := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	liar := w.Custodians[1]
	liar.Lie = true
	o := request(t, w, ticket, 1)
	r, err := w.Ask(o, liar)
	var named *custody.LiarError
	if !errors.As(err, &named) || len(r) != 1 {
		t.Fatalf("a lie: %v", err)
	}
	key, err := liar.Kept.Pseudonym(&ticket.Grant.Body)
	if err != nil {
		t.Fatal(err)
	}
	if named.Name != custody.KeyOf(key) || ticket.Grant.Body.Custodians[named.Index] != named.Name {
		t.Fatal("somebody else is named")
	}
	// One that is altered on the way names nobody, and nothing is spoilt.
	honest, err := w.Custodians[0].Answer(o.Request.Raw, w.Gateway.Device)
	if err != nil {
		t.Fatal(err)
	}
	bent := append([]byte(nil), honest...)
	bent[len(bent)-1] ^= 1
	if err := o.Add(bent); !errors.Is(err, custody.ErrMalformed) {
		t.Fatalf("a bent release: %v", err)
	}
	opens(t, w, ticket, 1, 1)
}

func TestUseCount(t *testing.T) {
	w := ct.New(t, 5)
	terms := w.Terms(3600, 1, 2)
	terms.MaxOpens = 1
	ticket := w.Grant(terms, ct.Item(1, 1), ct.Item(2, 1))
	opens(t, w, ticket, 1, 1)
	refused(t, w, ticket, 1, custody.UsedUp)
	opens(t, w, ticket, 2, 1)

	// Asking different groups gives no second opening: 5 releases, 3 each.
	ticket = w.Grant(terms, ct.Item(1, 1), ct.Item(2, 1))
	a, b := request(t, w, ticket, 1), request(t, w, ticket, 1)
	w.Ask(a, w.Custodians[:3]...)
	w.Ask(b, w.Custodians...)
	if _, err := a.Key(w.Brand.KEM); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Key(w.Brand.KEM); err == nil {
		t.Fatal("once was twice")
	}
}

func TestOwnerHeartbeat(t *testing.T) {
	w := ct.New(t, 3)
	terms := w.Terms(3*ct.Day, 1)
	terms.StatusMaxAge = ct.Day
	ticket := w.Grant(terms, ct.Item(1, 1))
	refused(t, w, ticket, 1, custody.OwnerSilent)
	beat := func(seq uint64, at int64) (errs error) {
		s, err := w.Owner.Status(seq, at, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range w.Custodians {
			errs = errors.Join(errs, c.Hear(s.Raw))
		}
		return errs
	}
	if err := beat(1, w.Now); err != nil {
		t.Fatal(err)
	}
	opens(t, w, ticket, 1, 1)
	w.Now += ct.Day + 1
	w.Tick()
	refused(t, w, ticket, 1, custody.OwnerSilent)
	if beat(1, w.Now) == nil || beat(2, w.Now+3600) == nil {
		t.Fatal("an old or a future heartbeat counts")
	}
	if err := beat(2, w.Now); err != nil {
		t.Fatal(err)
	}
	opens(t, w, ticket, 1, 1)
}

// An answer that cannot be sealed is refused before it is counted.
func TestEphemeralKeyIsChecked(t *testing.T) {
	w := ct.New(t, 1)
	ticket := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	b := request(t, w, ticket, 1).Request.Body
	b.Ephemeral = make([]byte, len(b.Ephemeral))
	for i := range b.Ephemeral {
		b.Ephemeral[i] = 0xff // no ML-KEM key has such coefficients
	}
	s, err := custody.Sign(w.Brand.Member.Device, b)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Custodians[0].Answer(s.Raw, w.Gateway.Device)
	reason(t, err, custody.Malformed)
	if len(w.Custodians[0].Records) != 1 { // the refusal
		t.Fatal("an answer that was not given is in the log")
	}
}

func TestPurposeBound(t *testing.T) {
	w := ct.New(t, 3)
	ticket := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	b := request(t, w, ticket, 1).Request.Body
	b.Purpose = "https://w3id.org/dpv#Marketing"
	s, err := custody.Sign(w.Brand.Member.Device, b)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Custodians[0].Answer(s.Raw, w.Gateway.Device)
	reason(t, err, custody.Purpose)
}
