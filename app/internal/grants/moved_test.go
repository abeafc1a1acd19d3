// SPDX-License-Identifier: MPL-2.0

package grants_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
)

// TestMachinesMove: a ticket that was sent opens when every machine behind its
// gateway has another address, once the owner's running node has said so.
func TestMachinesMove(t *testing.T) {
	w := newWorld(t)
	g := w.grant("papers", "--for", "1h", "--via", "keeper1")
	w.must(w.fleet.Owner.Start(w.ctx))
	w.opens(g.Ticket)
	// Whom could they tell, before they know where the owner is?
	w.poll("the keepers' knowing the owner's address", func() bool {
		for _, k := range w.fleet.Keepers[1:] {
			var members []node.Member
			w.must(k.Must(w.ctx, &members, "circle"))
			if len(members) != 1 || !slices.Contains(members[0].Addresses, w.fleet.Owner.About().Addresses[0]) {
				return false
			}
		}
		return true
	})
	for _, k := range w.fleet.Keepers[1:] {
		w.must(k.Stop(w.ctx))
	}
	for _, k := range w.fleet.Keepers[1:] { // all at once, so that none gets another's place
		w.must(k.Start(w.ctx, "--listen", e2e.Loopback()))
	}
	// They tell their own peers, of whom the owner is one and the gateway is not.
	w.poll("an opening by the old ticket", func() bool {
		r, err := w.brand.Run(w.ctx, "open", g.Ticket, "--to", filepath.Join(t.TempDir(), "opened"))
		return err == nil && r.Code == 0
	})
	w.opens(g.Ticket)
}
