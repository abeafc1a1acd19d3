// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// indentLayout sets its content in from the left.
type indentLayout struct{ by float32 }

func (l indentLayout) Layout(objects []fyne.CanvasObject, s fyne.Size) {
	for _, o := range objects {
		o.Move(fyne.NewPos(l.by, 0))
		o.Resize(fyne.NewSize(max(s.Width-l.by, 0), s.Height))
	}
}

func (l indentLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	var m fyne.Size
	for _, o := range objects {
		if o.Visible() {
			m = m.Max(o.MinSize())
		}
	}
	return m.AddWidthHeight(l.by, 0)
}

// rowsLayout stacks rows without space between them.
type rowsLayout struct{}

func (rowsLayout) Layout(objects []fyne.CanvasObject, s fyne.Size) {
	y := float32(0)
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		h := o.MinSize().Height
		o.Move(fyne.NewPos(0, y))
		o.Resize(fyne.NewSize(s.Width, h))
		y += h
	}
}

func (rowsLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	var m fyne.Size
	for _, o := range objects {
		if o.Visible() {
			s := o.MinSize()
			m.Width = max(m.Width, s.Width)
			m.Height += s.Height
		}
	}
	return m
}

// flowLayout sets buttons side by side and begins a new line where the width
// ends: French words are long.
type flowLayout struct{ width float32 } // of the last layout; 0 before it

func (l *flowLayout) Layout(objects []fyne.CanvasObject, s fyne.Size) {
	l.width = s.Width
	flow(objects, s.Width, true)
}

// MinSize is the height at the width the objects were last laid out in: like
// a text that wraps, a flow is as high as its width lets it be.
func (l *flowLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	var width float32
	for _, o := range objects {
		if o.Visible() {
			width = max(width, o.MinSize().Width)
		}
	}
	in := l.width
	if in == 0 {
		in = 640
	}
	return fyne.NewSize(width, flow(objects, max(in, width), false))
}

func flow(objects []fyne.CanvasObject, width float32, move bool) (height float32) {
	gap := theme.Padding()
	x, y, line := float32(0), float32(0), float32(0)
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		m := o.MinSize()
		if x > 0 && x+m.Width > width {
			x, y, line = 0, y+line+gap, 0
		}
		if move {
			o.Move(fyne.NewPos(x, y))
			o.Resize(m)
		}
		x, line = x+m.Width+gap, max(line, m.Height)
	}
	return y + line
}

// twoLayout sets a main part and a narrower one beside it, or below it where
// the width is too small for both.
type twoLayout struct{ aside, stack float32 }

func (l twoLayout) Layout(objects []fyne.CanvasObject, s fyne.Size) {
	gap := 2 * theme.Padding()
	main, aside := objects[0], objects[1]
	if s.Width < l.stack {
		h := main.MinSize().Height
		main.Move(fyne.NewPos(0, 0))
		main.Resize(fyne.NewSize(s.Width, h))
		aside.Move(fyne.NewPos(0, h+gap))
		aside.Resize(fyne.NewSize(s.Width, max(s.Height-h-gap, aside.MinSize().Height)))
		return
	}
	main.Move(fyne.NewPos(0, 0))
	main.Resize(fyne.NewSize(s.Width-l.aside-gap, s.Height))
	aside.Move(fyne.NewPos(s.Width-l.aside, 0))
	aside.Resize(fyne.NewSize(l.aside, s.Height))
}

func (l twoLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	main, aside := objects[0].MinSize(), objects[1].MinSize()
	if width := objects[0].Size().Width; width > 0 && objects[1].Position().X == 0 && objects[1].Position().Y > 0 {
		return fyne.NewSize(max(main.Width, aside.Width), main.Height+aside.Height+2*theme.Padding())
	}
	return fyne.NewSize(max(main.Width, aside.Width), max(main.Height, aside.Height))
}

// statement is a sentence with the shape and colour of its grade.
func statement(g grade, text string) fyne.CanvasObject {
	words := styled(text, widget.RichTextStyle{ColorName: g.color(), SizeName: theme.SizeNameText, TextStyle: fyne.TextStyle{Bold: true}})
	words.Wrapping = fyne.TextWrapWord
	return container.New(statementLayout{}, widget.NewIcon(g.icon()), words)
}

// statementLayout sets a mark beside the first line of a text.
type statementLayout struct{}

const markSide = 18

