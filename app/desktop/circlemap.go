// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"math"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
)

// spot is a machine in the picture of the circle.
type spot struct {
	name    string
	online  bool
	keeper  bool
	decides bool // a custodian
	x, y    float32
}

// spots sets the machines on an ellipse around the middle, from the top on
// clockwise, in a picture of this size.
func spots(members []node.Member, size fyne.Size) []spot {
	out := make([]spot, len(members))
	rx, ry := size.Width/2-54, size.Height/2-34
	for i, m := range members {
		angle := 2*math.Pi*float64(i)/float64(len(members)) - math.Pi/2
		out[i] = spot{
			name: shownName(m.Name), online: m.Online || !m.Asked, keeper: m.Keeper, decides: m.Custodian,
			x: size.Width/2 + rx*float32(math.Cos(angle)), y: size.Height/2 + ry*float32(math.Sin(angle)) - 6,
		}
	}
	return out
}

// mapSentence says in words what the picture shows.
func mapSentence(l *i18n.Locale, members []node.Member, h *health) (grade, string) {
	away := int64(0)
	for _, m := range members {
		if m.Asked && !m.Online {
			away++
		}
	}
	switch {
	case len(members) == 0:
		return gradeNone, l.T("circle.empty-title")
	case h == nil || h.files == 0:
		return gradeNone, l.N("health.keepers", int64(len(members)))
	case h.grade == gradeLost || h.grade == gradeFragile:
		return h.grade, l.N("circle.map-away", away)
	}
	return h.grade, l.N("circle.map-safe", int64(max(h.mayLose, 0)))
}

// circleMap is a picture of the circle: this machine in the middle, the others
// around it, whole lines to those that are there and broken ones to those that
// are not. It is drawn when something changes and never moves.
type circleMap struct {
	widget.BaseWidget
	ui      *UI
	members []node.Member
}

func newCircleMap(u *UI) *circleMap {
	m := &circleMap{ui: u}
	m.ExtendBaseWidget(m)
	return m
}

func (m *circleMap) show(members []node.Member) {
	m.members = members
	m.Refresh()
}

// CreateRenderer is part of fyne.Widget.
func (m *circleMap) CreateRenderer() fyne.WidgetRenderer {
	r := &mapRenderer{m: m}
	r.Refresh()
	return r
}

type mapRenderer struct {
	m       *circleMap
	size    fyne.Size
	objects []fyne.CanvasObject
}

const (
	dotSide = 34
	meSide  = 64
	// mostNames is how many machines have their names in the picture: more
	// would write over each other.
	mostNames = 12
)

func (r *mapRenderer) MinSize() fyne.Size { return fyne.NewSize(300, 230) }

func (r *mapRenderer) Layout(s fyne.Size) {
	if s != r.size {
		r.size = s
		r.draw()
	}
}

func (r *mapRenderer) Refresh() {
	r.draw()
	canvas.Refresh(r.m)
}

func (r *mapRenderer) draw() {
	r.objects = nil
	u, s := r.m.ui, r.size
	all := spots(r.m.members, s)
	cx, cy := s.Width/2, s.Height/2-6
	for _, p := range all {
		r.line(cx, cy, p)
	}
	g, words := mapSentence(u.locale, r.m.members, u.health)
	r.disc(cx, cy, meSide, g.color(), 3)
	r.picture(g.icon(), cx, cy, 30)
	for _, p := range all {
		color, mark := colorSafe, "online"
		if !p.online {
			color, mark = colorLost, "offline"
		}
		r.disc(p.x, p.y, dotSide, color, 2)
		if p.decides {
			r.picture(icon("key", color), p.x, p.y, 18)
		} else {
			r.picture(icon(mark, color), p.x, p.y, 12)
		}
		if len(all) <= mostNames {
			r.text(ellipsize(p.name, 104, theme.CaptionTextSize(), fyne.TextStyle{}), p.x, p.y+dotSide/2+1, theme.ColorNameForeground)
		}
	}
	r.text(words, cx, cy+meSide/2+1, g.color())
}

// line is whole to a machine that is there, and broken to one that is not.
func (r *mapRenderer) line(cx, cy float32, p spot) {
	if !p.keeper {
		return
	}
	dx, dy := p.x-cx, p.y-cy
	parts := 1
	if !p.online {
		parts = 9
	}
	for i := 0; i < parts; i += 2 {
		from, to := float32(i)/float32(parts), float32(i+1)/float32(parts)
		l := canvas.NewLine(themeColor(theme.ColorNameInputBorder))
		l.StrokeWidth = 2
		l.Position1, l.Position2 = fyne.NewPos(cx+dx*from, cy+dy*from), fyne.NewPos(cx+dx*to, cy+dy*to)
		r.objects = append(r.objects, l)
	}
}

func (r *mapRenderer) disc(x, y, side float32, stroke fyne.ThemeColorName, width float32) {
	c := canvas.NewCircle(themeColor(colorSurface))
	c.StrokeColor, c.StrokeWidth = themeColor(stroke), width
	c.Resize(fyne.NewSquareSize(side))
	c.Move(fyne.NewPos(x-side/2, y-side/2))
	r.objects = append(r.objects, c)
}

func (r *mapRenderer) picture(res fyne.Resource, x, y, side float32) {
	i := widget.NewIcon(res)
	i.Resize(fyne.NewSquareSize(side))
	i.Move(fyne.NewPos(x-side/2, y-side/2))
	r.objects = append(r.objects, i)
}

func (r *mapRenderer) text(words string, x, y float32, color fyne.ThemeColorName) {
	t := canvas.NewText(words, themeColor(color))
	t.TextSize = theme.CaptionTextSize()
	m := t.MinSize()
	t.Resize(m)
	// Never past the edge of the picture.
	at := fyne.NewPos(min(max(x-m.Width/2, 2), max(r.size.Width-m.Width-2, 2)), y)
	t.Move(at)
	ground := canvas.NewRectangle(themeColor(colorSurface)) // no line runs through the words
	ground.CornerRadius = 4
	ground.Resize(m.AddWidthHeight(8, 0))
	ground.Move(at.AddXY(-4, 0))
	r.objects = append(r.objects, ground, t)
}

func (r *mapRenderer) Objects() []fyne.CanvasObject { return r.objects }
func (r *mapRenderer) Destroy()                     {}
