// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"path"
	"reflect"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

// askTwice asks which names two of the person's machines put at once.
func (f *files) askTwice() {
	u, n := f.ui, f.ui.node
	if n == nil {
		return
	}
	learn(u, n.Conflicts, f.showTwice)
}

func (f *files) showTwice(list []engine.Conflict) {
	if len(list) == len(f.twice) && reflect.DeepEqual(list, f.twice) {
		return
	}
	f.twice = list
	names := map[engine.Path]bool{}
	for _, c := range list {
		names[c.Path] = true
	}
	f.twiceWords.Objects = nil
	if len(list) > 0 {
		words := f.ui.n("twice.some", int64(len(names)))
		if len(names) == 1 {
			words = f.ui.t("twice.one", i18n.A{"name": shownName(path.Base(string(list[0].Path)))})
		}
		f.twiceWords.Add(statement(gradeFragile, words))
	}
	visible(f.twiceBar, len(list) > 0)
	f.room()
	f.list.Refresh()
	f.root.Refresh()
}

func (f *files) isTwice(p engine.Path) bool {
	return slices.ContainsFunc(f.twice, func(c engine.Conflict) bool { return c.Path == p })
}

// rivals gives the versions of a name among which one has to be chosen, the
// one that is shown first.
func rivals(past []engine.VersionInfo, list []engine.Conflict, p engine.Path) []engine.VersionInfo {
	var out []engine.VersionInfo
	for _, v := range past {
		switch {
		case v.Until.IsZero():
			out = append([]engine.VersionInfo{v}, out...)
		case slices.ContainsFunc(list, func(c engine.Conflict) bool { return c.Path == p && c.Version == v.Number }):
			out = append(out, v)
		}
	}
	return out
}

// chooseVersion shows the versions of a name side by side.
func (u *UI) chooseVersion(p engine.Path) {
	n := u.node
	u.work(func(ctx context.Context) func() {
		list, err := n.Conflicts(ctx)
		var past []engine.VersionInfo
		if err == nil {
			past, err = n.Versions(ctx, p)
		}
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("twice.title"), err)
				return
			}
			if u.frame == nil {
				return
			}
			if all := rivals(past, list, p); len(all) > 1 {
				u.rivalsDialog(p, all)
			} else {
				u.frame.files.showTwice(list) // settled meanwhile
			}
		}
	})
}

// mostRivals is how many versions stand beside each other.
const mostRivals = 3

func (u *UI) rivalsDialog(p engine.Path, all []engine.VersionInfo) {
	var d *dialog.CustomDialog
	settle := func(o node.SettleOrder) {
		d.Hide()
		o.Path = p
		u.settle(o)
	}
	all = all[:min(len(all), mostRivals)]
	grid := container.NewGridWithColumns(len(all))
	if u.wide(640) < 560 { // below each other
		grid = container.NewVBox()
	}
	for i, v := range all {
		title, keep := u.t("twice.other"), u.t("twice.keep-other")
		if i == 0 {
			title, keep = u.t("twice.shown"), u.t("twice.keep-this")
		}
		choose := widget.NewButton(keep, func() { settle(node.SettleOrder{Version: v.Number}) })
		choose.Importance = widget.HighImportance
		save := widget.NewButtonWithIcon(u.t("files.save"), theme.DownloadIcon(), func() {
			d.Hide()
			u.askVersionTo(p, v.Number)
		})
		grid.Add(newCard(container.NewVBox(
			container.New(tightLayout{}, newHeading(title), newNote(u.t("versions.from", i18n.A{"machine": shownName(v.Name)})),
				newNote(u.t("twice.kept", i18n.A{"when": u.locale.When(v.Kept, u.opt.Now())})),
				newNote(join(u.locale.Size(v.Size), u.t("twice.changed", i18n.A{"when": u.locale.When(v.ModTime, u.opt.Now())})))),
			choose, save)))
	}
	name := widget.NewLabel(shownName(string(p)))
	name.TextStyle.Bold = true
	name.Truncation = fyne.TextTruncateEllipsis
	content := container.NewVBox(name, newNote(u.t("twice.text")), grid)
	d = dialog.NewCustomWithoutButtons(u.t("twice.title"), u.fit(640, content), u.win)
	both := widget.NewButton(u.t("twice.both"), func() { settle(node.SettleOrder{Both: true}) })
	d.SetButtons(u.buttons(widget.NewButton(u.t("twice.later"), func() { d.Hide() }), both))
	u.show(d)
}

// settle decides, and says under which names the others are now.
func (u *UI) settle(o node.SettleOrder) {
	n := u.node
	u.work(func(ctx context.Context) func() {
		r, err := n.Settle(ctx, o)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("twice.title"), err)
				return
			}
			words := u.t("twice.settled")
			if len(r.Beside) > 0 {
				var names []string
				for _, p := range r.Beside {
					names = append(names, path.Base(string(p)))
				}
				words = u.t("twice.beside", i18n.A{"name": fewNames(u.locale, names, 3)})
			}
			u.changed()
			u.mention(words)
		}
	})
}
