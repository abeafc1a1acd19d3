// SPDX-License-Identifier: MPL-2.0

//go:build unix

package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/preezm/preezm/engine"
)

// TestPruneKilled kills the owner's process, and keepers, while it lets go of
// old versions, empties the trash and joins half-empty segments. What is
// present stays, whatever shares segments with what goes.
func TestPruneKilled(t *testing.T) {
	r := newRig(t, 5, "4GB", nil)
	src := filepath.Join(r.dir, "src")
	name := func(i int) string { return filepath.Join(src, fmt.Sprintf("d%d/f%d", i%4, i)) }
	for i := range 24 {
		r.write(name(i), 200_000+r.rng.IntN(400_000))
	}
	all := []string{"prune", "--keep-last", "1", "--keep-daily", "0", "--keep-weekly", "0", "--keep-monthly", "0", "--trash-days", "0"}
	chores := [][]string{all, {"compact"}, {"trash", "empty", "--all"}}
	for round := range 2 * long() {
		for range 3 { // versions that share segments with what stays
			for range 8 {
				r.write(name(r.rng.IntN(24)), 200_000+r.rng.IntN(400_000))
			}
			r.must(nil, "put", src)
		}
		r.must(nil, "rm", fmt.Sprintf("src/d%d", r.rng.IntN(4)))
		r.must(nil, "put", src)
		for try := range 4 {
			chore := chores[r.rng.IntN(len(chores))]
			wait := time.Duration(5+r.rng.IntN(150)) * time.Millisecond
			other, hit := r.Keepers[r.rng.IntN(len(r.Keepers))], r.rng.IntN(2) == 0
			r.check(r.Owner.Start(r.ctx))
			done := r.background(chore...)
			r.after(wait)
			if hit {
				r.check(other.Kill())
				r.check(other.Start(r.ctx))
			}
			r.check(r.Owner.Kill())
			res := <-done
			r.Logf("round %d, try %d: %s, a keeper killed %v: exit status %d", round, try, chore[0], hit, res.Code)
			if res.Code < 0 || res.Code > 1 {
				r.Fatalf("%s", res.Stderr)
			}
			to := filepath.Join(r.dir, fmt.Sprint("back", round, try))
			r.must(nil, "get", "src", "--to", to)
			r.same(src, filepath.Join(to, "src"))
			r.check(os.RemoveAll(to))
		}
	}
	r.must(nil, all...)
	var s engine.Status
	r.must(&s, "status")
	if s.Past.Versions+s.Past.Trashed > 0 {
		r.Errorf("a prune of everything leaves %+v", s.Past)
	}
	r.settle()
	r.wholeAgain(src)
}
