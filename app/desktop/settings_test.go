// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"slices"
	"testing"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/peers/said"
)

// fakeLogin is a system that starts programs at login.
type fakeLogin struct{ on bool }

func (l *fakeLogin) Enabled() (bool, error) { return l.on, nil }
func (l *fakeLogin) Set(on bool) error      { l.on = on; return nil }

func openSettings(t *testing.T, n *fakeNode) (*bench, *settings) {
	t.Helper()
	b := newHome(t, n)
	b.opt.Login = &fakeLogin{}
	b.showHome("settings")
	s := b.frame.pages["settings"].(*settings)
	b.settle("the settings are shown", func() bool { return s.rates.known })
	return b, s
}

func TestWatchedFolders(t *testing.T) {
	n := busy()
	b, s := openSettings(t, n)
	b.reads("Up to date, last change kept today 11:49")
	b.reads("412 changes to keep")
	s.watch("/home/laptop/Music")
	b.settle("it is watched", func() bool { return b.shows("/home/laptop/Music") })
	b.press("Pause")
	b.settle("it stands", func() bool { return b.shows("Paused.") })
	b.press("Stop watching")
	b.reads("/home/laptop/Documents is not watched any more.")
	b.press("Stop watching")
	b.settle("it is not watched", func() bool { return !b.shows("/home/laptop/Documents") })
}

func TestRates(t *testing.T) {
	n := busy()
	b, s := openSettings(t, n)
	if s.rates.up.Text != "500k" || s.rates.times.Text != "22:00-06:00 -/-" {
		t.Errorf("shown: %q, %q", s.rates.up.Text, s.rates.times.Text)
	}
	s.rates.down.SetText("fast")
	s.rates.save()
	b.reads("write speeds like 500k or 2M")
	s.rates.down.SetText("2M")
	s.rates.times.SetText("mon-fri 08:00-18:00 2M/500k\n\nsat,sun 10:00-12:00 -/1M\n")
	s.rates.battery.SetText("0")
	s.rates.save()
	b.settle("it is saved", func() bool { return len(n.limited) == 1 })
	got := n.limited[0].Limits
	if got.Down != 2_000_000 || got.Up != 500_000 || got.Battery != node.NeverPause ||
		!slices.Equal(got.Schedule, []string{"mon-fri 08:00-18:00 2M/500k", "sat,sun 10:00-12:00 -/1M"}) {
		t.Errorf("set %+v", got)
	}
	s.rates.times.SetText("whenever")
	s.rates.save()
	b.reads("is no line of a schedule")
}

func TestReadRate(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "-": 0, "500k": 500_000, " 2 M ": 2_000_000, "1G": 1_000_000_000, "77": 77, "x": -1, "-5": -1, "99999999999999999999": -1, "m": -1} {
		got, err := readRate(text)
		if want < 0 != (err != nil) || err == nil && got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
		if err == nil && got > 0 {
			if again, err := readRate(rateText(got)); err != nil || again != got {
				t.Errorf("%d is written %q", got, rateText(got))
			}
		}
	}
}

func TestNetwork(t *testing.T) {
	n := busy()
	n.net = node.NetReport{Addresses: []string{"192.168.1.20:24930"}, Mapped: "24930", Peers: []node.NetPeer{{Online: true}, {}},
		Servers: []node.NetServer{{Address: "relay.example.org:24931", Why: said.As("of-later", "no answer")}}}
	b, s := openSettings(t, n)
	b.settle("the network is shown", func() bool { return b.shows("1 of 2 machines of your circle is reached.") })
	b.reads("relay.example.org:24931 does not work: no answer")
	s.askServer()
	b.entries()[0].SetText("other.example.org:1 ")
	b.press("Save")
	b.settle("it is used", func() bool { return b.shows("other.example.org:1 works.") })
}

func TestNoticesAndPeriodsAndLogin(t *testing.T) {
	b, _ := openSettings(t, busy())
	b.tickBox("a machine has been away for three days")
	b.tickBox("a company opens a file I granted")
	b.tickBox("Start Preezm when I log in")
	if !b.prefs.wanted(noticeMissing) || b.prefs.wanted(noticeOpened) || !b.opt.Login.(*fakeLogin).on {
		t.Error("a choice is not kept")
	}
	if b.prefs.usual() != usualPeriod || b.prefs.longest() != longestPeriod {
		t.Error("the periods have changed by themselves")
	}
	b.prefs.store.SetInt("grant.longest", int(7*day.Seconds()))
	p := newPeriod(b.UI)
	if d, ok := p.span(); !ok || d != 7*day || len(p.spans) != 3 {
		t.Errorf("proposed %v of %v", d, p.spans)
	}
}

func TestLicences(t *testing.T) {
	b, _ := openSettings(t, busy())
	b.press("Versions and licences")
	b.reads("Preezm is built from these modules")
}
