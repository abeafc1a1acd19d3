// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/widget"
)

// Every screen fits into 1024 by 700 in both languages, and no button, box or
// line of text reaches over the window's edge there.
func TestEverythingFits(t *testing.T) {
	for _, lang := range []string{"en", "fr"} {
		for _, s := range shots() {
			t.Run(s.name+"-"+lang, func(t *testing.T) {
				b := s.take(t, lang, schemeLight)
				if m := b.win.Content().MinSize(); m.Width > 1024 || m.Height > 700 {
					t.Errorf("it needs %v", m)
				}
				for _, o := range b.objects() {
					var words string
					switch o := o.(type) {
					case *widget.Button:
						words = o.Text
					case *widget.Check:
						words = o.Text
					default:
						continue
					}
					at := fyne.CurrentApp().Driver().AbsolutePositionForObject(o)
					if at.X < 0 || at.X+o.MinSize().Width > 1024.5 {
						t.Errorf("%q reaches from %v over the edge", words, at)
					}
				}
			})
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
			words, buttons := f.actions.Objects[0], f.actions.Objects[1]
			right, below := at(words).X+words.MinSize().Width, at(words).Y+words.MinSize().Height
			if right > at(buttons).X && below > at(buttons).Y {
				t.Errorf("%s at %v: the words reach to %v, %v and the buttons begin at %v", lang, width, right, below, at(buttons))
			}
			if bottom := at(buttons).Y + buttons.MinSize().Height; bottom != 684 {
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
