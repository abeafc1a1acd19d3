// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/preezm/preezm/peers"
)

func (c *circle) audit() map[peers.DeviceID]Audited {
	c.t.Helper()
	r, err := c.Audit(c.t.Context(), AuditOptions{}, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	out := map[peers.DeviceID]Audited{}
	for _, a := range r.Keepers {
		out[a.Device] = a
	}
	return out
}

// An audit names who lost pieces, who sends something else and who is away, and
// nobody else; what is not proven is made anew.
func TestAudit(t *testing.T) {
	c := newCircle(t, 6)
	dir := c.source()
	c.put(dir)
	for d, a := range c.audit() {
		if a.Good != a.Asked || a.Asked == 0 || a.Score != 1 || a.Failing {
			t.Errorf("%s: %+v", d.Short(), a)
		}
	}
	c.keepers[1].forget.Store(true)
	c.keepers[2].flip.Store(true)
	c.keepers[3].down.Store(true)
	got := c.audit()
	for i, k := range c.keepers {
		a := got[k.id]
		switch i {
		case 1:
			if a.Lacking != a.Asked || !a.Failing || !strings.Contains(a.Text, "disk may be failing") {
				t.Errorf("the one that lost all: %+v", a)
			}
		case 2:
			if a.False != a.Asked || !a.Failing || !strings.Contains(a.Text, "disk may be failing") {
				t.Errorf("the one that lies: %+v", a)
			}
		case 3:
			if !a.Absent || a.Bad() || a.Score != 1 {
				t.Errorf("the one that is away: %+v", a)
			}
		default:
			if a.Bad() {
				t.Errorf("%d did nothing wrong: %+v", i, a)
			}
		}
	}
	// Both are relied on no more, and what they held is elsewhere.
	c.keepers[1].forget.Store(false)
	c.keepers[2].flip.Store(false)
	c.keepers[3].down.Store(false)
	for _, k := range c.keepers {
		c.Seen(k.id)
	}
	c.maintain()
	if n := c.held(); n[1] != 0 || n[2] != 0 {
		t.Errorf("they still hold pieces: %v", n)
	}
	if got := c.mayLose(); got < 1 {
		t.Errorf("%d may be lost", got)
	}
	sameTree(t, dir, filepath.Join(c.get("d"), "d"))
}

// One bad piece of many is made anew where it was: the machine is kept.
func TestAuditOfOneBadPiece(t *testing.T) {
	c := newCircle(t, 3)
	dir := c.source()
	c.put(dir)
	k := c.keepers[0]
	if err := k.depot.Delete(t.Context(), k.owner, k.ids[:1]); err != nil {
		t.Fatal(err)
	}
	a := c.audit()[k.id]
	if a.Lacking != 1 || a.Good != a.Asked-1 {
		t.Fatalf("%+v", a)
	}
	c.maintain()
	if a := c.audit()[k.id]; a.Asked == 0 && !a.Failing || a.Bad() {
		t.Errorf("%+v", a)
	}
	sameTree(t, dir, filepath.Join(c.get("d"), "d"))
}
