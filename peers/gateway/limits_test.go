// SPDX-License-Identifier: MPL-2.0

package gateway

import (
	"testing"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
)

func TestWithdrawalsAreFew(t *testing.T) {
	s, ctx := newScene(t), t.Context()
	s.introduce()
	withdraw := func(h custody.Hash) {
		t.Helper()
		r, err := s.w.Owner.Revoke(h, s.w.Now, "")
		s.must(err)
		s.must(s.g.Statement(ctx, owner, r.Raw))
	}
	s.must(s.g.Present(ctx, guest, s.permit(s.w.Owner.Device, nil)))
	withdraw(s.grant.Hash)
	s.w.Now += 3600 // the permitted grant is over
	withdraw(custody.Hash{1})
	if len(s.g.revoked) != 1 {
		t.Errorf("%d withdrawals are kept, one of a grant that ended", len(s.g.revoked))
	}
	root := custody.KeyOf(s.w.Root)
	for i := range maxRevoked {
		s.g.revoked[granted{root, custody.Hash{2, byte(i), byte(i >> 8)}}] = s.w.Now + 1e6
	}
	s.g.revoked[granted{custody.Key{7}, custody.Hash{7}}] = s.w.Now + 1
	withdraw(custody.Hash{3})
	s.open()
	if n := len(s.g.revoked); n != maxRevoked+2 || s.g.revoked[granted{root, custody.Hash{3}}] == 0 || s.g.revoked[granted{custody.Key{7}, custody.Hash{7}}] == 0 {
		t.Errorf("%d withdrawals of two owners, or the wrong ones", n)
	}
	// What could not be read again is not written.
	for i := range 60000 {
		s.g.revoked[granted{custody.Key{8}, custody.Hash{4, byte(i), byte(i >> 8)}}] = s.w.Now + 1e6
	}
	r, err := s.w.Owner.Revoke(custody.Hash{5}, s.w.Now, "")
	s.must(err)
	s.refused("a withdrawal that makes the file too large", s.g.Statement(ctx, owner, r.Raw))
	if s.g.revoked[granted{root, custody.Hash{5}}] != 0 {
		t.Error("what was not saved is remembered")
	}
	s.open()
}

// A device is one person's.
func TestAnIntroductionReplacesTheLast(t *testing.T) {
	s, ctx := newScene(t), t.Context()
	s.introduce()
	s.must(s.g.Present(ctx, guest, s.permit(s.w.Owner.Device, nil)))
	again := ct.New(t, 3)
	in, err := custody.Sign(again.Root, ticket.Intro{Root: custody.KeyOf(again.Root), Device: owner, At: s.w.Now})
	s.must(err)
	s.must(s.g.Statement(ctx, owner, in.Raw))
	s.must(s.g.Statement(ctx, owner, in.Raw))
	_, err = s.g.Lender(guest, shard)
	s.refused("a permit of a person whose device it is no more", err)
	s.open()
	if d := s.g.owners[custody.KeyOf(again.Root)]; len(s.g.owners) != 1 || len(d) != 1 || d[0] != owner {
		t.Errorf("%v", s.g.owners)
	}
}

// No brand takes the places of others: its own that was used least makes room.
func TestABrandHasFewPlaces(t *testing.T) {
	s, ctx := newScene(t), t.Context()
	s.introduce()
	device := func(grant, i int) peers.DeviceID { return peers.DeviceID{3, byte(grant), byte(i)} }
	visit := func(d peers.DeviceID) {
		t.Helper()
		s.must(s.g.Present(ctx, d, s.pass(s.w.Brand.Member.Device, s.plan(nil), func(p *ticket.Pass) { p.Guest = d })))
	}
	first := s.grant
	for i := range maxPerGrant {
		visit(device(0, i))
	}
	visit(device(0, 0)) // renewed: nobody goes
	if len(s.g.stays) != maxPerGrant {
		t.Fatalf("%d stays", len(s.g.stays))
	}
	if _, err := s.g.stay(device(0, 1), func(*stay) bool { return true }); err != nil {
		t.Fatal(err)
	}
	visit(device(0, 99))
	if len(s.g.stays) != maxPerGrant || s.g.Known(device(0, 2)) || !s.g.Known(device(0, 0)) || !s.g.Known(device(0, 1)) || !s.g.Known(device(0, 99)) {
		t.Errorf("%d stays, or the wrong one went", len(s.g.stays))
	}
	// Over all its grants, too; another brand is none the worse.
	grant := func() {
		t.Helper()
		terms := s.w.Terms(3600, 1)
		terms.Gateways[0].Device = self
		var err error
		s.grant, err = s.w.Owner.Grant(s.w.Now, terms)
		s.must(err)
	}
	brand := s.w.Brand
	s.w.Brand = s.w.NewBrand()
	grant()
	visit(guest)
	s.w.Brand = brand
	for g := 1; g <= maxPerGrantee/maxPerGrant; g++ {
		grant()
		for i := range maxPerGrant {
			visit(device(g, i))
		}
	}
	if len(s.g.stays) != maxPerGrantee+1 || !s.g.Known(guest) || s.g.Known(device(0, 1)) {
		t.Errorf("%d stays, or the wrong ones", len(s.g.stays))
	}
	if s.grant == first {
		t.Error("the same grant")
	}
}

func TestAGatewayHasFewPermitsOfAnOwner(t *testing.T) {
	s, ctx := newScene(t), t.Context()
	s.introduce()
	show := func(d peers.DeviceID, i byte) {
		t.Helper()
		s.must(s.g.Present(ctx, d, s.permit(s.w.Owner.Device, func(p *ticket.Permit) {
			p.Gateway, p.Grant, p.Shards = d, custody.Hash{i}, append([]byte{i}, make([]byte, 31)...)
		})))
	}
	lent := func(d peers.DeviceID, i byte) bool {
		_, err := s.g.Lender(d, peers.ShardID{i})
		return err == nil
	}
	show(other, 0)
	for i := range byte(maxPerGateway) {
		show(guest, i)
	}
	show(guest, 0) // renewed: nobody goes
	if !lent(guest, 1) {
		t.Fatal("a permit is gone too soon")
	}
	show(guest, maxPerGateway)
	if len(s.g.permits) != maxPerGateway+1 || !lent(other, 0) || !lent(guest, 0) || !lent(guest, 1) || lent(guest, 2) || !lent(guest, maxPerGateway) {
		t.Errorf("%d permits, or the wrong ones", len(s.g.permits))
	}
}
