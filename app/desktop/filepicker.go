// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/engine"
)

// pickFiles lets the person choose files of the home, found by name.
func (g *granting) pickFiles() {
	u, n := g.ui, g.ui.node
	picked := map[engine.Path]bool{}
	for _, p := range g.draft.picked {
		picked[p] = true
	}
	var all, shown []item
	chosen := newNote(u.n("picker.chosen", int64(len(picked))))
	chosen.Wrapping = fyne.TextWrapOff
	list := widget.NewList(func() int { return len(shown) },
		func() fyne.CanvasObject { return newPickRow() },
		func(i widget.ListItemID, o fyne.CanvasObject) {
			if i >= len(shown) {
				return
			}
			it := shown[i]
			o.(*pickRow).set(it, picked[it.Path], func(on bool) {
				if on {
					picked[it.Path] = true
				} else {
					delete(picked, it.Path)
				}
				setText(chosen, u.n("picker.chosen", int64(len(picked))))
			})
		})
	list.HideSeparators = true
	entry := widget.NewEntry()
	entry.SetIcon(theme.SearchIcon())
	entry.SetPlaceHolder(u.t("files.search"))
	entry.OnChanged = func(q string) {
		shown = all
		if q != "" {
			shown = search(all, q)
		}
		list.Refresh()
	}
	u.work(func(ctx context.Context) func() {
		items, err := listItems(ctx, n, engine.ListOptions{Recursive: true}, nil)
		order(items, byName, false)
		return func() {
			if err != nil {
				u.heard(err)
				return
			}
			all = items
			entry.OnChanged(entry.Text)
		}
	})
	d := dialog.NewCustomConfirm(u.t("picker.title"), u.t("picker.yes"), u.t("dialog.cancel"),
		container.NewBorder(entry, chosen, nil, nil, list), func(ok bool) {
			if !ok {
				return
			}
			var paths []engine.Path
			for _, it := range all {
				if picked[it.Path] {
					paths = append(paths, it.Path)
				}
			}
			g.choose(paths)
		}, u.win)
	size := u.win.Canvas().Size()
	d.Resize(fyne.NewSize(min(size.Width-60, 640), min(size.Height-60, 560)))
	u.show(d)
	u.win.Canvas().Focus(entry)
}

// pickRow is a file or folder with a box to tick.
type pickRow struct {
	widget.BaseWidget
	check  *widget.Check
	within *widget.RichText
	line   *fyne.Container
}

func newPickRow() *pickRow {
	r := &pickRow{check: widget.NewCheck("", nil), within: newNote(" ")}
	r.within.Wrapping = fyne.TextWrapOff
	r.within.Truncation = fyne.TextTruncateEllipsis
	r.line = container.NewBorder(nil, nil, r.check, nil, r.within)
	r.ExtendBaseWidget(r)
	return r
}

func (r *pickRow) set(it item, on bool, changed func(bool)) {
	r.check.OnChanged = nil
	r.check.Text = ellipsize(it.name, 340, theme.TextSize(), fyne.TextStyle{})
	if it.Kind == engine.Folder {
		r.check.Text += "/"
	}
	r.check.SetChecked(on)
	r.check.OnChanged = changed
	setText(r.within, it.within())
	r.check.Refresh()
	r.line.Refresh()
}

// CreateRenderer is part of fyne.Widget.
func (r *pickRow) CreateRenderer() fyne.WidgetRenderer { return widget.NewSimpleRenderer(r.line) }
