// SPDX-License-Identifier: MPL-2.0

//go:build unix

package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

// TestRemovalKilled kills the owner's process again and again while it empties
// a keeper that leaves. Whatever is left of it then, nothing is lost, and in
// the end the keeper is out and holds nothing.
func TestRemovalKilled(t *testing.T) {
	r := newRig(t, 5, "4GB", nil)
	src := r.material()
	for round := range 2 * long() {
		if len(r.Keepers) <= 3 {
			break
		}
		at := r.rng.IntN(len(r.Keepers))
		k := r.Keepers[at]
		name := k.About().Name
		for try := range 6 {
			r.check(r.Owner.Start(r.ctx))
			removal := r.background("circle", "remove", name)
			r.after(time.Duration(5+r.rng.IntN(250)) * time.Millisecond)
			r.check(r.Owner.Kill())
			res := <-removal
			r.Logf("round %d, try %d: %s: exit status %d", round, try, name, res.Code)
			to := filepath.Join(r.dir, fmt.Sprint("back", round, try))
			r.must(nil, "get", "src", "--to", to)
			r.same(src, filepath.Join(to, "src"))
			r.check(os.RemoveAll(to))
			if res.Code == 0 {
				break
			}
		}
		// What was begun is ended by the node itself, or by the same command.
		r.check(r.Owner.Start(r.ctx))
		r.until("the keeper is not out", func() error {
			for _, m := range r.members() {
				if m.Name == name && m.Leaving {
					return fmt.Errorf("%s still leaves", name)
				}
			}
			return nil
		})
		for _, m := range r.members() {
			if m.Name == name {
				r.must(nil, "circle", "remove", name)
			}
		}
		r.check(r.Owner.Stop(r.ctx))
		r.until("it still holds pieces", func() error {
			if n := len(r.shardFiles(k)); n > 0 {
				return fmt.Errorf("%s holds %d", name, n)
			}
			return nil
		})
		r.check(k.Kill())
		r.Keepers = append(r.Keepers[:at:at], r.Keepers[at+1:]...)
	}
	r.settle()
	r.wholeAgain(src)
}

func (r *rig) members() (out []node.Member) {
	r.Helper()
	r.must(&out, "circle")
	return out
}

// wholeAgain wants every piece good and everything back as it was.
func (r *rig) wholeAgain(src string) {
	r.Helper()
	if v := r.verify([]int{0}); v.Good != v.Shards || v.Lost > 0 {
		r.Errorf("%d of %d shards are good: %v", v.Good, v.Shards, v.Blamed)
	}
	to := filepath.Join(r.dir, "whole")
	r.must(nil, "get", "src", "--to", to)
	r.same(src, filepath.Join(to, "src"))
}

// TestRepairAndAuditKilled has a keeper lose much of what it holds, and kills
// the owner and other keepers while that is found and repaired.
func TestRepairAndAuditKilled(t *testing.T) {
	r := newRig(t, 6, "4GB", nil)
	src := r.material()
	// Another one each round: who lost that much is emptied by the repair, and an
	// audit finds nothing to ask it for. Three are left in the end.
	order := r.rng.Perm(len(r.Keepers))
	for round := range min(2*long(), len(order)/2) {
		if round == 2 { // of n-k: what two lost is there again before a third loses
			r.restore()
		}
		bad := r.Keepers[order[round]]
		for i, f := range r.shardFiles(bad) {
			if i%2 == 0 {
				r.check(os.Remove(f))
			}
		}
		audit := r.audit()
		r.onlyBlames(audit, bad.About().Name)
		for try := range 4 {
			r.check(r.Owner.Start(r.ctx))
			repair := r.background([]string{"repair", "audit"}[try%2])
			r.after(time.Duration(10+r.rng.IntN(200)) * time.Millisecond)
			other := r.Keepers[r.rng.IntN(len(r.Keepers))]
			if r.rng.IntN(2) == 0 {
				r.check(other.Kill())
				r.check(other.Start(r.ctx))
			}
			r.check(r.Owner.Kill())
			res := <-repair
			r.Logf("round %d, try %d: exit status %d", round, try, res.Code)
			to := filepath.Join(r.dir, fmt.Sprint("back", round, try))
			r.must(nil, "get", "src", "--to", to)
			r.same(src, filepath.Join(to, "src"))
			r.check(os.RemoveAll(to))
		}
	}
	r.restore()
	r.wholeAgain(src)
}

// restore lets the owner find all that is lost and make it anew.
func (r *rig) restore() {
	r.Helper()
	r.check(r.Owner.Start(r.ctx))
	r.run([]int{0, 1}, "verify") // finds what audits did not draw
	r.check(r.Owner.Stop(r.ctx))
	r.settle()
}

