// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
)

// wideGround is what a panel stands on that fills much of the window. Without
// a graphics card each pixel of a rectangle costs the toolkit's renderer 15 ns,
// of a rounded one 30 ns, of a thick line 4 ns, and the whole window is drawn
// for whatever changes in it. So only its ends are rectangles, and a line as
// thick as the panel is high fills what is between them.
type wideGround struct {
	radius      float32
	top, bottom *canvas.Rectangle
	middle      *canvas.Line
	left, right *canvas.Rectangle // the outline beside the middle
}

func newWideGround() *wideGround {
	return &wideGround{top: canvas.NewRectangle(nil), bottom: canvas.NewRectangle(nil), middle: canvas.NewLine(nil),
		left: canvas.NewRectangle(nil), right: canvas.NewRectangle(nil)}
}

// objects are the parts, in the order they are drawn in.
func (g *wideGround) objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{g.top, g.bottom, g.middle, g.left, g.right}
}

// paint sets the looks; outline is nil for none.
func (g *wideGround) paint(fill, outline color.Color, radius float32) {
	g.radius = radius
	g.middle.StrokeColor = fill
	g.left.FillColor, g.right.FillColor = outline, outline
	for _, end := range []*canvas.Rectangle{g.top, g.bottom} {
		end.FillColor, end.StrokeColor, end.StrokeWidth = fill, outline, 0
		if outline != nil {
			end.StrokeWidth = 1
		}
	}
	g.top.TopLeftCornerRadius, g.top.TopRightCornerRadius = radius, radius
	g.bottom.BottomLeftCornerRadius, g.bottom.BottomRightCornerRadius = radius, radius
}

// resize finds a place for the parts. The middle hides the edge of an end that
// is inside the panel. The toolkit moves a line by up to half a pixel so that it
// lies on one; the ends are higher than the corners to have room for that.
func (g *wideGround) resize(s fyne.Size) {
	end, from, edge := g.radius+2, g.radius, g.top.StrokeWidth
	if g.radius == 0 {
		end, from = 1, 0
	}
	g.top.Resize(fyne.NewSize(s.Width, end))
	g.bottom.Resize(fyne.NewSize(s.Width, end))
	g.bottom.Move(fyne.NewPos(0, s.Height-end))
	between := max(s.Height-2*from, 0)
	g.middle.StrokeWidth = between
	g.middle.Position1, g.middle.Position2 = fyne.NewPos(edge, s.Height/2), fyne.NewPos(s.Width-edge, s.Height/2)
	for x, side := range map[float32]*canvas.Rectangle{0: g.left, s.Width - edge: g.right} {
		side.Resize(fyne.NewSize(edge, between))
		side.Move(fyne.NewPos(x, from))
	}
}
