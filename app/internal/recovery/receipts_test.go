// SPDX-License-Identifier: MPL-2.0

package recovery_test

import (
	"crypto/rand"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
)

// sides are what a home's circle says: all that it gave and took, the bytes it
// keeps for others, and why it does not agree.
type sides struct {
	gave, took float64
	kept       int64
	note       string
}

func (w *world) sides(h *e2e.Home) (s sides) {
	w.Helper()
	var members []node.Member
	w.must(h.Must(w.ctx, &members, "circle"))
	for _, m := range members {
		s.note += m.Balance.Note.Text
		s.gave += m.Balance.Gave
		s.took += m.Balance.Took
		s.kept += m.ForThem
	}
	return s
}

func near(a, b float64) bool { return math.Abs(a-b) <= max(a, b)/100 }

// A keeper counts what all machines of a person store, and each of these shows
// the same, whichever of them is on; so does one that words brought back. What
// the machines keep for the keeper adds up likewise.
func TestReceiptsOfTwoMachines(t *testing.T) {
	w := newWorld(t, 1)
	owner, keeper := w.fleet.Owner, w.fleet.Keepers[0]
	big := func(dir string, bytes int) string {
		b := make([]byte, bytes)
		rand.Read(b)
		name := filepath.Join(w.dir, dir, "big.bin")
		w.must(os.MkdirAll(filepath.Dir(name), 0o755))
		w.must(os.WriteFile(name, b, 0o644))
		return filepath.Dir(name)
	}
	killed := func(h *e2e.Home) *e2e.Home {
		t.Cleanup(func() {
			if err := h.Kill(); err != nil {
				t.Error(err)
			}
		})
		return h
	}
	w.must(owner.Start(w.ctx))
	w.must(owner.Must(w.ctx, nil, "put", big("first", 60_000_000)))
	other := killed(w.second("desktop"))
	w.must(other.Start(w.ctx))
	// The former version is in the history of that machine only, and more than
	// the two sides of a receipt may differ by.
	for range 2 {
		w.must(other.Must(w.ctx, nil, "put", big("second", 75_000_000)))
	}
	w.until("the keeper knows both machines", func() bool {
		var members []node.Member
		w.must(keeper.Must(w.ctx, &members, "circle"))
		return len(members) == 2 && members[0].Online && members[1].Online
	})
	w.must(keeper.Must(w.ctx, nil, "put", big("third", 20_000_000)))
	// Each knows what the other one put.
	for _, h := range []*e2e.Home{owner, other} {
		w.until("both machines know all files", func() bool {
			var all []struct{}
			w.must(h.Must(w.ctx, &all, "ls"))
			return len(all) == 2
		})
	}

	at := time.Duration(0)
	// later lets a time pass with those homes on, and gives what the keeper's side
	// says once all of them say the same.
	later := func(d time.Duration, on ...*e2e.Home) sides {
		t.Helper()
		was := w.sides(keeper)
		for _, h := range []*e2e.Home{owner, other, keeper} {
			w.must(h.Stop(w.ctx))
		}
		at += d
		for _, h := range append([]*e2e.Home{keeper}, on...) {
			w.must(h.Start(w.ctx, "--clock-shift", at.String()))
		}
		var now sides
		var say string
		defer func() { t.Log(at, say) }()
		w.until("both sides say the same", func() bool {
			now = w.sides(keeper)
			same := now.gave > was.gave
			say = fmt.Sprintf("keeper %+v", now)
			for _, h := range on {
				s := w.sides(h)
				say += fmt.Sprintf(", %s %+v", filepath.Base(h.Dir), s)
				same = same && near(s.took, now.gave) && near(s.gave, now.took)
			}
			return same
		})
		mean := float64(was.kept+now.kept) / 2
		if want := was.gave + mean/1e9*d.Hours()/24; !near(now.gave, want) && d > 24*time.Hour {
			t.Errorf("after %v the keeper gave %v GB-days, want %v", at, now.gave, want)
		}
		return now
	}
	later(31*time.Minute, owner, other)
	two := later(48*time.Hour, owner, other)
	if two.took == 0 {
		t.Error("nothing was kept for the keeper")
	}
	later(48*time.Hour, owner)
	later(72*time.Hour, other)
	w.must(other.Stop(w.ctx))
	w.destroy()
	w.must(os.RemoveAll(other.Dir))
	fresh := killed(w.fresh("new"))
	var r node.Recovered
	w.must(fresh.Must(w.ctx, &r, w.recoverArgs(keeper)...))
	owner, other = fresh, fresh
	later(48*time.Hour, fresh)
}
