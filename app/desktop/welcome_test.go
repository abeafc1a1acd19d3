// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/vault"
)

// beginning is a window on no home, gone some way.
func beginning(t *testing.T, n *fakeNode, to way) (*bench, *welcome) {
	t.Helper()
	b := newBench(t, &fakeHost{node: n})
	b.reads("Start a new circle")
	b.prefs.store.SetString("welcome.way", string(to))
	return b, b.showWelcome()
}

func TestWelcomeMakesAHome(t *testing.T) {
	b, w := beginning(t, family(), wayNew)
	w.name.SetText("  ")
	if !w.start.Disabled() {
		t.Error("a home without a name can be started")
	}
	w.name.SetText(" desk ")
	w.offer.SetValue(1)
	b.reads("25 GB")
	b.press("Start")
	b.settle("the home is shown", func() bool { return b.frame != nil })
	if want := []Setup{{Name: "desk", Offer: 25 * gigabyte}}; !slices.Equal(b.host.setups, want) {
		t.Errorf("made %v, want %v", b.host.setups, want)
	}
	if len(b.host.node.joined) > 0 {
		t.Error("joined a circle without an invite")
	}
	if b.prefs.store.String("welcome.way") != "" {
		t.Error("what was typed is kept for ever")
	}
}

// What was chosen and typed is there again after the window was closed; an
// invite is a secret and is not.
func TestWelcomeResumes(t *testing.T) {
	b := newBench(t, &fakeHost{node: family()})
	b.press("Join with an invite")
	entries := b.entries()
	entries[0].SetText("preezm1-secret")
	entries[1].SetText("kitchen")
	again := b.showWelcome()
	b.reads("Your invite")
	if again.way != wayJoin || again.name.Text != "kitchen" || again.code.Text != "" {
		t.Errorf("resumed at %q with %q and %q", again.way, again.name.Text, again.code.Text)
	}
	b.press("Back")
	b.reads("Recover with my words")
}

// A wrong invite does not undo the home: the person can correct the code, or
// go on without.
func TestWelcomeJoinFails(t *testing.T) {
	n := family()
	n.join = func(code string) error {
		if code == "good" {
			return nil
		}
		return fmt.Errorf("reading it: %w", circle.ErrInviteCode)
	}
	b, w := beginning(t, n, wayJoin)
	if !w.start.Disabled() {
		t.Error("joining without a code can be started")
	}
	w.code.SetText("bad")
	b.press("Start")
	b.settle("the error is shown", func() bool { return textOf(w.trouble) != "" })
	b.reads("This is not a complete invite code.")
	b.reads("Join later")
	w.code.SetText("good")
	b.press("Start")
	b.settle("the home is shown", func() bool { return b.frame != nil })
	if len(b.host.setups) != 1 || b.host.opened != 1 {
		t.Errorf("made %d homes and opened %d, want one of each", len(b.host.setups), b.host.opened)
	}
}

func TestWelcomeRecovers(t *testing.T) {
	master := [32]byte{1, 2, 3}
	words, err := identity.WordsOf(master, identity.French)
	if err != nil {
		t.Fatal(err)
	}
	b, w := beginning(t, family(), wayRecover)
	w.words.SetText(strings.Join(words[:23], " "))
	if !w.start.Disabled() {
		t.Error("23 words are enough")
	}
	w.words.SetText(strings.Join(words[:23], " ") + " zzzz")
	b.press("Start")
	if textOf(w.trouble) == "" || len(b.host.setups) > 0 {
		t.Error("a wrong word is not noticed")
	}
	w.words.SetText(strings.ToUpper(strings.Join(words, "\n")))
	w.from.SetText("cellar-nas:24930")
	b.host.initErr = errors.New("nobody answers")
	b.press("Start")
	b.settle("the error is shown", func() bool { return b.shows("nobody answers") })
	b.host.initErr = nil
	b.press("Start")
	b.settle("the home is back", func() bool { return b.frame != nil })
	got := b.host.setups[len(b.host.setups)-1]
	if got.Master == nil || *got.Master != master || got.From != "cellar-nas:24930" {
		t.Errorf("recovered with %+v", got)
	}
}

