// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"fmt"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/widget"
)

// Every screen fits into 1024 by 700 in both languages, and into half of that,
// which is what a window of that size has at twice the scale: no button, box or
// line of text reaches over the window's edge, and nothing scrolls sideways.
func TestEverythingFits(t *testing.T) {
	for _, size := range []fyne.Size{{Width: 1024, Height: 700}, {Width: 512, Height: 350}} {
		for _, lang := range []string{"en", "fr"} {
			for _, s := range shots() {
				t.Run(fmt.Sprintf("%s-%s-%v", s.name, lang, size.Width), func(t *testing.T) {
					b := s.takeAt(t, lang, schemeLight, size)
					b.fits(size)
				})
			}
		}
	}
}

// fits checks that all that is on screen has its place within the window.
func (b *bench) fits(size fyne.Size) {
	b.t.Helper()
	if m := b.win.Content().MinSize(); m.Width > size.Width || m.Height > size.Height {
		b.t.Errorf("it needs %v", m)
		for _, o := range test.LaidOutObjects(b.win.Content()) {
			if _, ok := o.(*fyne.Container); !ok && o.Visible() && o.MinSize().Width > size.Width-160 {
				b.t.Errorf("%v for a %T: %.80q", o.MinSize(), o, fmt.Sprint(o))
			}
		}
	}
	if top, ok := b.win.Canvas().Overlays().Top().(*widget.PopUp); ok {
		if m := top.Content.MinSize(); m.Width > size.Width || m.Height > size.Height {
			b.t.Errorf("the dialog needs %v", m)
		}
	}
	at := fyne.CurrentApp().Driver().AbsolutePositionForObject
	for _, o := range b.objects() {
		var words string
		width := o.MinSize().Width
		switch o := o.(type) {
		case *widget.Button:
			words = o.Text
		case *widget.Check:
			words = o.Text
		case *widget.Select:
			words, width = o.Selected, o.Size().Width
		case *widget.Entry:
			words, width = o.PlaceHolder, o.Size().Width
		case *canvas.Text:
			words = o.Text
		case *container.Scroll:
			if o.Size().Width == 0 || o.Direction != container.ScrollVerticalOnly {
				continue // of a list of choices that is not open, or in a field to type into
			}
			if over := o.Content.MinSize().Width - o.Size().Width; over > 0.5 {
				b.t.Errorf("%v scrolls sideways by %v", o.Size(), over)
			}
			continue
		default:
			continue
		}
		if place := at(o); words != "" && (place.X < -0.5 || place.X+width > size.Width+0.5) {
			b.t.Errorf("%q reaches from %v over the edge, by %v", words, place, place.X+width-size.Width)
		}
	}
}

// A narrow window, as at twice the scale, keeps the pictures of the sidebar
// and lets go of its words.
func TestNarrowWindow(t *testing.T) {
	b := newHome(t, family())
	b.win.Resize(fyne.NewSize(620, 700))
	if b.shows("Circle") {
		t.Error("the sidebar's words are still there")
	}
	b.win.Resize(fyne.NewSize(1024, 700))
	b.reads("Circle")
}

// What is picked is said in full beside the buttons, or above them where
// there is no room beside them.
func TestPickedIsSaidInFull(t *testing.T) {
	for _, lang := range []string{"en", "fr"} {
		for _, width := range []float32{1400, 1024, 800, 620} {
			b := newBenchIn(t, &fakeHost{node: family(), exists: true}, lang, schemeLight)
			b.enter()
			b.win.Resize(fyne.NewSize(width, 700))
			f := b.frame.files
			f.pick(4, false, false)
			b.win.Resize(fyne.NewSize(width, 700))
			at := fyne.CurrentApp().Driver().AbsolutePositionForObject
			words, first, last := f.actions.Objects[0], f.actions.Objects[1], f.actions.Objects[3]
			right, below := at(words).X+words.MinSize().Width, at(words).Y+words.MinSize().Height
			if right > at(first).X && below > at(first).Y {
				t.Errorf("%s at %v: the words reach to %v, %v and the buttons begin at %v", lang, width, right, below, at(first))
			}
			if bottom := at(last).Y + last.MinSize().Height; bottom < 680 || bottom > 684 {
				t.Errorf("%s at %v: the buttons reach down to %v, and not to the margin", lang, width, bottom)
			}
		}
	}
}

// The keyboard reaches every screen, and Tab walks through the sidebar to what
// a screen offers.
func TestKeyboardOnly(t *testing.T) {
	b := newHome(t, lending())
	c := b.win.Canvas()
	for i, name := range screens() {
		key := fyne.KeyName('1' + rune(i))
		test.TypeOnCanvas(c, "")
		if s, ok := c.(fyne.Shortcutable); ok {
			s.TypedShortcut(&desktop.CustomShortcut{KeyName: key, Modifier: fyne.KeyModifierShortcutDefault})
		} else {
			b.goTo(name)
		}
		if b.frame.front != b.frame.pages[name] {
			t.Errorf("Ctrl+%s does not lead to %s", key, name)
		}
	}
	b.goTo("access")
	c.Focus(nil)
	var first []string
	for range len(screens()) {
		c.(interface{ FocusNext() }).FocusNext()
		if item, ok := c.Focused().(*navItem); ok {
			first = append(first, item.text)
		}
	}
	if len(first) != len(screens()) || first[0] != "Files" || first[len(first)-1] != "Settings" {
		t.Errorf("Tab walks through %q", first)
	}
	b.frame.items["circle"].TypedRune(' ')
	if b.frame.front != b.frame.pages["circle"] {
		t.Error("space does not press a line of the sidebar")
	}
}
