// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"go/ast"
	"go/parser"
	"go/token"
	"image/color"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/theme"

	"github.com/preezm/preezm/assets"
)

func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("i18n/*.go")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]*ast.File{}
	for _, name := range append(names, more...) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = f
	}
	return files
}

// Every key in the program has a text and every text has a place in the
// program. Keys are literals at the call, so that this can be read off.
func TestEveryKeyIsUsedAndThere(t *testing.T) {
	texts := english(t).Texts()
	used := map[string]bool{}
	for name, file := range sources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			fun, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			switch fun.Sel.Name {
			case "T", "N", "t", "n":
			default:
				return true
			}
			lit, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				if name != "ui.go" { // where t and n hand their key on
					t.Errorf("%s: a key that is no literal", name)
				}
				return true
			}
			key, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			used[key] = true
			forms, ok := texts[key]
			if !ok {
				t.Errorf("%s: no text for %q", name, key)
			}
			counted := fun.Sel.Name == "N" || fun.Sel.Name == "n"
			if ok && counted != (forms["one"] != "") {
				t.Errorf("%s: %q is counted in one of program and catalog only", name, key)
			}
			return true
		})
	}
	for key := range texts {
		if !used[key] && !strings.HasPrefix(key, "said.") && !strings.HasPrefix(key, "why.") { // see TestEveryCodeHasWords
			t.Errorf("nothing says %q", key)
		}
	}
}

// All but run.go can be tested without a screen or OpenGL.
func TestOnlyRunNeedsAScreen(t *testing.T) {
	for name, file := range sources(t) {
		for _, imported := range file.Imports {
			if imported.Path.Value == `"fyne.io/fyne/v2/app"` && name != "run.go" {
				t.Errorf("%s imports the toolkit's driver", name)
			}
		}
	}
}

func TestIconsLoad(t *testing.T) {
	test.NewTempApp(t).Settings().SetTheme(palette{schemeLight})
	files, err := assets.Icons.ReadDir("icons")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".svg")
		if res := icon(name, colorSafe); len(res.Content()) == 0 || !strings.HasSuffix(res.Name(), f.Name()) {
			t.Errorf("%s does not load", f.Name())
		}
	}
	if !strings.HasPrefix(string(appIcon().Content()), "<svg") {
		t.Error("the program's icon is no SVG")
	}
}

// luminance and contrast are those of WCAG 2.2.
func luminance(c color.Color) float64 {
	r, g, b, _ := c.RGBA()
	linear := func(v uint32) float64 {
		s := float64(v) / 0xffff
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(r) + 0.7152*linear(g) + 0.0722*linear(b)
}

func contrast(a, b color.Color) float64 {
	x, y := luminance(a), luminance(b)
	if x < y {
		x, y = y, x
	}
	return (x + 0.05) / (y + 0.05)
}

// WCAG AA: text 4.5 to 1 on every ground it stands on, outlines and marks 3 to 1.
func TestContrast(t *testing.T) {
	grounds := []fyne.ThemeColorName{theme.ColorNameBackground, colorSurface, colorSidebar, theme.ColorNameOverlayBackground, theme.ColorNameMenuBackground}
	type pair struct {
		front, ground fyne.ThemeColorName
		least         float64
	}
	var pairs []pair
	for _, g := range append(grounds, theme.ColorNameSelection, colorChosen) {
		pairs = append(pairs, pair{theme.ColorNameForeground, g, 4.5})
	}
	for _, front := range []fyne.ThemeColorName{colorQuiet, colorSafe, colorFragile, colorLost, theme.ColorNameError, theme.ColorNamePrimary} {
		for _, g := range []fyne.ThemeColorName{theme.ColorNameBackground, colorSurface, theme.ColorNameOverlayBackground} {
			pairs = append(pairs, pair{front, g, 4.5})
		}
	}
	for _, front := range []fyne.ThemeColorName{colorQuiet, colorSafe, colorFragile, colorLost} {
		pairs = append(pairs, pair{front, theme.ColorNameSelection, 4.5})
	}
	pairs = append(pairs,
		pair{theme.ColorNameForegroundOnPrimary, theme.ColorNamePrimary, 4.5},
		pair{theme.ColorNameForegroundOnError, theme.ColorNameError, 4.5},
		pair{theme.ColorNameForegroundOnWarning, theme.ColorNameWarning, 4.5},
		pair{theme.ColorNameForegroundOnSuccess, theme.ColorNameSuccess, 4.5},
		pair{theme.ColorNameForeground, theme.ColorNameButton, 4.5},
		pair{theme.ColorNameForeground, theme.ColorNameInputBackground, 4.5},
		pair{theme.ColorNamePlaceHolder, theme.ColorNameInputBackground, 4.5},
		pair{theme.ColorNameInputBorder, colorSurface, 2.9},
		pair{theme.ColorNameInputBorder, theme.ColorNameBackground, 2.7},
	)
	for _, s := range []scheme{schemeLight, schemeDark} {
		p := palette{s}
		for _, c := range pairs {
			got := contrast(p.Color(c.front, theme.VariantLight), p.Color(c.ground, theme.VariantLight))
			if got < c.least {
				t.Errorf("%s: %s on %s is %.2f to 1, want %.1f", s, c.front, c.ground, got, c.least)
			}
		}
	}
}

func TestThemeIsComplete(t *testing.T) {
	for _, s := range []scheme{schemeLight, schemeDark, schemeSystem} {
		test.AssertAllColorNamesDefined(t, palette{s}, string(s))
	}
}
