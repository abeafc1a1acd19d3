// SPDX-License-Identifier: MPL-2.0

package gateway

import (
	"testing"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
)

// TestRevokedMembersHaveToLeave: whoever a newer list names loses its place at
// once, gets no new one, and also not after a restart.
func TestRevokedMembersHaveToLeave(t *testing.T) {
	s := newScene(t)
	s.introduce()
	s.must(s.g.Present(t.Context(), guest, s.pass(s.w.Brand.Member.Device, s.plan(nil), nil)))
	if !s.g.Known(guest) {
		t.Fatal("a good pass does not hold")
	}
	office := ct.Key(t)
	list, err := custody.Sign(s.w.Brand.Root, custody.MemberRevocations{
		Root: custody.KeyOf(s.w.Brand.Root), Number: 1, Devices: []custody.Key{custody.KeyOf(s.w.Brand.Member.Device)}, At: s.w.Now,
	})
	s.must(err)
	show := func(p *ticket.Pass) {
		p.Guest, p.Members = other, list.Raw
		p.Cert = s.w.Certify(s.w.Brand.Root, custody.KeyOf(office), custody.OrgMember, "office", 3600)
	}
	s.must(s.g.Present(t.Context(), other, s.pass(office, s.plan(nil), show)))
	if s.g.Known(guest) || !s.g.Known(other) {
		t.Error("the revoked member stays, or who showed the list has to leave")
	}
	for range 2 {
		s.refused("a revoked member", s.g.Present(t.Context(), guest, s.pass(s.w.Brand.Member.Device, s.plan(nil), nil)))
		s.open() // again, from what is on the disk
	}
	stranger := ct.Key(t)
	foreign, err := custody.Sign(stranger, custody.MemberRevocations{Root: custody.KeyOf(stranger), Number: 5, At: s.w.Now})
	s.must(err)
	s.refused("another organisation's list", s.g.Present(t.Context(), peers.DeviceID{9}, s.pass(office, s.plan(nil), func(p *ticket.Pass) {
		show(p)
		p.Guest, p.Members = peers.DeviceID{9}, foreign.Raw
	})))
}
