// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// beside sets a main part to the left and what belongs to it to the right. Where
// that would leave the main part less than least, they go below it, on as many
// lines as it takes: in a narrow window, as at twice the scale, nothing reaches
// over the edge.
func beside(least float32, main fyne.CanvasObject, rest ...fyne.CanvasObject) *fyne.Container {
	return container.New(&besideLayout{least: least}, append([]fyne.CanvasObject{main}, rest...)...)
}

type besideLayout struct {
	least float32
	width float32 // of the last layout; 0 before it
}

// natural is the size of objects side by side.
func natural(objects []fyne.CanvasObject) fyne.Size {
	var s fyne.Size
	for _, o := range objects {
		if o.Visible() {
			m := o.MinSize()
			if s.Width > 0 {
				s.Width += theme.Padding()
			}
			s.Width, s.Height = s.Width+m.Width, max(s.Height, m.Height)
		}
	}
	return s
}

// fits tells whether all has room in one line. A negative least is what the main
// part needs itself.
func (b *besideLayout) fits(main fyne.CanvasObject, rest fyne.Size, width float32) bool {
	least := b.least
	if least < 0 {
		least = main.MinSize().Width
	}
	return rest.Width == 0 || rest.Width+theme.Padding()+least <= width
}

func (b *besideLayout) Layout(objects []fyne.CanvasObject, s fyne.Size) {
	b.width = s.Width
	main, rest := objects[0], objects[1:]
	r := natural(rest)
	main.Move(fyne.NewPos(0, 0))
	if !b.fits(main, r, s.Width) {
		main.Resize(fyne.NewSize(s.Width, main.Size().Height)) // its height may follow from it
		h := main.MinSize().Height
		main.Resize(fyne.NewSize(s.Width, h))
		flow(rest, s.Width, true)
		for _, o := range rest {
			if o.Visible() {
				o.Resize(fyne.NewSize(min(o.Size().Width, s.Width), o.Size().Height))
				o.Move(o.Position().AddXY(0, h+theme.Padding()))
			}
		}
		return
	}
	x := s.Width - r.Width
	if r.Width == 0 {
		main.Resize(s)
		return
	}
	main.Resize(fyne.NewSize(x-theme.Padding(), s.Height))
	for _, o := range rest {
		if o.Visible() {
			m := o.MinSize()
			o.Resize(m)
			o.Move(fyne.NewPos(x, (s.Height-m.Height)/2))
			x += m.Width + theme.Padding()
		}
	}
}

// MinSize is, as that of a flow, the height at the width of the last layout.
func (b *besideLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	main, rest := objects[0].MinSize(), objects[1:]
	r := natural(rest)
	width := main.Width
	for _, o := range rest {
		if o.Visible() {
			width = max(width, o.MinSize().Width)
		}
	}
	if b.width == 0 || b.fits(objects[0], r, b.width) {
		return fyne.NewSize(width, max(main.Height, r.Height))
	}
	return fyne.NewSize(width, main.Height+theme.Padding()+flow(rest, b.width, false))
}

// settingLayout sets a control right of its name, or below it where the width
// is too small for both.
type settingLayout struct{ width float32 } // of the last layout; 0 before it

const (
	settingName    = 215 // width of the name
	settingControl = 150 // the least that a control needs beside it
)

func (l *settingLayout) Layout(objects []fyne.CanvasObject, s fyne.Size) {
	l.width = s.Width
	name, control := objects[0], objects[1]
	name.Move(fyne.NewPos(0, 0))
	if s.Width < l.wide(objects) {
		h := name.MinSize().Height
		name.Resize(fyne.NewSize(s.Width, h))
		control.Move(fyne.NewPos(0, h))
		control.Resize(fyne.NewSize(s.Width, max(s.Height-h, control.MinSize().Height)))
		return
	}
	left := max(settingName, name.MinSize().Width)
	name.Resize(fyne.NewSize(left, s.Height))
	control.Move(fyne.NewPos(left+theme.Padding(), 0))
	control.Resize(fyne.NewSize(s.Width-left-theme.Padding(), s.Height))
}

