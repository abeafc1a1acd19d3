// SPDX-License-Identifier: MPL-2.0

//go:build unix

package grants_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/preezm/preezm/app/node"
)

// TestStuckCustodian stops one custodian's process, so that it takes connections
// and says nothing: the others serve on, and soon as fast as before.
func TestStuckCustodian(t *testing.T) {
	w := newWorld(t)
	g := w.grant("papers", "--for", "1h", "--via", "keeper1")
	w.opens(g.Ticket)
	stuck := w.fleet.Keepers[4].About().PID
	w.must(syscall.Kill(stuck, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(stuck, syscall.SIGCONT) })
	w.opens(g.Ticket) // costs a moment
	w.poll("an opening beside a stuck custodian that does not wait for it", func() bool {
		begin := time.Now()
		w.opens(g.Ticket)
		return time.Since(begin) < 5*time.Second
	})
	// With two more gone the stuck one is needed, and is waited for.
	w.must(w.fleet.Keepers[2].Kill())
	w.must(w.fleet.Keepers[3].Kill())
	if r, _ := w.open(g.Ticket); r.Code != 1 || !strings.Contains(string(r.Stderr), "2 of the 3 custodians needed have agreed") {
		t.Fatalf("exit status %d: %s", r.Code, r.Stderr)
	}
	w.must(syscall.Kill(stuck, syscall.SIGCONT))
	w.poll("an opening with the custodian that goes on", func() bool {
		r, _ := w.open(g.Ticket)
		return r.Code == 0
	})
}

// TestReasonsReachBrandAndLog: each in its own words to the brand, and under its
// own name in the logs. The others need documents that no command makes; package
// witness tries all of them.
func TestReasonsReachBrandAndLog(t *testing.T) {
	w := newWorld(t)
	logged := func(id string) map[string]int {
		var l node.LedgerView
		w.must(w.fleet.Owner.Must(w.ctx, &l, "ledger", "--grant", id))
		out := map[string]int{}
		for _, e := range l.Entries {
			if e.Kind == "refuse" {
				reason, _, _ := strings.Cut(e.Detail, " ")
				out[reason]++
			}
		}
		return out
	}
	expect := func(g *node.Granted, words, reason string) {
		t.Helper()
		w.refused(g.Ticket, words)
		if n := logged(g.ID); n[reason] < 3 {
			t.Errorf("%s: the logs tell of %v", reason, n)
		}
	}
	letter := "papers/letter.txt"
	expect(w.grant(letter, "--for", "1h", "--via", "keeper1", "--from", time.Now().Add(time.Hour).Format(time.RFC3339)), "has not begun", "too_early")
	short := w.grant(letter, "--for", "2s")
	waitUntil(t, short.NotAfter)
	expect(short, "has ended", "expired")
	revoked := w.grant(letter, "--for", "1h")
	w.must(w.fleet.Owner.Must(w.ctx, nil, "revoke", revoked.ID))
	expect(revoked, "withdrawn", "revoked")
	once := w.grant(letter, "--for", "1h", "--opens", "1")
	if r, _ := w.open(once.Ticket); r.Code != 0 {
		t.Fatalf("the first time: %s", r.Stderr)
	}
	expect(once, "as often as the owner allowed", "used_up")

	// An owner that is not heard of: its node says it is there when the grant is
	// made, and not again.
	silent := w.grant(letter, "--for", "1h", "--status-max-age", "1m")
	if r, _ := w.open(silent.Ticket); r.Code != 0 {
		t.Fatalf("an owner that was heard of a moment ago: %s", r.Stderr)
	}
	for _, k := range w.fleet.Keepers {
		w.restart(k, "90s") // rather than to wait
	}
	w.poll("a refusal because the owner is silent", func() bool {
		r, _ := w.open(silent.Ticket)
		return r.Code == 1 && logged(silent.ID)["owner_silent"] >= 3
	})
	w.refused(silent.Ticket, "have not heard from the owner")
	// Its running node opens the grant again.
	w.must(w.fleet.Owner.Start(w.ctx, "--clock-shift", "90s"))
	w.poll("an opening once the owner is heard of", func() bool {
		r, _ := w.open(silent.Ticket)
		return r.Code == 0
	})
}
