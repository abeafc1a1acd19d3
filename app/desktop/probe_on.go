// SPDX-License-Identifier: MPL-2.0

//go:build probe

package desktop

import (
	"encoding/json"
	"net"
	"os"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/widget"
)

// seen is something on the screen, in pixels of the window. The end-to-end
// tests look for what they press by its words; they press it with the mouse.
type seen struct {
	Kind, Text string
	X, Y, W, H int
	Off        bool // cannot be pressed
	On         bool // ticked, chosen
}

// checksThreads lets the toolkit complain, in the log, of what another thread
// than the window's does to a widget.
func checksThreads() bool { return os.Getenv("PREEZM_THREADS") != "" }

// wallClock is the time of the system, or one that is ahead by PREEZM_PROBE_AHEAD.
func wallClock() func() time.Time {
	ahead, err := time.ParseDuration(os.Getenv("PREEZM_PROBE_AHEAD"))
	if err != nil {
		return time.Now
	}
	return func() time.Time { return time.Now().Add(ahead) }
}

// startProbe answers each connection to the socket that PREEZM_PROBE names
// with what is on the screen. Only builds for tests have it.
func startProbe(u *UI) {
	path := os.Getenv("PREEZM_PROBE")
	if path == "" {
		return
	}
	startPace(u, path)
	l, err := net.Listen("unix", path)
	if err != nil {
		fyne.LogError("probe", err)
		return
	}
	go func() {
		<-u.ctx.Done()
		l.Close()
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			answer := make(chan []seen, 1)
			u.opt.do(func() { answer <- u.onScreen() })
			if err := json.NewEncoder(c).Encode(<-answer); err != nil {
				fyne.LogError("probe", err)
			}
			c.Close()
		}
	}()
}

func (u *UI) onScreen() []seen {
	c := u.win.Canvas()
	var root fyne.CanvasObject = u.win.Content()
	if top := c.Overlays().Top(); top != nil {
		root = top
	}
	var all []seen
	var walk func(o fyne.CanvasObject, clip [4]float32)
	walk = func(o fyne.CanvasObject, clip [4]float32) {
		if o == nil || !o.Visible() {
			return
		}
		at, size := fyne.CurrentApp().Driver().AbsolutePositionForObject(o), o.Size()
		box := [4]float32{max(at.X, clip[0]), max(at.Y, clip[1]), min(at.X+size.Width, clip[2]), min(at.Y+size.Height, clip[3])}
		if _, ok := o.(*container.Scroll); ok {
			clip = box
		}
		if s, ok := describe(o); ok {
			k := c.Scale()
			s.X, s.Y, s.W, s.H = int(box[0]*k), int(box[1]*k), int((box[2]-box[0])*k), int((box[3]-box[1])*k)
			all = append(all, s)
		}
		switch o := o.(type) {
		case *fyne.Container:
			for _, child := range o.Objects {
				walk(child, clip)
			}
		case fyne.Widget:
			for _, child := range test.WidgetRenderer(o).Objects() {
				walk(child, clip)
			}
		}
	}
	size := c.Size()
	walk(root, [4]float32{0, 0, size.Width, size.Height})
	return all
}

func describe(o fyne.CanvasObject) (seen, bool) {
	switch o := o.(type) {
	case *widget.Button:
		return seen{Kind: "button", Text: o.Text, Off: o.Disabled()}, true
	case *widget.Entry:
		return seen{Kind: "entry", Text: o.Text + "|" + o.PlaceHolder, Off: o.Disabled()}, true
	case *widget.Check:
		return seen{Kind: "check", Text: o.Text, Off: o.Disabled(), On: o.Checked}, true
	case *widget.Select:
		return seen{Kind: "select", Text: o.Selected, Off: o.Disabled()}, true
	case *navItem:
		return seen{Kind: "nav", Text: o.text, On: o.chosen}, true
	case *widget.Label:
		return seen{Kind: "label", Text: o.Text}, true
	case *widget.RichText:
		return seen{Kind: "label", Text: o.String()}, true
	case *canvas.Text:
		return seen{Kind: "text", Text: o.Text}, o.Text != ""
	}
	return seen{}, false
}
