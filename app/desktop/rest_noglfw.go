// SPDX-License-Identifier: MPL-2.0

//go:build no_glfw

package desktop

// newRest gives none: what stands in for the window has no events to wait for.
func newRest() *rest { return nil }
