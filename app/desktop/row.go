// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"image/color"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/engine"
)

// rowHeight leaves room for a second, small line: where a found file is.
const rowHeight = 40

// columns are the widths of the list, measured from the words of the language
// so that nothing is cut in any of them. The name takes what is left.
type columns struct{ size, date, health float32 }

const (
	columnGap = 16
	iconSpace = 40 // left of the name
	markSpace = 24 // left of the words of health
)

func measureColumns(l *i18n.Locale, now time.Time) columns {
	width := func(texts ...string) float32 {
		var w float32
		for _, t := range texts {
			w = max(w, fyne.MeasureText(t, theme.TextSize(), fyne.TextStyle{}).Width)
		}
		return w
	}
	sorted := func(title string) float32 { return width(title) + 2*theme.InnerPadding() + 22 }
	late := time.Date(now.Year(), now.Month(), now.Day(), 20, 58, 0, 0, now.Location())
	return columns{
		size: max(width(l.Size(888_000_000), l.Size(888)), sorted(l.T("files.size"))),
		date: max(width(l.When(late, now), l.When(late.AddDate(0, 0, -1), now), l.When(late.AddDate(-1, 0, -3), now)), sorted(l.T("files.date"))),
		health: max(markSpace+width(l.T("health.empty"), l.T("health.lost"), l.T("health.fragile"), l.T("twice.mark"), l.N("health.safe", 1), l.N("health.safe", 22)),
			sorted(l.T("files.health"))),
	}
}

// place gives the left edge and width of each column in a row of this width. A
// row that is too narrow for all leaves out the date, then the size, then the
// words of health beside its mark: a column of no width is not shown.
func (c columns) place(width float32) (name, size, date, health [2]float32) {
	const least, mark = 150, 16 // of a name; only the mark
	left := func() float32 {
		w := width - columnGap - iconSpace
		for _, column := range []float32{c.health, c.date, c.size} {
			if column > 0 {
				w -= column + columnGap
			}
		}
		return w
	}
	for _, drop := range []struct {
		column *float32
		to     float32
	}{{&c.date, 0}, {&c.size, 0}, {&c.health, mark}} {
		if left() < least {
			*drop.column = drop.to
		}
	}
	x := width - columnGap
	take := func(w float32) [2]float32 {
		if w == 0 {
			return [2]float32{x, 0}
		}
		x -= w + columnGap
		return [2]float32{x + columnGap, w}
	}
	health, date, size = take(c.health), take(c.date), take(c.size)
	return [2]float32{iconSpace, max(x-iconSpace, 40)}, size, date, health
}

// fileRow shows one item. It reacts when the mouse goes down, not when the
// toolkit is sure that no double click follows: that would be 300 ms late.
type fileRow struct {
	widget.BaseWidget
	columns columns
	locale  *i18n.Locale
	now     func() time.Time

	item   item
	found  bool // among search results: say where it is
	picked bool
	twice  bool    // two machines put it at once
	home   *health // of the home; nil until known

	onPick func(toggle, extend bool)
	onOpen func()
	onMenu func(at fyne.Position)
}

var (
	_ desktop.Mouseable      = (*fileRow)(nil)
	_ fyne.DoubleTappable    = (*fileRow)(nil)
	_ fyne.SecondaryTappable = (*fileRow)(nil)
)

func newFileRow(l *i18n.Locale, c columns, now func() time.Time) *fileRow {
	r := &fileRow{columns: c, locale: l, now: now}
	r.ExtendBaseWidget(r)
	return r
}

func (r *fileRow) set(it item, home *health, found, picked bool) {
	r.item, r.home, r.found, r.picked = it, home, found, picked
	r.Refresh()
}

// MouseDown picks. A secondary click on what is not picked picks it first, so
// that the menu speaks of what is under the pointer.
func (r *fileRow) MouseDown(e *desktop.MouseEvent) {
	if e.Button == desktop.MouseButtonSecondary && r.picked {
		return
	}
	r.onPick(e.Modifier&fyne.KeyModifierShortcutDefault != 0, e.Modifier&fyne.KeyModifierShift != 0)
}

// MouseUp is part of desktop.Mouseable.
func (r *fileRow) MouseUp(*desktop.MouseEvent) {}

// DoubleTapped opens.
func (r *fileRow) DoubleTapped(*fyne.PointEvent) { r.onOpen() }

// TappedSecondary shows what can be done with it.
func (r *fileRow) TappedSecondary(e *fyne.PointEvent) { r.onMenu(e.AbsolutePosition) }

