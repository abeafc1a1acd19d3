// SPDX-License-Identifier: MPL-2.0

package gateway

import (
	"crypto/ed25519"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/ticket"
)

// devices signs a list of the owner's devices.
func (s *scene) devices(root ed25519.PrivateKey, epoch uint64, kept []custody.Hash, devices ...custody.Key) []byte {
	s.Helper()
	set, err := custody.Sign(root, custody.DeviceSet{Root: custody.KeyOf(root), Epoch: epoch, Devices: devices, Kept: kept, At: s.w.Now})
	s.must(err)
	return set.Raw
}

// by makes a plan signed by one of the owner's devices.
func (s *scene) by(key ed25519.PrivateKey, cert []byte, seq uint64) []byte {
	s.Helper()
	signed, err := custody.Sign(key, ticket.Plan{Grant: s.grant.Hash, Gateway: self, Owner: owner, Seq: seq, Cert: cert})
	s.must(err)
	b, err := ticket.SealPlan(signed, s.kem.PublicKey().Bytes())
	s.must(err)
	return b
}

// TestRemovedDeviceLaysNoPlans: what a removed machine of the owner signed leads
// nowhere any more, whatever its number; a grant that stays good is served by the
// plan of another machine, to whoever shows the old ticket.
func TestRemovedDeviceLaysNoPlans(t *testing.T) {
	s := newScene(t)
	ctx := t.Context()
	phone, cert := s.w.Device("phone")
	lost := custody.KeyOf(s.w.Owner.Device)
	list := func(epoch uint64, kept ...custody.Hash) []byte {
		return s.devices(s.w.Root, epoch, kept, custody.KeyOf(phone))
	}
	show := func(plan []byte) error {
		return s.g.Present(ctx, guest, s.pass(s.w.Brand.Member.Device, plan, nil))
	}
	lend := func() error {
		s.must(s.g.presentPermit(guest, s.permit(s.w.Owner.Device, nil)))
		_, err := s.g.Lender(guest, shard)
		return err
	}
	s.refused("a list of a person nobody introduced", s.g.Statement(ctx, owner, list(2)))
	s.introduce()
	s.must(s.g.Statement(ctx, owner, s.devices(s.w.Root, 1, nil, lost, custody.KeyOf(phone))))
	old := s.by(s.w.Owner.Device, s.w.Owner.Cert, 1)
	s.must(show(old))
	s.must(s.push(owner, s.by(s.w.Owner.Device, s.w.Owner.Cert, 1<<62)))
	s.must(lend())

	s.refused("a list by somebody else", s.g.Statement(ctx, owner, s.devices(ct.Key(t), 9, nil)))
	s.refused("a list from a stranger", s.g.Statement(ctx, other, list(2)))
	s.must(s.g.Statement(ctx, owner, list(2, s.grant.Hash)))
	s.must(s.g.Statement(ctx, owner, s.devices(s.w.Root, 1, nil, lost))) // an old one is no news
	for range 2 {
		_, err := s.g.stay(guest, func(*stay) bool { return true })
		s.refused("the guest that was there", err)
		_, err = s.g.Lender(guest, shard)
		s.refused("a permit that was shown", err)
		s.refused("a removed device's plan in a ticket", show(old))
		s.refused("a removed device's plan, pushed", s.push(owner, s.by(s.w.Owner.Device, s.w.Owner.Cert, 1<<62)))
		s.refused("a removed device's permit", s.g.Present(ctx, guest, s.permit(s.w.Owner.Device, nil)))
		s.open() // and after a restart
	}
	s.must(s.push(owner, s.by(phone, cert, 5)))
	s.must(show(old))
	if got := s.goesBy(); got != 5 {
		t.Errorf("it goes by plan %d", got)
	}
	// A grant that the list does not keep was dated back by a thief.
	s.must(s.g.Statement(ctx, owner, list(3)))
	s.refused("a grant that is not kept", show(s.by(phone, cert, 6)))
	if st := s.g.standing(granted{custody.KeyOf(s.w.Root), s.grant.Hash}); st != nil {
		t.Error("letters still find a way under it")
	}
}
