// SPDX-License-Identifier: MPL-2.0

//go:build windows || darwin

package desktop

// hasTray: these systems always have one.
func hasTray() bool { return true }