func (statementLayout) Layout(objects []fyne.CanvasObject, s fyne.Size) {
	pad := theme.InnerPadding()
	line := fyne.MeasureText("M", theme.TextSize(), fyne.TextStyle{Bold: true}).Height
	objects[0].Resize(fyne.NewSquareSize(markSide))
	objects[0].Move(fyne.NewPos(pad, pad+(line-markSide)/2))
	objects[1].Resize(fyne.NewSize(s.Width-pad-markSide, s.Height))
	objects[1].Move(fyne.NewPos(pad+markSide, 0))
}

func (statementLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	return objects[1].MinSize().AddWidthHeight(theme.InnerPadding()+markSide, 0)
}

// scrolled lets cards scroll, with room at their edges for the outline and
// for the bar.
func scrolled(content fyne.CanvasObject) *container.Scroll {
	return container.NewVScroll(container.New(layout.NewCustomPaddedLayout(1, 4, 1, 12), content))
}

// factsLayout stacks pairs of a small name and what it is, close together.
type factsLayout struct{}

const (
	factWithin  = 15 // the name and what it is lie over each other by this much
	factBetween = 7
)

func (factsLayout) Layout(objects []fyne.CanvasObject, s fyne.Size) {
	y := float32(0)
	for i, o := range objects {
		h := o.MinSize().Height
		o.Move(fyne.NewPos(0, y))
		o.Resize(fyne.NewSize(s.Width, h))
		y += h - factOverlap(objects, i)
	}
}

func (factsLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	var m fyne.Size
	for i, o := range objects {
		s := o.MinSize()
		m.Width = max(m.Width, s.Width)
		m.Height += s.Height
		if i < len(objects)-1 {
			m.Height -= factOverlap(objects, i)
		}
	}
	return m
}

func factOverlap(objects []fyne.CanvasObject, i int) float32 {
	if _, ok := objects[i].(*widget.RichText); ok && i%2 == 0 {
		return factWithin
	}
	return factBetween
}

// emptyPage says what a screen is for while there is nothing on it.
func emptyPage(picture fyne.Resource, title, text string, more ...fyne.CanvasObject) fyne.CanvasObject {
	box := container.NewVBox(
		container.NewCenter(iconOf(picture, 64)),
		centred(newWideHeading(title)),
		container.New(narrowLayout{480}, centred(newNote(text))),
	)
	for _, o := range more {
		box.Add(container.NewCenter(o))
	}
	return container.NewPadded(container.NewPadded(box))
}

// event is a point of a timeline: a dot on a line, and words.
type event struct {
	widget.BaseWidget
	text        *widget.RichText
	full        bool
	first, last bool
}

func newEvent(text string, full, first, last bool) *event {
	e := &event{text: newNote(text), full: full, first: first, last: last}
	e.ExtendBaseWidget(e)
	return e
}

// CreateRenderer is part of fyne.Widget.
func (e *event) CreateRenderer() fyne.WidgetRenderer {
	r := &eventRenderer{event: e, line: canvas.NewRectangle(nil), dot: canvas.NewCircle(nil)}
	r.paint()
	return r
}

type eventRenderer struct {
	event *event
	line  *canvas.Rectangle
	dot   *canvas.Circle
}

const eventText = 18 // left edge of the words

func (r *eventRenderer) paint() {
	r.line.FillColor = themeColor(theme.ColorNameInputBorder)
	r.dot.StrokeWidth, r.dot.StrokeColor = 2, themeColor(colorFragile)
	r.dot.FillColor = themeColor(colorSurface)
	if r.event.full {
		r.dot.FillColor = themeColor(colorFragile)
	}
}

func (r *eventRenderer) Layout(s fyne.Size) {
	middle := theme.InnerPadding() + theme.TextSize()*0.7
	top, bottom := float32(0), s.Height
	if r.event.first {
		top = middle
	}
	if r.event.last {
		bottom = middle
	}
	r.line.Move(fyne.NewPos(8, top))
	r.line.Resize(fyne.NewSize(2, max(bottom-top, 0)))
	r.dot.Move(fyne.NewPos(4, middle-5))
	r.dot.Resize(fyne.NewSquareSize(10))
	r.event.text.Move(fyne.NewPos(eventText, 0))
	r.event.text.Resize(fyne.NewSize(s.Width-eventText, s.Height))
}

func (r *eventRenderer) MinSize() fyne.Size {
	return r.event.text.MinSize().AddWidthHeight(eventText, -10)
}

func (r *eventRenderer) Refresh() {
	r.paint()
	r.line.Refresh()
	r.dot.Refresh()
	r.event.text.Refresh()
}

func (r *eventRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.line, r.dot, r.event.text}
}
func (r *eventRenderer) Destroy() {}