// wide is the width from which on both are side by side.
func (l *settingLayout) wide(objects []fyne.CanvasObject) float32 {
	return max(settingName, objects[0].MinSize().Width) + theme.Padding() + max(settingControl, objects[1].MinSize().Width)
}

func (l *settingLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	name, control := objects[0].MinSize(), objects[1].MinSize()
	if l.width == 0 || l.width >= l.wide(objects) {
		return fyne.NewSize(max(name.Width, control.Width), max(name.Height, control.Height))
	}
	return fyne.NewSize(max(name.Width, control.Width), name.Height+control.Height)
}

// choiceLayout sets a choice below each other where one line has no room for it.
type choiceLayout struct{ line float32 } // width of the whole in one line

func (l *choiceLayout) Layout(objects []fyne.CanvasObject, s fyne.Size) {
	r := objects[0].(*widget.RadioGroup)
	if in := s.Width >= l.line; in != r.Horizontal {
		r.Horizontal = in
		r.Refresh()
	}
	r.Resize(s)
}

func (l *choiceLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	r := objects[0].(*widget.RadioGroup)
	m := r.MinSize()
	if r.Horizontal {
		l.line = m.Width
		m.Width = min(m.Width, settingControl)
	}
	return m
}

// room is how much of the window a dialog may take beside its own frame.
const (
	roomAside = 120 // left and right of what a dialog holds
	roomAbove = 140 // above and below: the title and the buttons
)

// wide is a width, or what the window has of it for a dialog.
func (u *UI) wide(width float32) float32 {
	if w := u.win.Canvas().Size().Width; w > 0 {
		return min(width, w-roomAside)
	}
	return width
}

// buttons are those of a dialog, below each other where the window is too narrow
// for all of them in one line.
func (u *UI) buttons(all ...fyne.CanvasObject) []fyne.CanvasObject {
	var widest float32
	for _, b := range all {
		widest = max(widest, b.MinSize().Width) // the toolkit makes all as wide as the widest
	}
	if w := u.win.Canvas().Size().Width; w == 0 || float32(len(all))*(widest+theme.Padding()) <= w-48 {
		return all
	}
	return []fyne.CanvasObject{container.NewVBox(all...)}
}

// fit gives what a dialog holds a width, as far as the window has room, and
// lets it scroll where it would be higher than the window.
func (u *UI) fit(width float32, content fyne.CanvasObject) fyne.CanvasObject {
	wide := &wideLayout{ui: u, width: width}
	inner := container.New(wide, content)
	return container.New(&fitLayout{ui: u, wide: wide, inner: inner}, container.NewVScroll(inner))
}

// wideLayout is a widthLayout that never is wider than the window.
type wideLayout struct {
	ui    *UI
	width float32
	bar   float32 // left free at the right, for the bar of what scrolls
}

func (l *wideLayout) Layout(objects []fyne.CanvasObject, s fyne.Size) {
	widthLayout{}.Layout(objects, fyne.NewSize(s.Width-l.bar, s.Height))
}

func (l *wideLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	return widthLayout{l.ui.wide(l.width)}.MinSize(objects)
}

type fitLayout struct {
	ui    *UI
	wide  *wideLayout
	inner *fyne.Container
}

func (l *fitLayout) Layout(objects []fyne.CanvasObject, s fyne.Size) {
	for _, o := range objects {
		o.Resize(s)
	}
}

func (l *fitLayout) MinSize([]fyne.CanvasObject) fyne.Size {
	m := l.inner.MinSize()
	l.wide.bar = 0
	if h := l.ui.win.Canvas().Size().Height; h > 0 && m.Height > max(h-roomAbove, 80) {
		m.Height, l.wide.bar = max(h-roomAbove, 80), 12
	}
	return m
}
