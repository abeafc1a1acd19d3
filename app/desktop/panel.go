// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"image/color"
	"unicode/utf8"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// panel is a ground in one of the theme's colours with something on it. The
// toolkit's own rectangle keeps the colour it was given; a panel follows the
// theme.
type panel struct {
	widget.BaseWidget
	fill    fyne.ThemeColorName
	radius  float32
	outline bool
	wide    bool // it fills much of the window
	content fyne.CanvasObject
}

func newPanel(fill fyne.ThemeColorName, radius float32, content fyne.CanvasObject) *panel {
	p := &panel{fill: fill, radius: radius, content: content}
	p.ExtendBaseWidget(p)
	return p
}

// newCard is a panel for a group of things, with air inside.
func newCard(content fyne.CanvasObject) *panel {
	p := newPanel(colorSurface, 12, container.New(layout.NewCustomPaddedLayout(14, 14, 16, 16), content))
	p.outline = true
	return p
}

// CreateRenderer is part of fyne.Widget.
func (p *panel) CreateRenderer() fyne.WidgetRenderer {
	r := &panelRenderer{panel: p}
	if p.wide {
		r.wide = newWideGround()
		r.objects = append(r.wide.objects(), p.content)
	} else {
		r.ground = canvas.NewRectangle(nil)
		r.objects = []fyne.CanvasObject{r.ground, p.content}
	}
	r.paint()
	return r
}

type panelRenderer struct {
	panel   *panel
	ground  *canvas.Rectangle
	wide    *wideGround // instead of it
	objects []fyne.CanvasObject
}

func (r *panelRenderer) paint() {
	fill, outline := themeColor(r.panel.fill), color.Color(nil)
	if r.panel.outline {
		outline = themeColor(theme.ColorNameSeparator)
	}
	if r.wide != nil {
		r.wide.paint(fill, outline, r.panel.radius)
		return
	}
	r.ground.FillColor, r.ground.CornerRadius = fill, r.panel.radius
	if outline != nil {
		r.ground.StrokeColor, r.ground.StrokeWidth = outline, 1
	}
}

func (r *panelRenderer) Layout(s fyne.Size) {
	if r.wide != nil {
		r.wide.resize(s)
	} else {
		r.ground.Resize(s)
	}
	r.panel.content.Resize(s)
}

func (r *panelRenderer) MinSize() fyne.Size { return r.panel.content.MinSize() }

func (r *panelRenderer) Refresh() {
	r.paint()
	r.objects[0].Refresh() // draws the window anew
	r.panel.content.Refresh()
}

func (r *panelRenderer) Objects() []fyne.CanvasObject { return r.objects }
func (r *panelRenderer) Destroy()                     {}

// bar is a thin line that fills as a transfer goes on. It never animates: an
// animation costs a third of a core under software rendering.
type bar struct {
	widget.BaseWidget
	value float64 // 0 to 1
}

func newBar() *bar {
	b := &bar{}
	b.ExtendBaseWidget(b)
	return b
}

func (b *bar) set(value float64) {
	if value != b.value {
		b.value = min(max(value, 0), 1)
		b.Refresh()
	}
}

// CreateRenderer is part of fyne.Widget.
func (b *bar) CreateRenderer() fyne.WidgetRenderer {
	r := &barRenderer{bar: b, track: canvas.NewRectangle(nil), fill: canvas.NewRectangle(nil)}
	r.track.CornerRadius, r.fill.CornerRadius = 3, 3
	r.Refresh()
	return r
}

type barRenderer struct {
	bar         *bar
	track, fill *canvas.Rectangle
}

func (r *barRenderer) Layout(s fyne.Size) {
	top := (s.Height - 6) / 2
	for _, o := range []*canvas.Rectangle{r.track, r.fill} {
		o.Move(fyne.NewPos(0, top))
	}
	r.track.Resize(fyne.NewSize(s.Width, 6))
	r.fill.Resize(fyne.NewSize(s.Width*float32(r.bar.value), 6))
}

func (r *barRenderer) MinSize() fyne.Size { return fyne.NewSize(60, 10) }

func (r *barRenderer) Refresh() {
	r.track.FillColor = themeColor(theme.ColorNameSeparator)
	r.fill.FillColor = themeColor(theme.ColorNamePrimary)
	r.Layout(r.bar.Size())
	r.track.Refresh()
	r.fill.Refresh()
}

func (r *barRenderer) Objects() []fyne.CanvasObject { return []fyne.CanvasObject{r.track, r.fill} }
func (r *barRenderer) Destroy()                     {}

// Texts. Rich text, because a label's colour cannot be chosen.

