// SPDX-License-Identifier: MPL-2.0

// Package assets holds what the window shows and does not compute: the
// program's icon, the small icons, and the catalogs of words. Everything is
// embedded, so that the program is one file.
package assets

import "embed"

// Icon is the program's icon, an SVG drawn for this project.
//
//go:embed icon.svg
var Icon []byte

// Icons are the small ones, each a one-colour SVG of 24 by 24. The window
// recolours what is filled, so a hole in a shape is cut by a path that runs
// the other way round.
//
//go:embed icons/*.svg
var Icons embed.FS

// Tray has the pictures beside the clock, one per state, each with a shape of
// its own.
//
//go:embed tray/*.svg
var Tray embed.FS

// Catalogs has i18n/en.json, i18n/fr.json: one flat file per language, read
// by app/desktop/i18n.
//
//go:embed i18n/*.json
var Catalogs embed.FS
