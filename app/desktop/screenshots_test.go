// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"github.com/preezm/preezm/engine/consent"
)

// shot is a screen in a state worth looking at.
type shot struct {
	name string
	home func() *fakeNode // nil: there is none yet
	set  func(b *bench)
}

// shots are the pictures of make screenshots, and what the tests of the
// layout walk through.
func shots() []shot {
	page := func(name string) func(b *bench) {
		return func(b *bench) { b.goTo(name) }
	}
	return []shot{
		{"welcome", nil, func(b *bench) { b.showWelcome() }},
		{"welcome-new", nil, func(b *bench) { b.prefs.store.SetString("welcome.way", "new"); b.showWelcome() }},
		{"welcome-recover", nil, func(b *bench) { b.prefs.store.SetString("welcome.way", "recover"); b.showWelcome() }},
		{"welcome-device", nil, func(b *bench) {
			b.prefs.store.SetString("welcome.way", "device")
			b.showWelcome().showDeviceWords("study laptop", []string{"apple", "river", "stone", "cloud"})
		}},
		{"welcome-helpers", nil, func(b *bench) {
			b.prefs.store.SetString("welcome.way", "helpers")
			w := b.showWelcome()
			h := halfway()
			w.showHelp(&h, container.NewVBox())
		}},
		{"words-24", nil, func(b *bench) { b.wordsPage(words24(), func() {}) }},
		{"words-check", nil, func(b *bench) { b.node = b.host.node; b.checkPage(words24(), func() {}) }},
		{"locked", nil, func(b *bench) { b.showLocked() }},
		{"failure", family, func(b *bench) { b.lost(nil) }},
		{"files", family, func(b *bench) { b.frame.files.pick(4, false, false) }},
		{"twice", several, func(b *bench) {
			b.settle("it is seen", func() bool { return len(b.frame.files.twice) == 1 })
		}},
		{"twice-choose", several, func(b *bench) {
			b.chooseVersion("Letter to the landlord.odt")
			b.settle("both are shown", func() bool { return b.win.Canvas().Overlays().Top() != nil })
		}},
		{"versions", busy, func(b *bench) {
			b.showVersions("Insurance contract.pdf")
			b.settle("the versions are shown", func() bool { return b.win.Canvas().Overlays().Top() != nil })
		}},
		{"trash", busy, func(b *bench) {
			b.showTrash()
			b.settle("the trash is shown", func() bool { return b.win.Canvas().Overlays().Top() != nil })
		}},
		{"files-empty", func() *fakeNode { return &fakeNode{} }, func(*bench) {}},
		{"circle", busy, func(b *bench) {
			b.goTo("circle")
			b.settle("the circle is shown", func() bool { return b.frame.pages["circle"].(*circleScreen).loaded })
		}},
		{"words", family, func(b *bench) {
			b.goTo("circle")
			b.showWords("tower", []string{"apple", "river", "stone", "cloud"}, func(bool) {}, nil)
		}},
		{"roles", busy, func(b *bench) { b.goTo("circle"); b.askRoles(b.host.node.members[1]) }},
		{"invite", family, func(b *bench) {
			b.goTo("circle")
			b.invite()
			b.settle("the invite is shown", func() bool { return b.win.Canvas().Overlays().Top() != nil })
		}},
		{"access", lending, func(b *bench) {
			b.goTo("access")
			b.settle("the grants are shown", func() bool { return b.frame.pages["access"].(*access).loaded })
		}},
		{"granting", lending, func(b *bench) {
			b.goTo("access")
			b.settle("the grants are shown", func() bool { return b.frame.pages["access"].(*access).loaded })
			b.grantPage(pathsOf(newItems(b.host.node.entries)[4:6]))
			g := b.frame.granting
			b.settle("all is known", func() bool { return len(g.draft.files) == 2 && g.draft.via != nil })
			g.brands.SetSelectedIndex(0)
		}},
		{"asked", wantedFrom, func(b *bench) {
			b.goTo("access")
			a := b.frame.pages["access"].(*access)
			b.settle("the requests are shown", func() bool { return a.loaded && a.asks.loaded })
		}},
		{"asked-before", answeredOnce, func(b *bench) {
			b.goTo("access")
			a := b.frame.pages["access"].(*access)
			b.settle("the requests are shown", func() bool { return a.loaded && a.asks.loaded })
			a.asks.showAnswered()
		}},
		{"receipt", answeredOnce, func(b *bench) {
			b.goTo("access")
			b.settle("the grants are shown", func() bool { return b.frame.pages["access"].(*access).loaded })
			b.fetchReceipt("r-00000002", b.node.RequestReceipt)
			b.settle("it is shown", func() bool { return b.win.Canvas().Overlays().Top() != nil })
		}},
		{"sent", office, func(b *bench) {
			b.goTo("received")
			r := b.frame.pages["received"].(*received)
			b.settle("it is known", func() bool { return r.loaded })
			r.sent[2].Countersignature = consent.CountersignPrefix + "hQEC"
			r.showSent()
		}},
		{"answer", wantedFrom, func(b *bench) {
			b.goTo("access")
			a := b.frame.pages["access"].(*access)
			b.settle("the requests are shown", func() bool { return a.loaded && a.asks.loaded })
			b.answerPage(&a.asks.list[0])
			g := b.frame.granting
			b.settle("all is known", func() bool { return g.draft.asked && g.draft.via != nil })
		}},
		{"ask", office, func(b *bench) {
			b.goTo("received")
			r := b.frame.pages["received"].(*received)
			b.settle("it is known", func() bool { return r.loaded })
			r.askPerson()
		}},
		{"desks", office, func(b *bench) {
			b.goTo("received")
			r := b.frame.pages["received"].(*received)
			b.settle("it is known", func() bool { return r.loaded })
			r.desksDialog(b.host.node.fakeAsked.members)
		}},
		{"ticket", lending, func(b *bench) {
			b.showTicket("ACME Insurance", "g-7f3a9b21", "preezm-ticket1-QIAxN2M3MjE1ZTk4ZjE1YjI2YzYxZmQ1NmE0N2E3ZTgy")
		}},
		{"received-none", family, func(b *bench) {
			b.goTo("received")
			b.settle("it is known", func() bool { return b.frame.pages["received"].(*received).loaded })
		}},
		{"received", company, func(b *bench) {
			b.goTo("received")
			r := b.frame.pages["received"].(*received)
			b.settle("it is known", func() bool { return r.loaded })
			o := r.openers["g-7f3a9b21"]
			o.cancel = func() {}
			o.agreed(2, 3)
		}},
		{"activity", lending, func(b *bench) {
			b.goTo("activity")
			a := b.frame.pages["activity"].(*activity)
			b.settle("it is read", func() bool { return a.loaded })
			a.check()
			b.settle("it is verified", func() bool { return len(a.verdict.Objects) > 0 })
		}},
		{"care", tended, func(b *bench) {
			b.goTo("care")
			c := b.frame.care()
			b.settle("the health is shown", func() bool {
				return c.status != nil && c.copies != nil && c.off.state != nil && textOf(c.past.kept) != " "
			})
		}},
		{"care-past", tended, func(b *bench) {
			b.goTo("care")
			c := b.frame.care()
			b.settle("the health is shown", func() bool {
				return c.status != nil && c.copies != nil && c.off.state != nil && textOf(c.past.kept) != " "
			})
			scrollTo(b, c.past.view)
		}},
		{"caretaker", tended, func(b *bench) {
			b.goTo("care")
			c := b.frame.care()
			b.settle("it is known", func() bool { return c.status != nil && c.copies != nil && c.off.state != nil })
			scrollTo(b, c.off.view)
		}},
		{"caretaker-choose", tended, func(b *bench) {
			b.goTo("care")
			c := b.frame.care()
			b.settle("it is known", func() bool { return c.off.state != nil })
			c.off.chooseAmong(b.host.node.members)
		}},
		{"policy", tended, func(b *bench) {
			b.goTo("care")
			c := b.frame.care()
			b.settle("the health is shown", func() bool {
				return c.status != nil && c.copies != nil && c.off.state != nil && textOf(c.past.kept) != " "
			})
			c.past.askPolicy()
		}},
		{"settings", family, page("settings")},
		{"helpers", helped, func(b *bench) {
			b.goTo("settings")
			s := b.frame.pages["settings"].(*settings)
			b.settle("the helpers are shown", func() bool { return s.helpers.loaded && b.frame.alert.loaded })
			scrollTo(b, s.helpers.view)
		}},
		{"helpers-choose", helped, func(b *bench) {
			b.goTo("settings")
			s := b.frame.pages["settings"].(*settings)
			b.settle("the helpers are shown", func() bool { return s.helpers.loaded && b.frame.alert.loaded })
			s.helpers.chooseAmong(b.host.node.members)
		}},
		{"alert", helped, func(b *bench) {
			b.settle("it is told", func() bool { return b.frame.alert.loaded })
			b.frame.alert.look()
		}},
		{"devices", several, func(b *bench) {
			b.goTo("settings")
			s := b.frame.pages["settings"].(*settings)
			b.settle("the machines are listed", func() bool { return len(s.own.rows.Objects) > 0 })
			scrollTo(b, s.own.view)
		}},
	}
}

