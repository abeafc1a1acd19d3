// SPDX-License-Identifier: MPL-2.0

// Package desktop is the window: what most people ever see of Preezm. It
// hosts the node of a home, or uses the one that runs already, and shows four
// screens: Welcome (no home yet), Files, Circle and Settings.
//
// How it is built:
//   - The window knows a home only through two small interfaces, Host and
//     Node; tests hand in fakes and the program hands in app/node.
//   - Nothing blocks the window. Work runs in goroutines that UI.work starts
//     and waits for at the end; what they find comes back as events through
//     one channel, and one pump hands them in batches to the toolkit.
//   - A screen is one file. What it decides (the sentence of health, the order
//     of a list, speed and time left) is in plain functions and models beside
//     it that know no widget.
//   - Words come from app/desktop/i18n; pictures from assets.
//
// Only run.go imports the toolkit's driver, so everything else is tested
// without a screen or OpenGL.
package desktop