func styled(text string, style widget.RichTextStyle) *widget.RichText {
	return widget.NewRichText(&widget.TextSegment{Text: text, Style: style})
}

// newTitle heads a screen.
func newTitle(text string) *widget.RichText {
	return styled(text, widget.RichTextStyle{ColorName: theme.ColorNameForeground, SizeName: sizeTitle, TextStyle: fyne.TextStyle{Bold: true}})
}

// newHeading heads a group.
func newHeading(text string) *widget.RichText {
	return styled(text, widget.RichTextStyle{ColorName: theme.ColorNameForeground, SizeName: theme.SizeNameSubHeadingText, TextStyle: fyne.TextStyle{Bold: true}})
}

// newWideHeading heads a group with words that wrap.
func newWideHeading(text string) *widget.RichText {
	t := newHeading(text)
	t.Wrapping = fyne.TextWrapWord
	return t
}

// newWideTitle is a title in the middle that wraps.
func newWideTitle(text string) *widget.RichText {
	t := centred(newTitle(text))
	t.Wrapping = fyne.TextWrapWord
	return t
}

// newNote is secondary text that wraps.
func newNote(text string) *widget.RichText {
	t := styled(text, widget.RichTextStyle{ColorName: colorQuiet, SizeName: theme.SizeNameText})
	t.Wrapping = fyne.TextWrapWord
	return t
}

// newTrouble is text about something that went wrong, hidden while empty.
func newTrouble() *widget.RichText {
	t := styled("", widget.RichTextStyle{ColorName: theme.ColorNameError, SizeName: theme.SizeNameText})
	t.Wrapping = fyne.TextWrapWord
	t.Hide()
	return t
}

// setText changes what one of the texts above says, and hides it when that is
// nothing.
func setText(t *widget.RichText, text string) {
	segment := t.Segments[0].(*widget.TextSegment)
	if segment.Text != text {
		segment.Text = text
		t.Refresh()
	}
	if text == "" {
		t.Hide()
	} else {
		t.Show()
	}
}

func textOf(t *widget.RichText) string { return t.Segments[0].(*widget.TextSegment).Text }

// ellipsize shortens text in its middle until it is no wider than width: the
// ending of a file name says what it is.
func ellipsize(text string, width, size float32, style fyne.TextStyle) string {
	return shorten(text, min(9, utf8.RuneCountInString(text)/3), width, size, style)
}

// ellipsizeEnd shortens a sentence at its end.
func ellipsizeEnd(text string, width, size float32) string {
	return shorten(text, 0, width, size, fyne.TextStyle{})
}

// shorten leaves as much of the text as fits, and of its end this many runes.
func shorten(text string, tail int, width, size float32, style fyne.TextStyle) string {
	fits := func(s string) bool { return fyne.MeasureText(s, size, style).Width <= width }
	if fits(text) {
		return text
	}
	runes := []rune(text)
	low, high := 0, len(runes)-tail // of the head
	for low < high {
		middle := (low + high + 1) / 2
		if fits(string(runes[:middle]) + "…" + string(runes[len(runes)-tail:])) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return string(runes[:low]) + "…" + string(runes[len(runes)-tail:])
}

// widthLayout grows its content to a smallest width. Text that wraps is as
// high as its width lets it be, so the content gets the width before it is
// asked for its height.
type widthLayout struct{ width float32 }

func (l widthLayout) Layout(objects []fyne.CanvasObject, s fyne.Size) {
	for _, o := range objects {
		o.Resize(s)
	}
}

func (l widthLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	var m fyne.Size
	for _, o := range objects {
		if o.Size().Width < l.width {
			o.Resize(fyne.NewSize(l.width, o.Size().Height))
		}
		m = m.Max(o.MinSize())
	}
	return fyne.NewSize(max(m.Width, l.width), m.Height)
}

// narrowLayout centres its content in a column that is no wider than width:
// long lines are hard to read.
type narrowLayout struct{ width float32 }

func (l narrowLayout) Layout(objects []fyne.CanvasObject, s fyne.Size) {
	w := min(s.Width, l.width)
	for _, o := range objects {
		o.Resize(fyne.NewSize(w, s.Height))
		o.Move(fyne.NewPos((s.Width-w)/2, 0))
	}
}

func (l narrowLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	var m fyne.Size
	for _, o := range objects {
		m = m.Max(o.MinSize())
	}
	return m
}

func iconOf(res fyne.Resource, size float32) fyne.CanvasObject {
	image := canvas.NewImageFromResource(res)
	image.FillMode = canvas.ImageFillContain
	image.SetMinSize(fyne.NewSquareSize(size))
	return image
}
