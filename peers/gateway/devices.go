// SPDX-License-Identifier: MPL-2.0

package gateway

import (
	"errors"
	"slices"

	"github.com/preezm/preezm/engine/custody"
)

var (
	errNobody = errors.New("the grant is by nobody of this circle")
	errGone   = errors.New("the device that signed it is not the owner's any more")
)

// signs says whether a device is in the newest list of a person's devices that
// this gateway was told. Without a list the certificates have to do. The caller
// holds the lock.
func (g *Gateway) signs(root, device custody.Key) bool {
	set := g.sets[root]
	return set == nil || slices.Contains(set.Body.Devices, device)
}

// sound says whether a way to a grant's files and custodians may be gone: it was
// laid by a device that is in the circle and the owner's, and so is the grant. A
// list keeps grants that a removed device made, and neither plans nor permits:
// another device makes new ones. The caller holds the lock.
func (g *Gateway) sound(s *stay) error {
	b := &s.grant.Body
	if !g.known(b.Owner, s.plan.Owner) {
		return errNobody
	}
	if set := g.sets[b.Owner]; !g.signs(b.Owner, s.by) || set != nil && !set.Body.Standing(s.grant.Signer, s.grant.Hash) {
		return errGone
	}
	return nil
}

// learn takes a newer list of a person's devices, and lets go of all that others
// signed: they may have been stolen. The caller holds the lock.
func (g *Gateway) learn(set *custody.Signed[custody.DeviceSet]) error {
	root := set.Body.Root
	if known := g.sets[root]; known != nil && known.Body.Epoch >= set.Body.Epoch {
		return nil
	}
	if err := g.store.putSet(root, set); err != nil {
		return err
	}
	g.sets[root] = set
	for k, s := range g.stays {
		if k.root == root && g.sound(s) != nil {
			s.close()
			delete(g.stays, k)
		}
	}
	for k, s := range g.couriers {
		if k.root == root && g.sound(s) != nil {
			s.close()
			delete(g.couriers, k)
		}
	}
	for k, p := range g.permits {
		if k.root == root && !g.signs(root, p.by) {
			delete(g.permits, k)
		}
	}
	return g.dropPlans(root)
}

// dropPlans forgets the plans of a person that are not sound: one with a high
// number would keep good ones out. The caller holds the lock.
func (g *Gateway) dropPlans(root custody.Key) error {
	rows, err := g.store.plansBy(root)
	if err != nil {
		return err
	}
	for hash, row := range rows {
		k := granted{root, hash}
		if s, err := g.stored(row, k); err == nil && g.sound(s) == nil {
			continue
		}
		if err := g.store.dropPlan(k); err != nil {
			return err
		}
	}
	return nil
}

// forgetSets forgets the lists of persons that no device is of any more. The
// caller holds the lock.
func (g *Gateway) forgetSets() error {
	for root := range g.sets {
		if _, ok := g.owners[root]; ok {
			continue
		}
		if err := g.store.dropSet(root); err != nil {
			return err
		}
		delete(g.sets, root)
	}
	return nil
}
