// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"sync"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"

	"github.com/preezm/preezm/assets"
)

// icon is one of assets/icons in a colour that follows the theme. The names
// are constants of this package; a test loads every file.
func icon(name string, color fyne.ThemeColorName) fyne.Resource {
	key := drawing{name, color}
	if known, ok := drawings.Load(key); ok {
		return known.(fyne.Resource)
	}
	file := name + ".svg"
	raw, err := assets.Icons.ReadFile("icons/" + file)
	if err != nil {
		fyne.LogError("icon "+name, err)
		return theme.BrokenImageIcon()
	}
	return drawings.keep(key, theme.NewColoredResource(fyne.NewStaticResource(file, raw), color))
}

// tinted is one of the toolkit's own icons in a colour that follows the theme.
func tinted(source fyne.Resource, color fyne.ThemeColorName) fyne.Resource {
	key := drawing{source.Name(), color}
	if known, ok := drawings.Load(key); ok {
		return known.(fyne.Resource)
	}
	return drawings.keep(key, theme.NewColoredResource(source, color))
}

// drawings holds every icon once: what is shown again and again, as in the
// rows of a list, is then known to be the same, and is not drawn anew.
var drawings drawingCache

type drawingCache struct{ sync.Map }

// drawing is an icon of this program (safe) or of the toolkit (foo.svg).
type drawing struct {
	name  string
	color fyne.ThemeColorName
}

func (d *drawingCache) keep(key drawing, picture fyne.Resource) fyne.Resource {
	kept, _ := d.LoadOrStore(key, picture)
	return kept.(fyne.Resource)
}

// appIcon is the program's icon.
func appIcon() fyne.Resource { return fyne.NewStaticResource("preezm.svg", assets.Icon) }
