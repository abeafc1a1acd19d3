// SPDX-License-Identifier: MPL-2.0

//go:build !no_glfw

package desktop

import (
	"time"

	"fyne.io/fyne/v2"
	"github.com/go-gl/glfw/v3.4/glfw"
)

// newRest gives the rest of the real window.
func newRest() *rest {
	return &rest{now: time.Now, wait: waitForEvents, wake: glfw.PostEmptyEvent, do: fyne.Do}
}

// waitForEvents returns at the next event of the window system, or after d.
func waitForEvents(d time.Duration) {
	// When the toolkit has stopped, it runs on the spot what it is asked to do
	// on its thread, and GLFW, which is gone then, says so by a panic.
	defer func() { _ = recover() }()
	glfw.WaitEventsTimeout(d.Seconds())
}
