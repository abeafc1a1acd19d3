// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"errors"
	"testing"

	"fyne.io/fyne/v2"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/peers"
)

// A name that two machines put at once is marked, and the person chooses.
func TestTwice(t *testing.T) {
	n := several()
	b := newHome(t, n)
	b.settle("it is seen", func() bool { return len(b.frame.files.twice) == 1 })
	b.reads("Letter to the landlord.odt was changed on two of your machines at once.")
	b.reads("Two versions")
	b.press("Choose…")
	b.settle("both are shown", func() bool { return b.shows("Which version counts?") })
	b.reads("from phone")
	b.reads("38 KB")
	b.reads("37 KB")
	b.press("Decide later")
	if len(n.settled) > 0 {
		t.Fatal("settled without a choice")
	}
	b.chooseVersion("Letter to the landlord.odt")
	b.settle("both are shown", func() bool { return b.shows("Which version counts?") })
	b.press("Keep the other")
	b.settle("it is settled", func() bool {
		return b.shows("The other one stays among the versions.") && len(b.frame.files.twice) == 0
	})
	if b.frame.files.twiceBar.Visible() || n.settled[0] != (node.SettleOrder{Path: "Letter to the landlord.odt", Version: 2}) {
		t.Errorf("settled %+v", n.settled)
	}
}

func TestKeepBoth(t *testing.T) {
	n := several()
	b := newHome(t, n)
	b.chooseVersion("Letter to the landlord.odt")
	b.settle("both are shown", func() bool { return b.shows("Which version counts?") })
	b.press("Keep both")
	b.settle("it is settled", func() bool { return b.shows("The other one is Letter to the landlord (phone).odt now.") })
	if !n.settled[0].Both {
		t.Errorf("settled %+v", n.settled)
	}
}

func openMachines(t *testing.T, n *fakeNode) (*bench, *settings) {
	t.Helper()
	b := newHome(t, n)
	b.goTo("settings")
	s := b.frame.pages["settings"].(*settings)
	b.settle("the machines are listed", func() bool { return len(s.own.rows.Objects) == len(n.devices) })
	return b, s
}

// A further machine: the code, the words, and no decision without an answer.
func TestAddDevice(t *testing.T) {
	n := several()
	b, s := openMachines(t, n)
	b.reads("was there today 09:00")
	b.reads("stolen, removed")
	b.press("Add a machine of yours…")
	b.settle("the code is shown", func() bool { return b.shows("Good once, until 12:10.") })
	b.press("Close")
	b.reads("Your other machine is awaited.")
	words := map[string][]string{"en": {"apple", "river", "stone", "cloud"}}
	n.guests <- node.DevicePairing{Device: peers.DeviceID{30}, Name: "desktop", Words: words}
	b.settle("the words are shown", func() bool { return b.shows("Is desktop your machine?") && b.shows("4. cloud") })
	b.typedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
	if len(n.decided) > 0 {
		t.Fatalf("Escape decided %+v", n.decided)
	}
	b.reads("desktop waits until you have compared the words.")
	s.own.begin()
	b.press("They are the same")
	b.settle("it is in", func() bool { return b.shows("desktop is one of your machines now.") })
	if len(n.decided) != 1 || !n.decided[0].Yes || n.decided[0].Device != (peers.DeviceID{30}) {
		t.Errorf("decided %+v", n.decided)
	}

	s.own.begin()
	b.settle("the code is shown", func() bool { return b.shows("Good once") })
	n.guests <- node.DevicePairing{Device: peers.DeviceID{31}, Name: "stranger", Words: words}
	b.settle("the words are shown", func() bool { return b.shows("Is stranger your machine?") })
	b.press("They are different")
	b.settle("it is out", func() bool { return b.shows("It was sent away and got nothing") })
	if len(n.decided) != 2 || n.decided[1].Yes {
		t.Errorf("decided %+v", n.decided)
	}
}

func TestRemoveDevice(t *testing.T) {
	n := several()
	b, s := openMachines(t, n)
	s.own.askToRemove(n.devices[2])
	b.reads("Is old laptop yours no more?")
	b.tickBox("It was stolen")
	b.press("Remove")
	b.settle("it is removed", func() bool { return b.shows("3 of 5 machines know now that old laptop is out.") })
	b.reads("The others hear of it when they are back.")
	b.reads("begin anew")
	if o := n.outed[0]; !o.Stolen || o.Who != n.devices[2].Device.String() {
		t.Errorf("removed %+v", o)
	}
}

// Welcome: this machine becomes one more of a person's.
func TestWelcomeDevice(t *testing.T) {
	h := &fakeHost{node: family(), words: map[string][]string{"en": {"apple", "river", "stone", "cloud"}}, initErr: errors.New("the code is too old")}
	b := newBench(t, h)
	b.press("This is another machine of mine")
	b.entries()[0].SetText("my-device-abc")
	b.press("Start")
	b.settle("it failed", func() bool { return b.shows("the code is too old") })
	h.initErr = nil
	b.press("Start")
	b.settle("it is in", func() bool { return b.frame != nil && b.frame.files.loaded })
	if s := h.setups[1]; s.Device != "my-device-abc" || s.Master != nil {
		t.Errorf("set up %+v", s)
	}
}