func (r *rig) audit() (a engine.AuditReport) {
	r.Helper()
	res := r.run([]int{0, 1}, "audit", "--sample", "1000", "--json")
	if err := json.Unmarshal(res.Stdout, &a); err != nil {
		r.Fatalf("%v: %s %s", err, res.Stdout, res.Stderr)
	}
	return a
}

// onlyBlames checks that an audit blames one machine and no other.
func (r *rig) onlyBlames(a engine.AuditReport, name string) {
	r.Helper()
	found := false
	for _, k := range a.Keepers {
		switch {
		case k.Name == name:
			found = k.Bad()
			if !strings.Contains(k.Text, "disk may be failing") {
				r.Errorf("the first word is %q", k.Text)
			}
		case k.Bad():
			r.Errorf("%s is blamed and did nothing wrong: %s", k.Name, k.Text)
		}
	}
	if !found {
		r.Errorf("%s is not blamed: %+v", name, a.Keepers)
	}
}

// TestLiarIsFound has a keeper in the circle that keeps nothing and answers as
// if it did.
func TestLiarIsFound(t *testing.T) {
	r := newRig(t, 5, "4GB", nil)
	r.newLiar("liar")
	src := r.material()
	r.onlyBlames(r.audit(), "liar")
	// Repair takes what it was given elsewhere, and nothing depends on it.
	r.check(r.Owner.Start(r.ctx))
	r.until("the repair comes to no end", func() error {
		// On a busy machine keepers may seem away for a moment.
		if res := r.run([]int{0, 1}, "repair"); res.Code != 0 {
			return fmt.Errorf("%s", res.Stderr)
		}
		return nil
	})
	var s engine.Status
	r.must(&s, "status")
	for _, k := range s.Keepers {
		if k.Name == "liar" && k.Shards > 0 {
			r.Errorf("the liar is still relied on for %d pieces", k.Shards)
		}
	}
	if s.MayLose < 1 {
		r.Errorf("%d machines may be lost", s.MayLose)
	}
	r.check(r.Owner.Stop(r.ctx))
	to := filepath.Join(r.dir, "back")
	r.must(nil, "get", "src", "--to", to)
	r.same(src, filepath.Join(to, "src"))
}

// TestClockJumps runs the owner with a clock that is years off, either way, and
// that jumps while it runs: no machine is taken for gone, and nothing is moved
// for it. A keeper's clock jumps too, and it holds what it held.
func TestClockJumps(t *testing.T) {
	r := newRig(t, 4, "4GB", nil)
	src := r.material()
	before := map[*e2e.Home]int{}
	for _, k := range r.Keepers {
		before[k] = len(r.shardFiles(k))
	}
	for i, shift := range []string{"9000h", "-9000h", "0s", "72h", "9000h", "-9000h"} {
		after := []string{"0s", "1s"}[i/4]
		other := r.Keepers[r.rng.IntN(len(r.Keepers))]
		r.check(other.Kill())
		r.check(other.Start(r.ctx, "--clock-shift", shift, "--clock-shift-after", after))
		r.check(r.Owner.Start(r.ctx, "--clock-shift", shift, "--clock-shift-after", after))
		// A copy of the catalog made while a machine was away is owed to it:
		// that is no move.
		r.until("debts of the round before", func() error {
			var s engine.Status
			r.must(&s, "status")
			if s.Debt > 0 {
				return fmt.Errorf("%d pieces are owed", s.Debt)
			}
			return nil
		})
		if after != "0s" {
			try := 0
			r.until("the clock does not jump", func() error {
				try++
				probe := filepath.Join(r.dir, fmt.Sprintf("probe%d-%d", i, try))
				r.write(probe, 10)
				r.must(nil, "put", probe)
				var l []engine.Entry
				r.must(&l, "ls", filepath.Base(probe))
				if off := time.Until(l[0].Kept); off.Abs() < 1000*time.Hour {
					return fmt.Errorf("it is off by %v", off)
				}
				return nil
			})
		}
		away := r.Keepers[r.rng.IntN(len(r.Keepers))]
		r.check(away.Kill())
		r.until("the node did not look", func() error {
			var s engine.Status
			r.must(&s, "status")
			for _, k := range s.Keepers {
				if k.Conduct.Standing == "missing" {
					r.Fatalf("clock shifted by %s: %s is taken for gone", shift, k.Name)
				}
				if k.Conduct.Hours == 0 {
					return fmt.Errorf("%s was not asked yet", k.Name)
				}
			}
			if s.Outlook.Todo > 0 {
				r.Errorf("clock shifted by %s: %d pieces are to be moved", shift, s.Outlook.Todo)
			}
			return nil
		})
		r.check(away.Start(r.ctx))
		r.check(r.Owner.Stop(r.ctx))
	}
	for _, k := range r.Keepers {
		// The copy of the catalog may have come on top.
		if n := len(r.shardFiles(k)); n < before[k] {
			r.Errorf("%s held %d pieces and holds %d", k.Dir, before[k], n)
		}
	}
	r.wholeAgain(src)
}