// scrollTo brings a part of the screen into sight.
func scrollTo(b *bench, o fyne.CanvasObject) {
	for _, seen := range b.objects() {
		if s, ok := seen.(*container.Scroll); ok {
			d := fyne.CurrentApp().Driver()
			s.ScrollToOffset(s.Offset.AddXY(0, d.AbsolutePositionForObject(o).Y-d.AbsolutePositionForObject(s).Y))
			return
		}
	}
}

// take shows one of them.
func (s shot) take(t *testing.T, lang string, of scheme) *bench {
	t.Helper()
	return s.takeAt(t, lang, of, fyne.NewSize(1024, 700))
}

// takeAt shows one of them in a window of that size.
func (s shot) takeAt(t *testing.T, lang string, of scheme, size fyne.Size) *bench {
	t.Helper()
	host := &fakeHost{node: family()}
	if s.home != nil {
		host = &fakeHost{node: s.home(), exists: true}
	}
	b := newBenchIn(t, host, lang, of)
	b.win.Resize(size)
	if s.home != nil {
		b.enter()
	}
	s.set(b)
	// What is high as its width lets it be finds its height at the second look;
	// the driver with a screen takes that look by itself.
	at := map[*container.Scroll]fyne.Position{}
	for _, o := range b.objects() {
		if scroll, ok := o.(*container.Scroll); ok {
			at[scroll] = scroll.Offset
		}
	}
	defer func() {
		for scroll, offset := range at {
			scroll.ScrollToOffset(offset)
		}
	}()
	for range 3 {
		b.win.Content().Refresh()
		b.win.Resize(size.AddWidthHeight(0, 1))
		b.win.Resize(size)
	}
	return b
}

// TestScreenshots writes a picture of every screen in both themes and
// languages into the folder PREEZM_SCREENSHOTS names: see make screenshots.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("PREEZM_SCREENSHOTS")
	if dir == "" {
		t.Skip("PREEZM_SCREENSHOTS names no folder")
	}
	for _, lang := range []string{"en", "fr"} {
		for _, of := range []scheme{schemeLight, schemeDark} {
			for _, s := range shots() {
				t.Run(s.name+"-"+lang+"-"+string(of), func(t *testing.T) {
					b := s.take(t, lang, of)
					f, err := os.Create(filepath.Join(dir, s.name+"-"+lang+"-"+string(of)+".png"))
					if err != nil {
						t.Fatal(err)
					}
					defer f.Close()
					if err := png.Encode(f, b.win.Canvas().Capture()); err != nil {
						t.Fatal(err)
					}
				})
			}
		}
	}
}
