// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"

	"github.com/preezm/preezm/assets"
)

// icon is one of assets/icons in a colour that follows the theme. The names
// are constants of this package; a test loads every file.
func icon(name string, color fyne.ThemeColorName) fyne.Resource {
	file := name + ".svg"
	raw, err := assets.Icons.ReadFile("icons/" + file)
	if err != nil {
		fyne.LogError("icon "+name, err)
		return theme.BrokenImageIcon()
	}
	return theme.NewColoredResource(fyne.NewStaticResource(file, raw), color)
}

// appIcon is the program's icon.
func appIcon() fyne.Resource { return fyne.NewStaticResource("preezm.svg", assets.Icon) }
