// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"image"
	"image/color"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/test"
)

// A wide panel is made of parts and looks as if it was one: no gap shows at any
// size, and nothing stands out of it.
func TestWideGroundIsWhole(t *testing.T) {
	newBench(t, &fakeHost{node: family()})
	win := test.NewTempWindow(t, nil)
	win.SetPadded(false)
	for _, c := range []struct {
		size    fyne.Size
		radius  float32
		outline bool
	}{
		{fyne.NewSize(300, 200), 12, true},
		{fyne.NewSize(301, 201), 12, true},
		{fyne.NewSize(300.4, 200.6), 12, true},
		{fyne.NewSize(300, 201), 12, false},
		{fyne.NewSize(200, 301), 0, false},
	} {
		p := newPanel(colorChosen, c.radius, container.NewWithoutLayout())
		p.outline, p.wide = c.outline, true
		win.SetContent(container.NewWithoutLayout(p))
		p.Move(fyne.NewPos(10, 10))
		p.Resize(c.size)
		win.Resize(fyne.NewSize(330, 330))
		picture := win.Canvas().Capture()
		fill, around := themeColor(colorChosen), picture.At(1, 1)
		w, h := int(c.size.Width), int(c.size.Height)
		edge := int(c.radius) / 2
		for y := 10 + 2; y < 10+h-2; y++ {
			for _, x := range []int{10 + edge + 8, 10 + w/2, 10 + w - edge - 8} {
				if !same(picture.At(x, y), fill) {
					t.Fatalf("%v: at %d,%d it has a gap: %v, not %v", c, x, y, picture.At(x, y), fill)
				}
			}
		}
		for _, at := range []image.Point{{7, 10 + h/2}, {10 + w + 3, 10 + h/2}, {10 + w/2, 7}, {10 + w/2, 10 + h + 3}} {
			if !same(picture.At(at.X, at.Y), around) {
				t.Errorf("%v: something of it is at %v", c, at)
			}
		}
	}
}

func same(a, b color.Color) bool {
	r, g, bl, al := a.RGBA()
	r2, g2, bl2, al2 := b.RGBA()
	return r>>8 == r2>>8 && g>>8 == g2>>8 && bl>>8 == bl2>>8 && al>>8 == al2>>8
}
