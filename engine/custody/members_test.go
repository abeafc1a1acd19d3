// SPDX-License-Identifier: MPL-2.0

package custody_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
)

// memberList is a brand's list of revoked members.
func memberList(t *testing.T, w *ct.World, number uint64, devices ...custody.Key) []byte {
	t.Helper()
	s, err := custody.Sign(w.Brand.Root, custody.MemberRevocations{Root: custody.KeyOf(w.Brand.Root), Number: number, Devices: devices, At: w.Now})
	if err != nil {
		t.Fatal(err)
	}
	return s.Raw
}

// TestRevokedMember: a custodian that saw a list refuses whoever is on it, also
// with a certificate that lasts and an older list or none.
func TestRevokedMember(t *testing.T) {
	w := ct.New(t, 3)
	ticket := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	fired := w.Brand.Member
	opens(t, w, ticket, 1, 1)
	other := custody.Member{Device: ct.Key(t), Revoked: memberList(t, w, 2, custody.KeyOf(fired.Device))}
	other.Cert = w.Certify(w.Brand.Root, custody.KeyOf(other.Device), custody.OrgMember, "desk 3", 3600)
	w.Brand.Member = other
	opens(t, w, ticket, 1, 1) // which shows the list
	w.Brand.Member = fired
	refused(t, w, ticket, 1, custody.MemberRevoked)
	w.Brand.Member.Revoked = memberList(t, w, 1)
	refused(t, w, ticket, 1, custody.MemberRevoked)
	// Let in again by a newer list.
	w.Brand.Member.Revoked = memberList(t, w, 3)
	opens(t, w, ticket, 1, 1)
	// Its own list speaks against it, and is learnt from the refusal.
	w.Brand.Member.Revoked = memberList(t, w, 4, custody.KeyOf(fired.Device))
	refused(t, w, ticket, 1, custody.MemberRevoked)
	w.Brand.Member.Revoked = nil
	refused(t, w, ticket, 1, custody.MemberRevoked)
	// Another organisation's list says nothing here.
	stranger := w.NewBrand()
	w.Brand.Member = other
	s, err := custody.Sign(stranger.Root, custody.MemberRevocations{Root: custody.KeyOf(stranger.Root), Number: 9, Devices: []custody.Key{custody.KeyOf(other.Device)}, At: w.Now})
	if err != nil {
		t.Fatal(err)
	}
	w.Brand.Member.Revoked = s.Raw
	refused(t, w, ticket, 1, custody.WrongBrand)
}

// TestRequestIsKept: a request that was written down is repeated as it was, gets
// the same answers, and opens.
func TestRequestIsKept(t *testing.T) {
	w := ct.New(t, 3)
	ticket := w.Grant(w.Terms(3600, 1, 2), ct.Item(1, 1), ct.Item(2, 1))
	o := request(t, w, ticket, 1)
	releases, _ := w.Ask(o, w.Custodians[0])
	raw, err := o.Keep()
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.Brand.Member.Resume(ticket, raw)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Request.Raw, o.Request.Raw) || again.Have() != 1 {
		t.Fatalf("%d agreed after it was read again", again.Have())
	}
	if err := again.Add(releases[0]); err != nil || again.Have() != 1 {
		t.Fatalf("the same release again: %d, %v", again.Have(), err)
	}
	w.Ask(again, w.Custodians[1:]...)
	if raw, err = again.Keep(); err != nil { // any number of times
		t.Fatal(err)
	}
	if again, err = w.Brand.Member.Resume(ticket, raw); err != nil || again.Have() != 3 {
		t.Fatal("written down twice: ", err)
	}
	// Both locks, one on another machine.
	second, err := custody.SecondLock(w.Brand.KEM, ticket.Grant, ticket.Package.Body.Enc, ct.File(1), 1)
	if err != nil {
		t.Fatal(err)
	}
	if key, err := again.Unlock(second); err != nil || key != ct.Secret(1, 1) {
		t.Fatalf("not the key: %v", err)
	}
	other, err := custody.SecondLock(w.Brand.KEM, ticket.Grant, ticket.Package.Body.Enc, ct.File(2), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Unlock(other); err == nil {
		t.Error("another file's second lock opens")
	}
	if _, err := custody.SecondLock(w.NewBrand().KEM, ticket.Grant, ticket.Package.Body.Enc, ct.File(1), 1); err == nil {
		t.Error("another brand has the second lock")
	}
	again.Forget()
	if _, err := again.Unlock(second); err == nil {
		t.Error("it opens after it was forgotten")
	}
	// It is of no use for another ticket or device, nor damaged.
	for name, use := range map[string]func() error{
		"another ticket": func() error {
			_, err := w.Brand.Member.Resume(w.Grant(w.Terms(3600, 1), ct.Item(1, 1)), raw)
			return err
		},
		"another device": func() error { _, err := w.NewBrand().Member.Resume(ticket, raw); return err },
		"a byte less":    func() error { _, err := w.Brand.Member.Resume(ticket, raw[:len(raw)-1]); return err },
	} {
		if err := use(); !errors.Is(err, custody.ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
}

// What nobody could read again is not signed.
func TestSignRefusesTextThatIsNoText(t *testing.T) {
	key := ct.Key(t)
	r := custody.Revocation{Grant: custody.Hash{1}, At: 1, Cert: []byte{1}}
	for reason, want := range map[string]bool{"a mistake": true, "\xff": false, "é"[:1]: false} {
		r.Reason = reason
		if _, err := custody.Sign(key, r); (err == nil) != want {
			t.Errorf("%q: %v", reason, err)
		}
	}
}