// The words are shown and three asked back; wrong ones are not taken, and all
// of it can be put off and found again in the settings.
func TestMyWords(t *testing.T) {
	n := family()
	n.myWords = words24()
	b, _ := beginning(t, n, wayNew)
	b.press("Start")
	b.settle("the words are shown", func() bool { return b.shows("Write them down on paper") })
	b.reads("abandon")
	b.reads("actual")
	b.press("Later")
	b.settle("the home is shown", func() bool { return b.frame != nil })
	b.goTo("settings")
	b.settle("the words are missed", func() bool { return b.shows("You have not written down your 24 words yet") })
	b.press("Show my words")
	b.settle("the words are shown", func() bool { return b.shows("Write them down on paper") })
	b.press("I wrote them down")
	answer := func(wrong bool) {
		var numbers []int
		for i := 1; i <= 24; i++ {
			if slices.Contains(strings.Split(b.text(), "\n"), fmt.Sprintf("Word %d", i)) {
				numbers = append(numbers, i)
			}
		}
		for i, e := range b.entries() {
			e.SetText(words24()[numbers[i]-1])
			if wrong {
				e.SetText("zebra")
			}
		}
		b.press("Check")
	}
	answer(true)
	b.settle("it is wrong", func() bool { return b.shows("One of them is not right.") })
	answer(false)
	b.settle("it is right", func() bool { return b.frame != nil })
	b.settle("they are known to be there", func() bool { return b.shows("You have your 24 words; this machine has forgotten them.") })
}

func TestPlaces(t *testing.T) {
	for range 200 {
		p := places(3, 24)
		if len(p) != 3 || p[0] < 1 || p[2] > 24 || p[0] >= p[1] || p[1] >= p[2] {
			t.Fatalf("%v", p)
		}
	}
}

func TestLockAndUnlock(t *testing.T) {
	n := family()
	n.key.By = vault.ByKeyFile
	b, s := openSettings(t, n)
	b.settle("the key is shown", func() bool { return b.shows("The key lies in a file beside the home") })
	if !s.key.lock.Disabled() {
		t.Error("a home without a passphrase can be locked")
	}
	b.press("Set a passphrase…")
	b.entries()[0].SetText("open sesame")
	b.press("Save")
	b.reads("The two are empty or not the same.")
	b.press("Close")
	b.press("Set a passphrase…")
	for _, e := range b.entries() {
		e.SetText("open sesame")
	}
	b.press("Save")
	b.settle("it is set", func() bool { return b.shows("The key is behind your passphrase.") })
	b.press("Lock now")
	b.settle("it is locked", func() bool { return b.shows("This home is locked") })
	b.entries()[0].SetText("guess")
	b.press("Unlock")
	b.settle("it stays shut", func() bool { return b.shows("This passphrase does not open it.") })
	b.entries()[0].SetText("open sesame")
	b.press("Unlock")
	b.settle("it is open", func() bool { return b.frame != nil })
}

// A home that is locked asks for the passphrase when it is opened.
func TestOpensLocked(t *testing.T) {
	n := family()
	n.key.Locked = true
	b := newBench(t, &fakeHost{node: n, exists: true})
	b.open(nil)
	b.settle("it asks", func() bool { return b.shows("This home is locked") })
}

func TestSheet(t *testing.T) {
	b, s := openSettings(t, family())
	s.key.showSheet()
	b.settle("it is shown", func() bool { return b.shows("Write this down beside your 24 words") })
	b.press("Copy the code")
	if got := b.app.Clipboard().Content(); !strings.Contains(got, "Cellar NAS") || !strings.Contains(got, "192.0.2.7:24930") {
		t.Errorf("copied %q", got)
	}
}
