// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"strings"
	"testing"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/peers"
)

// The task is given to a machine of somebody else, and taken back.
func TestGiveAndTakeCare(t *testing.T) {
	n := busy()
	mine, other := n.members[0], n.members[1]
	n.devices = append(n.devices, node.Device{Device: mine.Device, Name: mine.Name})
	b, c := openCare(t, n)
	b.reads("Nobody repairs for you while your machines are off.")
	if c.off.take.Visible() {
		t.Error("a task that nobody has can be taken back")
	}
	b.press("Have a machine do it…")
	b.settle("it is asked which", func() bool { return b.win.Canvas().Overlays().Top() != nil })
	b.reads("It gets the task for a year.")
	if strings.Contains(b.text(), mine.Name+"  ·  ") {
		t.Errorf("one of the person's own machines is offered: %s", b.text())
	}
	b.press("Give it the task") // nothing is chosen
	if len(n.given) > 0 {
		t.Fatal("the task was given to nobody's machine")
	}
	c.off.give(&other)
	b.settle("it has the task", func() bool { return b.shows(other.Name+" has the task.") && c.off.state.Given != nil })
	b.reads(other.Name + " repairs for you while your machines are off, until 14 Mar 2027.")
	b.reads("Attic PC has not heard of it yet, and gives it nothing until then.")
	if n.given[0].Who != other.Device.String() {
		t.Errorf("gave it to %+v", n.given)
	}
	b.press("Choose another machine…")
	b.settle("it is asked which", func() bool { return b.win.Canvas().Overlays().Top() != nil })
	b.press("Cancel")
	b.press("Take the task back")
	b.reads("What was made anew stays.")
	b.press("Take the task back")
	b.settle("it is taken back", func() bool { return b.shows(other.Name + " did, until today 12:00.") })
	if n.taken != 1 {
		t.Errorf("taken back %d times", n.taken)
	}
}

// A machine that repairs for others stops when its user says so.
func TestRefuseCare(t *testing.T) {
	n := tended()
	b, _ := openCare(t, n)
	b.reads("This machine was asked to repair for Ben, and does not: you refused.")
	b.reads("The list of their pieces takes 4.2\u00a0MB here.")
	b.press("Stop doing so")
	b.reads("Stop repairing for Aunt Rose?")
	b.press("Stop")
	b.settle("it stopped", func() bool {
		return b.shows("This machine was asked to repair for Aunt Rose, and does not: you refused.")
	})
	if n.refusal[0] != (node.CareRefusal{Who: peers.DeviceID{61}.String(), On: true}) {
		t.Errorf("refused %+v", n.refusal)
	}
	b.press("Do it after all")
	b.settle("it goes on", func() bool { return len(n.refusal) == 2 })
}

func TestGivenLines(t *testing.T) {
	l := english(t)
	for want, g := range map[string]*node.CareGiven{
		"NAS was asked to repair for you, and does not":                      {Name: "NAS", Until: noon, Asked: true, Idle: true},
		"NAS did, until today":                                               {Name: "NAS", Until: noon, Ended: true},
		"It does not answer now.":                                            {Name: "NAS", Until: noon.Add(day)},
		"It has not been told of everything yet":                             {Name: "NAS", Until: noon.Add(day), Asked: true, Work: node.CareWork{Lacking: 2}},
		"Ann, Ben have not heard of it yet, and give it nothing until then.": {Name: "NAS", Until: noon.Add(day), Asked: true, Unaware: []string{"Ann", "Ben"}},
		"NAS repairs for you while your machines are off, until tomorrow":    {Name: "NAS", Until: noon.Add(day), Asked: true},
		"Nobody repairs for you while your machines are off.":                nil,
	} {
		text := ""
		for _, r := range givenLines(l, g, noon) {
			text += r.text + "\n"
		}
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
}
