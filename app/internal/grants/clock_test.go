// SPDX-License-Identifier: MPL-2.0

package grants_test

import (
	"testing"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
)

// restart runs a machine again with its clock wrong by a duration.
func (w *world) restart(k *e2e.Home, shift string) {
	w.Helper()
	w.must(k.Kill())
	w.must(k.Start(w.ctx, "--clock-shift", shift))
}

// TestClocks runs custodians whose clocks are wrong, in processes of their own.
func TestClocks(t *testing.T) {
	w := newWorld(t)
	ks := w.fleet.Keepers
	g := w.grant("papers/letter.txt", "--for", "1h", "--via", "keeper1")
	long := w.grant("papers/letter.txt", "--for", "90d", "--via", "keeper1")
	open := func(g *node.Granted) int {
		r, _ := w.open(g.Ticket)
		return r.Code
	}
	// A gateway leaves a machine alone for some seconds that did not answer.
	opens := func(g *node.Granted, what string) {
		t.Helper()
		w.poll(what, func() bool { return open(g) == 0 })
	}

	// One clock a year off, either way, changes nothing; its custodian does
	// not count, so that two good ones of three needed are too few.
	for _, shift := range []string{"8760h", "-8760h"} {
		w.restart(ks[4], shift)
		opens(g, "one clock off by "+shift)
		w.must(ks[2].Kill())
		w.must(ks[3].Kill())
		if code := open(g); code != 1 {
			t.Fatalf("two good clocks and one off by %s: exit status %d", shift, code)
		}
		w.must(ks[2].Start(w.ctx))
		w.must(ks[3].Start(w.ctx))
	}

	// All of them but the gateway, which asks brands for the time, by less than
	// two days: across the end of a grant and a day of the ratchet.
	for _, k := range ks { // none may hear one that is still right
		w.must(k.Kill())
	}
	for _, k := range ks[1:] {
		w.must(k.Start(w.ctx, "--clock-shift", "47h"))
	}
	w.must(ks[0].Start(w.ctx))
	opens(long, "a grant that goes on, after the ratchet's step")
	w.refused(g.Ticket, "the grant has ended")
	w.poll("the forgetting of a day", func() bool {
		var l node.LedgerView
		w.must(w.fleet.Owner.Must(w.ctx, &l, "ledger"))
		erased := map[string]bool{}
		for _, e := range l.Entries {
			if e.Kind == "erase" {
				erased[e.Custodian] = true
			}
		}
		return len(erased) == keepers-1
	})
}
