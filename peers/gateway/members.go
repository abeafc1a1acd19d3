// SPDX-License-Identifier: MPL-2.0

package gateway

import (
	"fmt"
	"maps"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
)

// member checks that a pass is by a device of the brand that is in use now. A
// newer list of revoked members that it shows is remembered, and whoever is on
// it has to leave at once, also when it is the one that shows it. The caller
// holds the lock.
func (g *Gateway) member(pass *custody.Signed[ticket.Pass], org custody.Key, now int64) error {
	var known *custody.MemberRevocations
	if l := g.members[org]; l != nil {
		known = &l.Body
	}
	_, list, why, err := custody.Membership(pass.Body.Cert, pass.Body.Members, org, pass.Signer, now, known)
	if list != nil {
		if kerr := g.keepList(list); kerr != nil {
			return kerr
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", why, err)
	}
	return nil
}

// keepList remembers a list. Without room for another brand's it is only heeded
// this once: the custodians keep it too. The caller holds the lock.
func (g *Gateway) keepList(l *custody.Signed[custody.MemberRevocations]) error {
	org := l.Body.Root
	for k, s := range g.stays {
		if s.grant.Body.Grantee == org && l.Body.Lists(s.signer) {
			s.close()
			delete(g.stays, k)
		}
	}
	if g.members[org] == nil && len(g.members) >= maxLists {
		return nil
	}
	before := g.members
	g.members = maps.Clone(before)
	g.members[org] = l
	if err := g.save(); err != nil {
		g.members = before
		return fmt.Errorf("remember who was shut out: %w", err)
	}
	return nil
}
