// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"testing"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/custody/custodytest"
)

// TestRevokedMembersAreRemembered: a list that one request showed is heeded for
// all that come later, also after a restart.
func TestRevokedMembersAreRemembered(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	ticket := w.grant(3600, nil)
	fired := w.Brand.Member
	want(t, h.reason(w.request(ticket), ticket), "")
	list, err := custody.Sign(w.Brand.Root, custody.MemberRevocations{
		Root: custody.KeyOf(w.Brand.Root), Number: 1, Devices: []custody.Key{custody.KeyOf(fired.Device)}, At: w.Now,
	})
	check(t, err)
	w.Brand.Member = custody.Member{Device: custodytest.Key(t), Revoked: list.Raw}
	w.Brand.Member.Cert = w.Certify(w.Brand.Root, custody.KeyOf(w.Brand.Member.Device), custody.OrgMember, "desk 3", 3600)
	want(t, h.reason(w.request(ticket), ticket), "")
	w.Brand.Member = fired
	want(t, h.reason(w.request(ticket), ticket), custody.MemberRevoked)
	h.restart()
	want(t, h.reason(w.request(ticket), ticket), custody.MemberRevoked)
}
