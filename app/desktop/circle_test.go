// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"reflect"
	"testing"
	"time"

	"fyne.io/fyne/v2"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/receipt"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

func openCircle(t *testing.T, n *fakeNode) (*bench, *circleScreen) {
	t.Helper()
	b := newHome(t, n)
	b.goTo("circle")
	c := b.frame.pages["circle"].(*circleScreen)
	b.settle("the circle is shown", func() bool { return c.loaded && len(c.list.Objects) > 0 })
	return b, c
}

// The picture shows every machine apart from the others, and says in words how
// many may fail.
func TestCircleMap(t *testing.T) {
	n := family()
	b, c := openCircle(t, n)
	b.reads("2 may be lost")
	all := spots(n.members, fyne.NewSize(400, 260))
	for i := range all {
		for j := range i {
			if dx, dy := all[i].x-all[j].x, all[i].y-all[j].y; dx*dx+dy*dy < dotSide*dotSide {
				t.Errorf("%s and %s lie over each other", all[i].name, all[j].name)
			}
		}
		if all[i].x < 0 || all[i].x > 400 || all[i].y < 0 || all[i].y > 260 {
			t.Errorf("%s is outside", all[i].name)
		}
	}
	l := english(t)
	if g, s := mapSentence(l, n.members, &health{grade: gradeFragile, files: 3}); g != gradeFragile || s != "1 away" {
		t.Errorf("%v %q", g, s)
	}
	if g, s := mapSentence(l, nil, nil); g != gradeNone || s != "Your circle is still empty" {
		t.Errorf("%v %q", g, s)
	}
	c.picture.show(make([]node.Member, 40)) // more than have names
}

// What two persons kept for each other stands with one of a person's machines,
// by the figures of 'preezm circle'.
func TestBalance(t *testing.T) {
	n := family()
	n.members[0].Balance = node.Balance{Gave: 1.3, Took: 537.4}
	n.members[1].Balance = node.Balance{Gave: 0.0021, Note: said.By(receipt.ErrDiffers)}
	n.members[2].SameAs, n.members[2].ForThem = n.members[0].Device, 0
	b, c := openCircle(t, n)
	b.reads("I kept 1.3 GB for them, they kept 537 GB for me.")
	b.reads("I kept 2.1 MB for them, they kept 0 bytes for me.")
	b.reads("The last receipt was not signed. The two machines do not agree about what is stored.")
	b.reads("Of the same person as Hallway PC")
	if got := balanceWords(b.locale, n.members[3], "", noon); len(got) > 0 {
		t.Errorf("nothing was signed: %q", got)
	}
	if len(c.list.Objects) != len(n.members) {
		t.Errorf("%d cards", len(c.list.Objects))
	}
}

func TestOffer(t *testing.T) {
	n := busy()
	b, c := openCircle(t, n)
	b.settle("the offer is shown", func() bool { return b.shows("You offer 50 GB to your circle; 3.2 GB in use.") })
	c.offer.SetValue(3)
	b.reads("Offer 100 GB to your circle.")
	c.offer.OnChangeEnded(3)
	b.settle("it is changed", func() bool { return b.shows("You offer 100 GB to your circle; 3.2 GB in use.") })
	if o := n.limited[0]; o.Offer != 100*gigabyte || o.Limits.Up != 500_000 {
		t.Errorf("set %+v", o)
	}
}

// Both sides compare four words; a machine whose words differ goes out again.
func TestWords(t *testing.T) {
	n := family()
	n.paired = make(chan node.Paired, 2)
	b, c := openCircle(t, n)
	b.press("Invite someone")
	b.settle("the invite is shown", func() bool { return b.shows("Good once") })
	words := map[string][]string{"en": {"apple", "river", "stone", "cloud"}, "fr": {"pomme", "fleuve", "pierre", "nuage"}}
	n.paired <- node.Paired{Device: peers.DeviceID{9}, Name: "tower", Words: words}
	b.settle("the words are shown", func() bool { return b.shows("tower joined") && b.shows("3. stone") })
	b.press("They are the same")
	b.reads("You and tower keep for each other.")

	n.words = words
	c.code.SetText("preezm1-other")
	b.press("Join")
	b.settle("the words are shown", func() bool { return b.shows("1. apple") })
	b.press("They are different")
	b.settle("it is out", func() bool { return b.shows("It is out again") })
	if len(n.dismissed) != 1 || n.dismissed[0] != (peers.DeviceID{9}) {
		t.Errorf("dismissed %v", n.dismissed)
	}
}

