// SPDX-License-Identifier: MPL-2.0

package grants_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/preezm/preezm/app/node"
	owners "github.com/preezm/preezm/engine/grants"
)

// poll asks again until a thing is so.
func (w *world) poll(what string, so func() bool) {
	w.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(90 * time.Second); !so(); {
		select {
		case <-tick.C:
		case <-deadline:
			w.Fatalf("%s did not come about", what)
		}
	}
}

// TestCustodianIsRemoved: its chain is of no use for the grants that are made
// anew, and one that was away at the removal decides about them when it wakes.
func TestCustodianIsRemoved(t *testing.T) {
	w := newWorld(t)
	ks := w.fleet.Keepers
	old := w.grant("papers", "--for", "1h", "--via", "keeper1")
	w.opens(old.Ticket)
	w.must(ks[4].Kill())
	var r node.CustodianRemoved
	w.must(w.fleet.Owner.Must(w.ctx, &r, "custodians", "remove", "keeper2"))
	if r.Others != 4 || r.Appointed != 3 || len(r.Replaced) != 1 || r.Replaced[0].New == nil {
		t.Fatalf("removed: %+v", r)
	}
	next := r.Replaced[0].New
	if next.Need != 3 || next.Custodians != 4 || !next.NotAfter.Equal(old.NotAfter) {
		t.Errorf("the new grant: %d of %d until %v", next.Need, next.Custodians, next.NotAfter)
	}
	w.refused(old.Ticket, "withdrawn")
	if in := w.info(old.ID); in.State != owners.Revoked || in.Successor != next.ID || in.Told < in.Quorum {
		t.Errorf("the old grant: %s, followed by %q, %d of %d know", in.State, in.Successor, in.Told, in.Quorum)
	}
	w.opens(next.Ticket)
	// Three of the four are needed: the removed one, which runs, is no help.
	w.must(ks[3].Kill())
	if res, _ := w.open(next.Ticket); res.Code != 1 {
		t.Fatalf("two custodians and the removed one: exit status %d", res.Code)
	}
	// The fifth gets its new chain from the owner's running node.
	w.must(w.fleet.Owner.Start(w.ctx))
	w.must(ks[4].Start(w.ctx))
	w.poll("an opening with the one that was away", func() bool {
		res, err := w.brand.Run(w.ctx, "open", next.Ticket, "--to", filepath.Join(t.TempDir(), "opened"))
		return err == nil && res.Code == 0
	})
}
