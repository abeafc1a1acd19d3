// SPDX-License-Identifier: MPL-2.0

package grants_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/custody"
)

// ratchet opens the sealed place of a custodian's chains.
func (w *world) ratchet(h *e2e.Home) []custody.Chain {
	w.Helper()
	out, err := chainsIn(h.Dir)
	w.must(err)
	return out
}

// TestSeizedMachinesGiveNothing: days after the end, whoever takes all custodians'
// machines, opens everything on them and has the brand's help, has nothing that
// leads to the key of a grant that was not opened.
func TestSeizedMachinesGiveNothing(t *testing.T) {
	w := newWorld(t)
	ks := w.fleet.Keepers
	g := w.grant("papers", "--for", "3s", "--via", "keeper1")
	day := custody.ExpiryDay(g.NotAfter.Unix())
	waitUntil(t, g.NotAfter)
	w.refused(g.Ticket, "has ended")
	// The key is there until the day is over: this is what forgetting is for.
	for _, k := range ks {
		w.must(k.Stop(w.ctx))
		for _, c := range w.ratchet(k) {
			if _, err := c.At(day); err != nil && time.Now().Unix() < int64(day)*86400 {
				t.Errorf("before the day is over %s has forgotten it: %v", filepath.Base(k.Dir), err)
			}
		}
	}
	// No clock may go on by two days alone.
	for _, shift := range []string{"47h", "94h"} {
		for _, k := range ks {
			w.must(k.Start(w.ctx, "--clock-shift", shift))
		}
		w.poll("the ratchets' steps", func() bool {
			var l node.LedgerView
			w.must(w.fleet.Owner.Must(w.ctx, &l, "ledger"))
			first := map[string]uint64{}
			for _, e := range l.Entries {
				if e.Kind == "erase" {
					n, err := strconv.ParseUint(e.Detail, 10, 32)
					w.must(err)
					first[e.Custodian] = max(first[e.Custodian], n)
				}
			}
			n := 0
			for _, d := range first {
				if shift == "47h" || d > uint64(day) {
					n++
				}
			}
			return n == keepers
		})
		for _, k := range ks {
			w.must(k.Stop(w.ctx))
		}
	}

	secrets := w.locks(g.Ticket)
	for _, k := range ks {
		chains := w.ratchet(k)
		if len(chains) != 1 {
			t.Errorf("%s keeps %d chains", filepath.Base(k.Dir), len(chains))
		}
		text := w.homeText(k)
		for _, c := range chains {
			if _, err := c.At(day); !errors.Is(err, custody.ErrErased) {
				t.Errorf("the chain of %s still leads to that day: %v", filepath.Base(k.Dir), err)
			}
			text = append(text, c.Key[:]...)
		}
		for what, secret := range secrets {
			if bytes.Contains(text, secret) {
				t.Errorf("%s still has the %s", filepath.Base(k.Dir), what)
			}
		}
	}
}
