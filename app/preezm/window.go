// SPDX-License-Identifier: MPL-2.0

//go:build !headless

package main

import (
	"github.com/preezm/preezm/app/desktop"
	_ "github.com/preezm/preezm/app/desktop/early" // before the toolkit
)

// window gives what opens the window on a home.
func window() func(home, version string) error { return desktop.Run }
