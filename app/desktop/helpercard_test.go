// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"slices"
	"testing"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/peers"
)

func TestHelpers(t *testing.T) {
	n := helped()
	n.asks = nil
	b, s := openMachines(t, n)
	c := s.helpers
	b.settle("the helpers are shown", func() bool { return c.loaded })
	b.reads("2 of these 3 together can open everything. Each waits 3 days after agreeing")
	b.reads("Attic PC · does not have its part yet: it does not answer")
	b.reads("You help Aunt Rose")
	c.ask()
	b.settle("the choice is shown", func() bool { return b.shows("Who may bring you back?") })
	b.tickBox("Office")
	b.tickBox("Bibliothèque")
	b.reads("3 of these 5 together can open everything.")
	b.tickBox("Bibliothèque")
	b.tickBox("Attic PC")
	b.tickBox("Cellar NAS")
	b.reads("It takes three at least.")
	b.tickBox("Cellar NAS")
	b.press("Make them my helpers")
	b.settle("they are changed", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return len(n.dropped) == 1 })
	if o := n.added[0]; len(o.Names) != 1 || o.Names[0] != n.members[3].Device.String() || o.Delay != 3*day {
		t.Errorf("added %+v", o)
	}
	if o := n.dropped[0]; o.All || !slices.Equal(o.Names, []string{n.members[4].Device.String()}) {
		t.Errorf("removed %+v", o)
	}
	b.press("No helpers any more…")
	b.press("End it")
	b.settle("there are none", func() bool { return b.shows("You have no helpers.") })
}

// Helpers who left the circle, or would not warn every machine, are told of,
// and confirming the others makes the set anew without them.
func TestHelpersThatCountNoMore(t *testing.T) {
	n := helped()
	n.asks = nil
	n.helperSet.Outdated = true
	gone := node.Helper{Name: "Old friend", Device: peers.DeviceID{99}, Kept: noon, Left: true}
	n.helperSet.Helpers = append(n.helperSet.Helpers, gone)
	b, s := openMachines(t, n)
	c := s.helpers
	b.settle("the helpers are shown", func() bool { return c.loaded })
	b.reads("Old friend · has left your circle")
	b.reads("they would not warn it")
	c.ask()
	b.settle("the choice is shown", func() bool { return b.shows("Who may bring you back?") })
	b.reads("2 of these 3 together can open everything.")
	b.tickBox("Office")
	b.press("Make them my helpers")
	b.settle("they are changed", func() bool { return !b.shows("Old friend") })
	if b.shows("they would not warn it") {
		t.Error("it is still told that they would not warn a machine")
	}
	if len(n.added) != 1 || len(n.dropped) != 0 {
		t.Errorf("added %+v, removed %+v", n.added, n.dropped)
	}
}

// Whoever helps is told on every screen, agrees with words that were read out,
// and can forbid it.
func TestActAsHelper(t *testing.T) {
	n := helped()
	b := newHome(t, n)
	b.goTo("circle")
	b.settle("it is told", func() bool { return b.shows("new tablet asks to bring Aunt Rose back") })
	b.press("Look…")
	b.reads("Forbidden by Office.")
	b.press("It is them…")
	b.reads("Word 2")
	e := b.entries()
	e[0].SetText("river")
	e[1].SetText("stone")
	b.press("Agree")
	b.settle("it is told", func() bool { return b.shows("These are not the words on that screen.") })
	b.press("Close")
	b.frame.alert.look()
	b.press("It is them…")
	e = b.entries()
	e[0].SetText("river")
	e[1].SetText(" cloud ")
	b.press("Agree")
	b.settle("it is agreed", func() bool { return len(b.frame.alert.list) > 0 && b.frame.alert.list[0].State == "agreed" })
	b.frame.alert.look()
	b.reads("You agreed. Your part may be had from 17 Mar 2026, 12:00.")
	b.press("Forbid…")
	b.press("Forbid")
	b.settle("it is over", func() bool { return !b.frame.alert.view.Visible() })
	if n.vetoed[0] != "1a2b3c4d" {
		t.Errorf("forbade %q", n.vetoed)
	}
}

func TestAlertIsToldOfOnce(t *testing.T) {
	n := helped()
	n.asks = nil
	b := newHome(t, n)
	list := helped().asks
	notified(t, "new tablet asks to bring Aunt Rose back", func() { b.frame.alert.show(list) })
}

// Without the words: the helpers are asked, words are read out to them, and the
// home comes back when enough gave their parts.
func TestWelcomeHelpers(t *testing.T) {
	h := &fakeHost{node: family(), help: halfway()}
	b := newBench(t, h)
	b.press("Recover with my words")
	b.press("My words are lost")
	e := b.entries()
	e[0].SetText("study laptop")
	e[1].SetText("preezm1-one\npreezm1-two")
	b.press("Start")
	b.settle("it is asked", func() bool { return b.shows("1 of 2 needed agreed, 0 gave their part (3 helpers).") })
	b.reads("Call Cellar NAS and read out: apple river stone cloud")
	b.reads("Hallway PC agreed; the part may be had from 17 Mar 2026, 12:00.")
	b.reads("its screen shows: apple river stone cloud")
	if h.owner != "study laptop" || len(h.invites) != 2 {
		t.Errorf("asked for %q with %q", h.owner, h.invites)
	}
	h.help.Recovered = &node.Recovered{Files: 12}
	b.press("Ask again")
	b.settle("it is back", func() bool { return b.frame != nil && b.frame.files.loaded })
	b.reads("Your helpers’ parts were used.")
	if len(h.invites) != 2 {
		t.Errorf("codes were used again: %q", h.invites)
	}
}
