// SPDX-License-Identifier: MPL-2.0

//go:build headless

package main

// window gives nil: this build has none.
func window() func(home, version string) error { return nil }
