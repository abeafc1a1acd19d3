// SPDX-License-Identifier: MPL-2.0

//go:build !probe

package desktop

// startProbe does nothing in the program that people get.
func startProbe(*UI) {}
