// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
)

// A custodian whose home was put back from an older copy gives nothing once a
// fellow shows it a head that it signed since, also after a restart. Appointed anew
// it begins a new log, and agrees to grants whose uses nobody has to have counted.
func TestOlderCopyGivesNothing(t *testing.T) {
	w := newWorld(t, 2)
	w.name()
	a, b := w.homes[0], w.homes[1]
	once := w.grant(3600, func(terms *custody.Terms) { terms.MaxOpens = 1 })
	often := w.grant(3600, nil)
	copied := t.TempDir()
	a.close()
	check(t, os.CopyFS(copied, os.DirFS(a.dir)))
	a.open()
	want(t, a.reason(w.request(once), once), "")
	o, err := b.svc.owner(custody.KeyOf(w.Root))
	check(t, err)
	tell := func(from *home, to *home) {
		t.Helper()
		o, err := from.svc.owner(custody.KeyOf(w.Root))
		check(t, err)
		check(t, from.svc.tell(t.Context(), o, to.opts.Device, Client{as{to.svc, from.opts.Device}}))
	}
	tell(a, b)
	a.close()
	for _, name := range []string{File, File + "-wal"} {
		raw, err := os.ReadFile(filepath.Join(copied, name))
		if os.IsNotExist(err) {
			check(t, os.RemoveAll(filepath.Join(a.dir, name)))
			continue
		}
		check(t, err)
		check(t, os.WriteFile(filepath.Join(a.dir, name), raw, 0o600))
	}
	a.open()
	tell(a, b)
	want(t, a.reason(w.request(once), once), custody.Forgot)
	want(t, a.reason(w.request(often), often), custody.Forgot)
	a.restart()
	want(t, a.reason(w.request(once), once), custody.Forgot)
	if o.behind {
		t.Error("the other one gives nothing either")
	}

	w.Now++
	_, err = a.byOwner().Appoint(t.Context(), a.appointing(w, 0, w.Now))
	check(t, err)
	if n := a.count(ledger.Begin); n != 1 {
		t.Errorf("%d new beginnings in its log", n)
	}
	tell(a, b) // who still has heads of the log before
	want(t, a.reason(w.request(once), once), custody.Forgot)
	want(t, a.reason(w.request(often), often), "")
	w.Now++
	again := w.grant(3600, func(terms *custody.Terms) { terms.MaxOpens = 1 })
	want(t, a.reason(w.request(again), again), "")
	want(t, a.reason(w.request(again), again), custody.UsedUp)
	want(t, b.reason(w.request(once), once), "")
}

// The owner has more of a log than its custodian: that shows at the appointment.
func TestOwnerKnowsMoreOfTheLog(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	in := h.appointing(w, 0, w.Now)
	in.Entries = 3
	w.Now++
	_, err := h.byOwner().Appoint(t.Context(), in)
	check(t, err)
	if n := h.count(ledger.Begin); n != 1 {
		t.Errorf("%d new beginnings in its log", n)
	}
}
