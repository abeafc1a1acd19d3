// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"image"
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"rsc.io/qr"
)

const (
	qrQuiet = 4 // light modules around the code, as the standard wants
	qrScale = 6 // pixels of a module in the picture, which is scaled from there
)

// maxQR bounds what is put into a code, in bytes: a denser one is hard to
// read from a screen.
const maxQR = 2000

// qrPicture draws a code, dark on light in every theme: many readers fail on
// the inverse. The library's own picture ignores the scale it is asked for.
func qrPicture(text string) image.Image {
	if len(text) > maxQR {
		return nil
	}
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return nil
	}
	side := (code.Size + 2*qrQuiet) * qrScale
	img := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.White, color.Black})
	for y := range side {
		for x := range side {
			if code.Black(x/qrScale-qrQuiet, y/qrScale-qrQuiet) {
				img.SetColorIndex(x, y, 1)
			}
		}
	}
	return img
}

// newQR shows a text as a QR code; nil when it is too long for one.
func newQR(text string) fyne.CanvasObject {
	img := qrPicture(text)
	if img == nil {
		return nil
	}
	view := canvas.NewImageFromImage(img)
	view.FillMode = canvas.ImageFillContain
	view.ScaleMode = canvas.ImageScalePixels
	// Whole pixels for each module, and enough of them for a phone's camera.
	modules := float32(img.Bounds().Dx() / qrScale)
	view.SetMinSize(fyne.NewSquareSize(modules * max(2, float32(int(236/modules)))))
	return view
}