// CreateRenderer is part of fyne.Widget.
func (r *fileRow) CreateRenderer() fyne.WidgetRenderer {
	n := &rowRenderer{row: r, ground: canvas.NewRectangle(nil), icon: widget.NewIcon(nil), mark: widget.NewIcon(nil)}
	for _, t := range []**canvas.Text{&n.name, &n.within, &n.size, &n.date, &n.health} {
		*t = canvas.NewText("", nil)
	}
	n.objects = []fyne.CanvasObject{n.ground, n.icon, n.name, n.within, n.size, n.date, n.mark, n.health}
	if r.item.shownEntry != nil { // filled before it was first drawn
		n.Refresh()
	}
	return n
}

type rowRenderer struct {
	row                              *fileRow
	ground                           *canvas.Rectangle
	icon, mark                       *widget.Icon
	name, within, size, date, health *canvas.Text
	objects                          []fyne.CanvasObject
}

func (n *rowRenderer) MinSize() fyne.Size { return fyne.NewSize(260, rowHeight) }

func (n *rowRenderer) Refresh() {
	r := n.row
	if r.item.shownEntry == nil {
		return
	}
	fill := color.Color(color.Transparent)
	if r.picked {
		fill = themeColor(theme.ColorNameSelection)
	}
	if n.ground.FillColor != fill {
		n.ground.FillColor, n.ground.CornerRadius = fill, 8
		n.ground.Refresh()
	}
	size, date := "", ""
	if r.item.Kind != engine.Symlink {
		size = r.locale.Size(r.item.Size)
	}
	if when := r.item.when(); !when.IsZero() {
		date = r.locale.When(when, r.now())
	}
	quiet := themeColor(colorQuiet)
	say(n.size, size, theme.TextSize(), quiet)
	say(n.date, date, theme.TextSize(), quiet)
	g, words := entryHealth(r.locale, r.item, r.home)
	if r.twice {
		g, words = gradeFragile, r.locale.T("twice.mark")
	}
	say(n.health, words, theme.TextSize(), themeColor(g.color()))
	n.mark.SetResource(g.icon())
	n.icon.SetResource(kindIcon(r.item.Kind))
	n.Layout(r.Size())
}

// say changes a text that says something else now. While a list scrolls most
// of a row stays as it is, and what stays is not drawn anew.
func say(t *canvas.Text, text string, size float32, c color.Color) {
	if t.Text != text || t.TextSize != size || t.Color != c {
		t.Text, t.TextSize, t.Color = text, size, c
		t.Refresh()
	}
}

func (n *rowRenderer) Layout(s fyne.Size) {
	it := n.row.item
	if it.shownEntry == nil {
		return
	}
	name, size, date, health := n.row.columns.place(s.Width)
	n.ground.Resize(fyne.NewSize(s.Width-8, s.Height-2))
	n.ground.Move(fyne.NewPos(4, 1))
	square := func(icon *widget.Icon, x, side float32) {
		icon.Resize(fyne.NewSquareSize(side))
		icon.Move(fyne.NewPos(x, (s.Height-side)/2))
	}
	square(n.icon, 12, 20)
	square(n.mark, health[0], 16)
	line := func(t *canvas.Text, x, y float32) {
		m := t.MinSize()
		t.Resize(m)
		t.Move(fyne.NewPos(x, y-m.Height/2))
	}
	say(n.name, ellipsize(it.name, name[1], theme.TextSize(), fyne.TextStyle{}), theme.TextSize(), themeColor(theme.ColorNameForeground))
	middle, within := s.Height/2, ""
	if n.row.found {
		within = it.within()
	}
	say(n.within, ellipsize(within, name[1], theme.CaptionTextSize(), fyne.TextStyle{}), theme.CaptionTextSize(), themeColor(colorQuiet))
	if within != "" {
		line(n.name, name[0], middle-9)
		line(n.within, name[0], middle+9)
	} else {
		line(n.name, name[0], middle)
	}
	n.size.Hidden, n.date.Hidden, n.health.Hidden = size[1] == 0, date[1] == 0, health[1] < markSpace
	line(n.size, size[0]+size[1]-n.size.MinSize().Width, middle)
	line(n.date, date[0], middle)
	line(n.health, health[0]+markSpace, middle)
}

func (n *rowRenderer) Objects() []fyne.CanvasObject { return n.objects }
func (n *rowRenderer) Destroy()                     {}

func kindIcon(k engine.Kind) fyne.Resource {
	switch k {
	case engine.Folder:
		return tinted(theme.FolderIcon(), theme.ColorNamePrimary)
	case engine.Symlink:
		return tinted(theme.MailForwardIcon(), colorQuiet)
	}
	return tinted(theme.FileIcon(), colorQuiet)
}
