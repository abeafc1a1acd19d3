// SPDX-License-Identifier: MPL-2.0

//go:build unix

package chaos

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/preezm/preezm/engine"
)

// TestCutLinks cuts the lines to keepers, or has nothing pass, at random
// moments of puts and gets. A put goes on or is repeated; a get does without
// two of five, says of whom it had to do without, and accuses nobody else.
func TestCutLinks(t *testing.T) {
	r := newRig(t, 5, "4GB", nil)
	var lines []*proxy
	for _, k := range r.Keepers {
		lines = append(lines, r.slow(k, 0))
	}
	src := filepath.Join(r.dir, "src")
	ways := []way{stuck, cut}
	for round := range 3 * long() {
		for i := range 3 {
			r.write(filepath.Join(src, fmt.Sprintf("f%d", i)), 8<<20)
		}
		hit, w := r.rng.Perm(5)[:1+r.rng.IntN(4)], ways[r.rng.IntN(2)]
		before, during := time.Duration(20+r.rng.IntN(400))*time.Millisecond, time.Duration(r.rng.IntN(3000))*time.Millisecond
		put := r.background("put", src)
		r.after(before)
		for _, v := range hit {
			lines[v].set(w)
		}
		r.after(during)
		for _, v := range hit {
			lines[v].set(open)
		}
		res := <-put
		r.Logf("round %d: lines %v, way %d: put: exit status %d", round, hit, w, res.Code)
		if res.Code == 1 && !bytes.Contains(res.Stderr, []byte("keeper")) || res.Code < 0 || res.Code > 1 {
			r.Fatalf("exit status %d: %s", res.Code, res.Stderr)
		}
		r.must(nil, "put", src)

		// What a keeper lacks yet would be one more that is missing.
		r.owed()
		hit, w = r.rng.Perm(5)[:2], ways[r.rng.IntN(2)]
		for _, v := range hit {
			lines[v].set(w)
		}
		to := filepath.Join(r.dir, fmt.Sprint("back", round))
		started := time.Now()
		var g engine.GetReport
		r.must(&g, "get", "src", "--to", to)
		r.Logf("round %d: lines %v, way %d: get: %v, %d rebuilt, blamed %v", round, hit, w, time.Since(started).Round(time.Millisecond), g.Rebuilt, g.Blamed)
		r.same(src, filepath.Join(to, "src"))
		r.check(os.RemoveAll(to))
		// Who was not asked, since the others were faster, is not named either. Of
		// whom it had to make up for, somebody was waited for in vain or failed.
		if g.Rebuilt > 0 && len(g.Blamed) == 0 {
			r.Errorf("%d parts were made up for, and nobody is named", g.Rebuilt)
		}
		behind := map[string]bool{}
		for _, v := range hit {
			behind[r.Keepers[v].About().Name] = true
		}
		for _, b := range g.Blamed {
			if b.Lied || !behind[b.Name] {
				r.Errorf("%s, cut off %v, is blamed: %s (lied: %v)", b.Name, behind[b.Name], b.Said, b.Lied)
			}
		}
		for _, v := range hit {
			lines[v].set(open)
		}
	}
	r.settle()
	r.wholeAgain(src)
}

// owed repeats repairs, without a node, until nothing is owed.
func (r *rig) owed() {
	r.Helper()
	r.until("pieces are owed", func() error {
		var s engine.Status
		if r.must(&s, "status"); s.Debt == 0 {
			return nil
		}
		res := r.run([]int{0, 1}, "repair")
		return fmt.Errorf("%d: %s", s.Debt, res.Stderr)
	})
}
