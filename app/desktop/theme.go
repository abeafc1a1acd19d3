// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
)

// Colours of our own, beside the toolkit's. The health colours differ in
// lightness as well as in hue (blue-green, amber, red) and never stand alone:
// a shape and a word go with each, so that nobody needs to see the hue.
const (
	colorSafe    fyne.ThemeColorName = "preezmSafe"
	colorFragile fyne.ThemeColorName = "preezmFragile"
	colorLost    fyne.ThemeColorName = "preezmLost"
	colorQuiet   fyne.ThemeColorName = "preezmQuiet"   // secondary text, 4.5:1 on every ground it stands on
	colorSurface fyne.ThemeColorName = "preezmSurface" // cards and lists
	colorSidebar fyne.ThemeColorName = "preezmSidebar"
	colorChosen  fyne.ThemeColorName = "preezmChosen" // the screen one is on
)

// Sizes of our own.
const (
	sizeTitle fyne.ThemeSizeName = "preezmTitle"
)

// scheme names what a person chose in the settings.
type scheme string

const (
	schemeSystem scheme = "system"
	schemeLight  scheme = "light"
	schemeDark   scheme = "dark"
)

// palette is a theme in the person's scheme; a scheme other than the
// system's overrides the variant the toolkit hands in.
type palette struct{ scheme scheme }

var _ fyne.Theme = palette{}

type colors map[fyne.ThemeColorName]color.NRGBA

func rgb(hex uint32) color.NRGBA {
	return color.NRGBA{R: uint8(hex >> 16), G: uint8(hex >> 8), B: uint8(hex), A: 0xff}
}

func rgba(hex uint32, alpha uint8) color.NRGBA {
	c := rgb(hex)
	c.A = alpha
	return c
}

func lightColors() colors {
	return colors{
		theme.ColorNameBackground:          rgb(0xf4f6f8),
		theme.ColorNameForeground:          rgb(0x16222e),
		theme.ColorNamePrimary:             rgb(0x0b6b76),
		theme.ColorNameForegroundOnPrimary: rgb(0xffffff),
		theme.ColorNameHyperlink:           rgb(0x0b6b76),
		theme.ColorNameButton:              rgb(0xe4e9ee),
		theme.ColorNameDisabledButton:      rgb(0xedf0f3),
		theme.ColorNameDisabled:            rgb(0x7a8794),
		theme.ColorNamePlaceHolder:         rgb(0x5a6874),
		theme.ColorNameInputBackground:     rgb(0xf0f3f6),
		theme.ColorNameInputBorder:         rgb(0x8795a3),
		theme.ColorNameHover:               rgba(0x16222e, 0x10),
		theme.ColorNamePressed:             rgba(0x16222e, 0x22),
		theme.ColorNameFocus:               rgba(0x0b6b76, 0x55),
		theme.ColorNameSelection:           rgb(0xdcedef),
		theme.ColorNameSeparator:           rgb(0xdce2e8),
		theme.ColorNameMenuBackground:      rgb(0xffffff),
		theme.ColorNameOverlayBackground:   rgb(0xffffff),
		theme.ColorNameHeaderBackground:    rgb(0xf4f6f8),
		theme.ColorNameScrollBar:           rgba(0x16222e, 0x66),
		theme.ColorNameShadow:              rgba(0x16222e, 0x22),
		theme.ColorNameError:               rgb(0xb3261e),
		theme.ColorNameForegroundOnError:   rgb(0xffffff),
		theme.ColorNameWarning:             rgb(0x8f5200),
		theme.ColorNameForegroundOnWarning: rgb(0xffffff),
		theme.ColorNameSuccess:             rgb(0x09745a),
		theme.ColorNameForegroundOnSuccess: rgb(0xffffff),
		colorSafe:                          rgb(0x09745a),
		colorFragile:                       rgb(0x8f5200),
		colorLost:                          rgb(0xb3261e),
		colorQuiet:                         rgb(0x52606d),
		colorSurface:                       rgb(0xffffff),
		colorSidebar:                       rgb(0xe9eef2),
		colorChosen:                        rgb(0xd0e3e6),
	}
}

