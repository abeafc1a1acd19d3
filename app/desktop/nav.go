// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"image/color"
	"strconv"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// navItem is a line of the sidebar: a screen to go to. It is reached with the
// Tab key as well, and pressed with space or return.
type navItem struct {
	widget.BaseWidget
	text             string
	picture          fyne.Resource
	chosen           bool
	unread           int // shown beside the name
	hovered, focused bool
	tapped           func()
}

var (
	_ fyne.Focusable    = (*navItem)(nil)
	_ desktop.Hoverable = (*navItem)(nil)
)

func newNavItem(text string, picture fyne.Resource, tapped func()) *navItem {
	n := &navItem{text: text, picture: picture, tapped: tapped}
	n.ExtendBaseWidget(n)
	return n
}

func (n *navItem) choose(chosen bool) {
	if n.chosen != chosen {
		n.chosen = chosen
		n.Refresh()
	}
}

// count shows a number beside the name; 0 takes it away.
func (n *navItem) count(unread int) {
	if n.unread != unread {
		n.unread = unread
		n.Refresh()
	}
}

// Tapped goes to the screen.
func (n *navItem) Tapped(*fyne.PointEvent) { n.tapped() }

// MouseIn is part of desktop.Hoverable.
func (n *navItem) MouseIn(*desktop.MouseEvent) { n.hovered = true; n.Refresh() }

// MouseMoved is part of desktop.Hoverable.
func (n *navItem) MouseMoved(*desktop.MouseEvent) {}

// MouseOut is part of desktop.Hoverable.
func (n *navItem) MouseOut() { n.hovered = false; n.Refresh() }

// FocusGained is part of fyne.Focusable.
func (n *navItem) FocusGained() { n.focused = true; n.Refresh() }

// FocusLost is part of fyne.Focusable.
func (n *navItem) FocusLost() { n.focused = false; n.Refresh() }

// TypedRune is part of fyne.Focusable.
func (n *navItem) TypedRune(r rune) {
	if r == ' ' {
		n.tapped()
	}
}

// TypedKey is part of fyne.Focusable.
func (n *navItem) TypedKey(e *fyne.KeyEvent) {
	if e.Name == fyne.KeyReturn || e.Name == fyne.KeyEnter {
		n.tapped()
	}
}

// CreateRenderer is part of fyne.Widget.
func (n *navItem) CreateRenderer() fyne.WidgetRenderer {
	r := &navRenderer{
		item:   n,
		ground: canvas.NewRectangle(nil),
		icon:   widget.NewIcon(n.picture),
		text:   canvas.NewText(n.text, nil),
		badge:  canvas.NewRectangle(nil),
		number: canvas.NewText("", nil),
	}
	r.ground.CornerRadius = 8
	r.paint()
	return r
}

type navRenderer struct {
	item   *navItem
	ground *canvas.Rectangle
	icon   *widget.Icon
	text   *canvas.Text
	badge  *canvas.Rectangle
	number *canvas.Text
}

func (r *navRenderer) paint() {
	ground := theme.ColorNameBackground
	r.ground.FillColor, r.ground.StrokeWidth = color.Transparent, 0
	switch {
	case r.item.chosen:
		ground = colorChosen
	case r.item.hovered:
		ground = theme.ColorNameHover
	}
	if r.item.chosen || r.item.hovered {
		r.ground.FillColor = themeColor(ground)
	}
	if r.item.focused {
		r.ground.StrokeColor, r.ground.StrokeWidth = themeColor(theme.ColorNamePrimary), 2
	}
	r.text.Color = themeColor(theme.ColorNameForeground)
	r.text.TextSize = theme.TextSize()
	r.text.TextStyle.Bold = r.item.chosen
	r.badge.FillColor, r.badge.CornerRadius = themeColor(theme.ColorNamePrimary), 9
	r.number.Color, r.number.TextSize = themeColor(theme.ColorNameForegroundOnPrimary), theme.CaptionTextSize()
	r.number.Text = strconv.Itoa(min(r.item.unread, 99))
	if r.item.unread > 99 {
		r.number.Text += "+"
	}
	visible(r.badge, r.item.unread > 0)
	visible(r.number, r.item.unread > 0)
}

func (r *navRenderer) Layout(s fyne.Size) {
	r.ground.Resize(s)
	r.icon.Resize(fyne.NewSquareSize(20))
	r.icon.Move(fyne.NewPos(12, (s.Height-20)/2))
	t := r.text.MinSize()
	r.text.Resize(t)
	r.text.Move(fyne.NewPos(42, (s.Height-t.Height)/2))
	visible(r.text, s.Width >= 42+t.Width) // in a narrow window the pictures stand alone
	m := r.number.MinSize()
	w := max(m.Width+10, 18)
	at := fyne.NewPos(s.Width-w-10, (s.Height-18)/2)
	if !r.text.Visible() {
		at = fyne.NewPos(s.Width-w, 0)
	}
	r.badge.Resize(fyne.NewSize(w, 18))
	r.badge.Move(at)
	r.number.Resize(m)
	r.number.Move(at.AddXY((w-m.Width)/2, (18-m.Height)/2))
}

func (r *navRenderer) MinSize() fyne.Size {
	return fyne.NewSize(44, 40)
}

func (r *navRenderer) Refresh() {
	r.paint()
	r.Layout(r.item.Size())
	r.ground.Refresh()
	r.icon.Refresh()
	r.text.Refresh()
	r.badge.Refresh()
	r.number.Refresh()
}

func (r *navRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.ground, r.icon, r.text, r.badge, r.number}
}
func (r *navRenderer) Destroy() {}