// Escape closes the question and decides nothing: the machine stays as it is.
func TestWordsUndecided(t *testing.T) {
	n := family()
	n.words = map[string][]string{"en": {"apple", "river", "stone", "cloud"}}
	b, c := openCircle(t, n)
	c.code.SetText("preezm1-other")
	b.press("Join")
	b.settle("the words are shown", func() bool { return b.shows("1. apple") })
	b.typedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
	if b.win.Canvas().Overlays().Top() != nil {
		t.Fatal("Escape does not close the question")
	}
	b.reads("The words were not compared.")
	if len(n.dismissed) > 0 {
		t.Errorf("dismissed %v", n.dismissed)
	}
}

// The sentence in the picture is that of the health, also when no machine came
// or went.
func TestPictureFollowsHealth(t *testing.T) {
	n := family()
	b, _ := openCircle(t, n)
	b.reads("2 may be lost")
	n.mu.Lock()
	n.status.MayLose = 1
	n.mu.Unlock()
	b.askHealth()
	b.settle("the picture says so", func() bool { return b.shows("1 may be lost") })
}

func TestRoles(t *testing.T) {
	n := family()
	b, _ := openCircle(t, n)
	b.askRoles(n.members[1])
	b.tickBox("Decides about access as my custodian")
	entries := b.entries()
	entries[0].SetText("Aunt Rose")
	b.press("Save")
	b.settle("it is changed", func() bool { return b.transfers.running() == 0 })
	o := n.roles[0]
	if o.Keeper != nil || o.House != nil || o.Custodian == nil || !*o.Custodian || o.Person == nil || *o.Person != "Aunt Rose" {
		t.Errorf("changed %+v", o)
	}
}

func TestRemoveAMachine(t *testing.T) {
	n := family()
	n.removal = node.Removal{Pieces: 1200, Bytes: 18_000_000_000, Custodian: true, Lost: []engine.Path{"Wedding film.mkv"}}
	b, _ := openCircle(t, n)
	b.askToDismiss(n.members[4])
	b.settle("the plan is shown", func() bool { return b.shows("Remove Attic PC from your circle?") })
	b.reads("It does not answer. It held 1,200 pieces of yours (18 GB)")
	b.reads("1 file cannot be brought back without it.")
	b.reads("• Wedding film.mkv")
	b.press("Cancel")
	if len(n.removals) > 0 {
		t.Fatal("removed without a yes")
	}
	b.askToDismiss(n.members[1])
	b.settle("the plan is shown", func() bool { return b.shows("They are made anew on the others first") })
	b.press("Remove")
	b.settle("it is removed", func() bool { return b.transfers.running() == 0 })
	if o := n.removals[0]; o.Gone || o.Who != n.members[1].Device.String() {
		t.Errorf("removed %+v", o)
	}
}

func TestReach(t *testing.T) {
	n := family()
	n.net.Peers = []node.NetPeer{{Device: n.members[1].Device, Online: true, How: "relay", In: 2_000_000, Out: 1000, Advice: said.As("of-later", "open port 24930")}}
	b, _ := openCircle(t, n)
	b.showReach(n.members[1])
	b.settle("it is shown", func() bool { return b.shows("Reached through a relay, which sees no content.") })
	b.reads("2 MB received, 1 KB sent since the start")
	b.reads("Open port 24930")
}

// A machine's card is not made anew for what it does not tell.
func TestAsTold(t *testing.T) {
	m := node.Member{Name: "attic", Online: true, Asked: true, LastSeen: noon, Latency: 2300 * time.Microsecond, Free: 5e9}
	for _, c := range []struct {
		what   string
		change func(*node.Member)
		same   bool
	}{
		{"heard of just now", func(m *node.Member) { m.LastSeen = noon.Add(time.Minute) }, true},
		{"a hair slower", func(m *node.Member) { m.Latency += 300 * time.Microsecond }, true},
		{"slower by what nobody feels", func(m *node.Member) { m.Latency += 20 * time.Millisecond }, true},
		{"slower", func(m *node.Member) { m.Latency += 40 * time.Millisecond }, false},
		{"a little less room", func(m *node.Member) { m.Free -= 4e6 }, true},
		{"less room", func(m *node.Member) { m.Free -= 1e8 }, false},
		{"no answer", func(m *node.Member) { m.Online, m.Latency = false, 0 }, false},
		{"keeps more", func(m *node.Member) { m.ForMe = 7 }, false},
	} {
		other := m
		c.change(&other)
		if got := reflect.DeepEqual(asTold([]node.Member{m}, nil), asTold([]node.Member{other}, []node.Member{m})); got != c.same {
			t.Errorf("%s: told the same: %v", c.what, got)
		}
	}
	away := m
	away.Online = false
	later := away
	later.LastSeen = noon.Add(time.Hour)
	if reflect.DeepEqual(asTold([]node.Member{away}, nil), asTold([]node.Member{later}, []node.Member{away})) {
		t.Error("when a machine that is away was there last is told")
	}
}