func darkColors() colors {
	return colors{
		theme.ColorNameBackground:          rgb(0x12181e),
		theme.ColorNameForeground:          rgb(0xe6ecf1),
		theme.ColorNamePrimary:             rgb(0x5cc3cd),
		theme.ColorNameForegroundOnPrimary: rgb(0x06262a),
		theme.ColorNameHyperlink:           rgb(0x5cc3cd),
		theme.ColorNameButton:              rgb(0x2a343e),
		theme.ColorNameDisabledButton:      rgb(0x1f272f),
		theme.ColorNameDisabled:            rgb(0x7b8894),
		theme.ColorNamePlaceHolder:         rgb(0x93a1ad),
		theme.ColorNameInputBackground:     rgb(0x232d36),
		theme.ColorNameInputBorder:         rgb(0x5f6d7a),
		theme.ColorNameHover:               rgba(0xffffff, 0x12),
		theme.ColorNamePressed:             rgba(0xffffff, 0x26),
		theme.ColorNameFocus:               rgba(0x5cc3cd, 0x55),
		theme.ColorNameSelection:           rgb(0x1a3f45),
		theme.ColorNameSeparator:           rgb(0x2b353f),
		theme.ColorNameMenuBackground:      rgb(0x222b33),
		theme.ColorNameOverlayBackground:   rgb(0x1d252d),
		theme.ColorNameHeaderBackground:    rgb(0x12181e),
		theme.ColorNameScrollBar:           rgba(0xffffff, 0x66),
		theme.ColorNameShadow:              rgba(0x000000, 0x66),
		theme.ColorNameError:               rgb(0xff8a80),
		theme.ColorNameForegroundOnError:   rgb(0x3a0703),
		theme.ColorNameWarning:             rgb(0xf0b455),
		theme.ColorNameForegroundOnWarning: rgb(0x2d1c00),
		theme.ColorNameSuccess:             rgb(0x55c9a2),
		theme.ColorNameForegroundOnSuccess: rgb(0x04261b),
		colorSafe:                          rgb(0x55c9a2),
		colorFragile:                       rgb(0xf0b455),
		colorLost:                          rgb(0xff8a80),
		colorQuiet:                         rgb(0xa3b0bb),
		colorSurface:                       rgb(0x1a2229),
		colorSidebar:                       rgb(0x171e25),
		colorChosen:                        rgb(0x1f3c42),
	}
}

// The two tables are built once: Color is asked for thousands of times a frame.
var palettes = map[fyne.ThemeVariant]colors{
	theme.VariantLight: lightColors(),
	theme.VariantDark:  darkColors(),
}

func (p palette) variant(system fyne.ThemeVariant) fyne.ThemeVariant {
	switch p.scheme {
	case schemeLight:
		return theme.VariantLight
	case schemeDark:
		return theme.VariantDark
	}
	if system == theme.VariantDark {
		return system
	}
	return theme.VariantLight // also for a system that does not say
}

// Color is part of fyne.Theme.
func (p palette) Color(name fyne.ThemeColorName, system fyne.ThemeVariant) color.Color {
	variant := p.variant(system)
	if c, ok := palettes[variant][name]; ok {
		return c
	}
	return theme.DefaultTheme().Color(name, variant)
}

// Font is part of fyne.Theme.
func (palette) Font(style fyne.TextStyle) fyne.Resource { return theme.DefaultTheme().Font(style) }

// Icon is part of fyne.Theme.
func (palette) Icon(name fyne.ThemeIconName) fyne.Resource { return theme.DefaultTheme().Icon(name) }

// Size is part of fyne.Theme; a little more air than the toolkit's own.
func (palette) Size(name fyne.ThemeSizeName) float32 {
	switch name {
	case sizeTitle:
		return 22
	case theme.SizeNamePadding:
		return 6
	case theme.SizeNameHeadingText:
		return 22
	case theme.SizeNameSubHeadingText:
		return 16
	case theme.SizeNameText:
		return 14
	case theme.SizeNameCaptionText:
		return 12
	case theme.SizeNameInputRadius, theme.SizeNameSelectionRadius, theme.SizeNameButtonRadius:
		return 8
	case theme.SizeNameCardRadius, theme.SizeNameDialogRadius, theme.SizeNamePopupRadius, theme.SizeNameMenuRadius:
		return 12
	}
	return theme.DefaultTheme().Size(name)
}

// themeColor looks a colour up in the theme in force.
func themeColor(name fyne.ThemeColorName) color.Color {
	settings := fyne.CurrentApp().Settings()
	return settings.Theme().Color(name, settings.ThemeVariant())
}
