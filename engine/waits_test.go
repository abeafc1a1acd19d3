// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/peers"
)

// A repair is done where all that is missing are copies of the catalog, of which
// the only holder is away; it says so. Where it is a file it is not done.
func TestRepairSaysWhatWaits(t *testing.T) {
	c := newCircle(t, 4)
	all := c.keepers
	c.keepers = all[:1]
	c.backUp(1)
	c.keepers = all
	all[0].down.Store(true)
	c.notice()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "d", "new"), data(1, 400_000))
	c.put(filepath.Join(dir, "d"))
	r, err := c.Repair(t.Context(), nil)
	if err != nil {
		t.Errorf("%v (%+v)", err, r)
	}
	if r.Left == 0 || r.Copies != r.Left || len(r.Waits) != 1 || r.Waits[0].Device != all[0].id || r.Waits[0].Name != all[0].name || r.Waits[0].Copies != r.Copies {
		t.Errorf("%+v", r)
	}

	all[0].down.Store(false)
	c.Seen(all[0].id)
	c.keepers = all[:1]
	write(t, filepath.Join(dir, "e", "old"), data(2, 400_000))
	c.put(filepath.Join(dir, "e"))
	c.keepers = all
	all[0].down.Store(true)
	c.notice()
	r, err = c.Repair(t.Context(), nil)
	if !errors.Is(err, ErrNotDrained) || r.Left <= r.Copies || len(r.Waits) != 1 || r.Waits[0].Segments <= r.Waits[0].Copies {
		t.Errorf("%+v, %v", r, err)
	}
	// Who leaves takes no copy along.
	if err := c.BeginLeave(t.Context(), Leave{Device: all[0].id, Name: all[0].name}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Forget(t.Context(), []Path{"e"}); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Drain(t.Context(), all[0].id, nil); !errors.Is(err, ErrNotDrained) || r.Left != r.Copies {
		t.Errorf("%+v, %v", r, err)
	}
}

// What a check found lost while nobody had room for it is made anew once somebody
// has, without another check.
func TestLostPieceWaitsForRoom(t *testing.T) {
	c := newCircle(t, 4)
	all := c.keepers
	c.keepers = all[:3]
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c.now = func() time.Time { return now }
	dir := filepath.Join(t.TempDir(), "d")
	write(t, filepath.Join(dir, "f"), data(1, 400_000))
	c.put(dir)
	room := func(n int64) {
		t.Helper()
		var list []Notice
		for _, k := range c.keepers {
			list = append(list, Notice{Device: k.id, Online: true, Free: n})
		}
		if err := c.Noticed(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	room(1 << 30)
	c.maintain()
	room(0)
	k := all[0]
	if err := k.depot.Delete(t.Context(), k.owner, k.ids); err != nil {
		t.Fatal(err)
	}
	lost := func() (n int) {
		err := c.cat.Spreads(t.Context(), func(s *catalog.Spread) error {
			for _, st := range s.States {
				n += btoi(st == catalog.Lost)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if _, err := c.Audit(t.Context(), AuditOptions{Keepers: []peers.DeviceID{k.id}}, nil); err != nil {
		t.Fatal(err)
	}
	c.maintain()
	if lost() == 0 {
		t.Fatal("it was made anew where nobody has room")
	}
	now = now.Add(time.Minute)
	room(1 << 30)
	c.maintain()
	if n := lost(); n != 0 {
		t.Errorf("%d pieces wait although there is room", n)
	}
}
