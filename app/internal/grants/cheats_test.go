// SPDX-License-Identifier: MPL-2.0

package grants_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/peers/witness"
)

// patience bounds an opening beside custodians that hold it up, on a busy machine.
const patience = 60 * time.Second

// report opens a ticket and gives what the command says of it.
func (w *world) report(ticket string) (node.OpenReport, e2e.Result) {
	w.Helper()
	begin := time.Now()
	r, _ := w.open(ticket, "--json")
	if d := time.Since(begin); d > patience {
		w.Errorf("an opening took %v", d)
	}
	var o node.OpenReport
	w.must(json.Unmarshal(r.Stdout, &o))
	return o, r
}

// badLogs are the custodians whose logs are not in order, by what is said of them.
func (w *world) badLogs() map[string]string {
	w.Helper()
	r, err := w.fleet.Owner.Run(w.ctx, "verify-ledger", "--json")
	w.must(err)
	var all []grants.Checked
	w.must(json.Unmarshal(r.Stdout, &all))
	bad := map[string]string{}
	for _, c := range all {
		if !c.Good {
			bad[c.Custodian] = c.Why.Text
		}
	}
	if (r.Code == 1) != (len(bad) > 0) {
		w.Errorf("exit status %d with %d bad logs", r.Code, len(bad))
	}
	return bad
}

// TestCheatingCustodians: two of five custodians are programs that cheat, in
// processes of their own. What was granted opens with the three honest ones, in
// time, and whoever can be told to have cheated is named.
func TestCheatingCustodians(t *testing.T) {
	w := newWorld(t)
	ks := w.fleet.Keepers
	g := w.grant("papers/letter.txt", "--for", "1h", "--via", "keeper1")
	opens := func() {
		t.Helper()
		if o, r := w.report(g.Ticket); r.Code != 0 || len(o.Files) != 1 {
			t.Fatalf("exit status %d: %s", r.Code, r.Stderr)
		}
	}

	t.Run("WrongShares", func(t *testing.T) {
		four, five := w.turn(ks[3], lies), w.turn(ks[4], lies)
		opens()
		// With one honest too few, everybody's answer is waited for.
		w.must(ks[2].Kill())
		o, r := w.report(g.Ticket)
		if r.Code != 1 || len(o.Liars) != 2 {
			t.Fatalf("exit status %d, %d liars: %s", r.Code, len(o.Liars), r.Stderr)
		}
		var names []string
		for _, key := range o.Liars {
			var who []node.KnownCustodian
			w.must(w.fleet.Owner.Must(w.ctx, &who, "custodians", "who", key[:16]))
			for _, k := range who {
				if k.Grant != g.ID || k.Brand != "ACME" {
					t.Errorf("the owner is told %+v", k)
				}
				names = append(names, k.Name)
			}
		}
		if slices.Sort(names); !slices.Equal(names, []string{"keeper4", "keeper5"}) {
			t.Errorf("named: %v", names)
		}
		w.must(ks[2].Start(w.ctx))
		w.must(four.Kill())
		w.must(five.Kill())
	})

	t.Run("Silence", func(t *testing.T) {
		four, five := w.turn(ks[3], silent), w.turn(ks[4], silent)
		w.poll("an opening beside two silent ones", func() bool {
			_, r := w.report(g.Ticket)
			return r.Code == 0
		})
		opens()
		w.must(four.Kill())
		w.must(five.Kill())
	})

	t.Run("OldState", func(t *testing.T) {
		before := t.TempDir()
		w.must(copyState(before, ks[3].Dir))
		w.must(ks[3].Start(w.ctx))
		w.must(ks[4].Start(w.ctx))
		var l node.LedgerView
		w.poll("an entry in the log of keeper4", func() bool {
			opens()
			l = node.LedgerView{}
			w.must(w.fleet.Owner.Must(w.ctx, &l, "ledger"))
			return slices.ContainsFunc(l.Entries, func(e grants.Line) bool { return e.Custodian == "keeper4" })
		})
		w.must(ks[3].Stop(w.ctx))
		w.must(copyState(ks[3].Dir, before))
		w.must(ks[3].Start(w.ctx))
		if bad := w.badLogs(); len(bad) != 1 || !strings.Contains(bad["keeper4"], "the log of keeper4") {
			t.Errorf("not in order: %v", bad)
		}
		opens()
		// The proof stands on what was received before.
		path := filepath.Join(t.TempDir(), "lease.zip")
		w.must(w.fleet.Owner.Must(w.ctx, nil, "proof", g.ID, "-o", path))
	})

	t.Run("TwoLogs", func(t *testing.T) {
		w.turn(ks[4], forks)
		// News of a withdrawal has the custodians tell each other of their logs.
		other := w.grant("papers/letter.txt", "--for", "1h")
		w.must(w.fleet.Owner.Must(w.ctx, nil, "revoke", other.ID))
		w.poll("the finding of the second log", func() bool {
			return strings.Contains(w.badLogs()["keeper5"], "the log of keeper5")
		})
		opens()
	})
}

// copyState copies what a custodian remembers, in place of what is there.
func copyState(to, from string) error {
	for _, name := range []string{witness.File, witness.File + "-wal", witness.File + "-shm", witness.Folder} {
		if err := os.RemoveAll(filepath.Join(to, name)); err != nil {
			return err
		}
		src := filepath.Join(from, name)
		fi, err := os.Stat(src)
		switch {
		case os.IsNotExist(err):
			continue
		case err != nil:
			return err
		case fi.IsDir():
			err = os.CopyFS(filepath.Join(to, name), os.DirFS(src))
		default:
			var raw []byte
			if raw, err = os.ReadFile(src); err == nil {
				err = os.WriteFile(filepath.Join(to, name), raw, 0o600)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
