// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"net/url"
	"os"
	"path"
	"path/filepath"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/engine"
)

// openFile brings a file back into a private folder and opens it with the
// program that the system has for it. The folder goes when the window does.
func (u *UI) openFile(name engine.Path) {
	n := u.node
	if u.lent == "" {
		dir, err := os.MkdirTemp("", "preezm-open-*")
		if err != nil {
			u.tell(u.t("files.open"), err)
			return
		}
		u.lent = dir
	}
	to, err := os.MkdirTemp(u.lent, "")
	if err != nil {
		u.tell(u.t("files.open"), err)
		return
	}
	u.transfers.start(theme.DownloadIcon(), shownName(path.Base(string(name))), func(ctx context.Context, progress func(engine.Progress)) (outcome, error) {
		r, err := n.Get(ctx, engine.GetOptions{Names: []engine.Path{name}, To: to}, progress)
		if r == nil {
			return outcome{}, err
		}
		return outcome{summary: u.locale.T("transfer.opened"), problems: r.Problems}, err
	}, func(t *transfer) {
		if t.err != nil {
			t.againTo, t.again = u.t("transfer.again"), func() { u.openFile(name) }
			return
		}
		file := filepath.Join(to, path.Base(string(name)))
		if err := u.app.OpenURL(&url.URL{Scheme: "file", Path: filepath.ToSlash(file)}); err != nil {
			t.err = err
		}
	})
}

// historyOf shows what happened to a file outside of this home.
func (u *UI) historyOf(name string) {
	u.goTo("activity")
	if a, ok := u.frame.front.(*activity); ok {
		a.entry.SetText(name)
	}
}

// listDialog shows rows that scroll.
func (u *UI) listDialog(title, text string, rows []fyne.CanvasObject, more ...fyne.CanvasObject) *dialog.CustomDialog {
	box := container.NewVBox(rows...)
	size := u.win.Canvas().Size()
	d := dialog.NewCustomWithoutButtons(title, container.NewBorder(container.New(&wideLayout{ui: u, width: 400}, newNote(text)), nil, nil, nil, scrolled(box)), u.win)
	d.SetButtons(u.buttons(append(more, widget.NewButton(u.t("dialog.close"), d.Hide))...))
	d.Resize(fyne.NewSize(min(size.Width-60, 760), min(size.Height-60, 540)))
	u.show(d)
	return d
}

// showVersions lists what is kept of a file's past.
func (u *UI) showVersions(name engine.Path) {
	n := u.node
	u.work(func(ctx context.Context) func() {
		list, err := n.Versions(ctx, name)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("files.versions"), err)
				return
			}
			var d *dialog.CustomDialog
			var rows []fyne.CanvasObject
			for i, v := range list {
				rows = append(rows, u.versionRow(name, v, i == 0 && v.Until.IsZero(), func() { d.Hide() }))
			}
			d = u.listDialog(u.t("versions.title"), u.n("versions.text", int64(len(list)), i18n.A{"name": shownName(path.Base(string(name)))}), rows)
		}
	})
}

func (u *UI) versionRow(name engine.Path, v engine.VersionInfo, present bool, done func()) fyne.CanvasObject {
	title := widget.NewLabel(u.locale.Moment(v.Kept, u.opt.Now()))
	title.TextStyle.Bold = true
	parts := []string{u.locale.Size(v.Size)}
	if present {
		parts = append(parts, u.t("versions.present"))
	}
	if v.Name != "" {
		parts = append(parts, u.t("versions.from", i18n.A{"machine": shownName(v.Name)}))
	}
	if v.Torn {
		parts = append(parts, u.t("versions.torn"))
	}
	line := newNote(join(parts...))
	line.Wrapping, line.Truncation = fyne.TextWrapOff, fyne.TextTruncateEllipsis
	save := widget.NewButtonWithIcon(u.t("files.save"), theme.DownloadIcon(), func() {
		done()
		u.askVersionTo(name, v.Number)
	})
	restore := widget.NewButtonWithIcon(u.t("versions.restore"), theme.HistoryIcon(), func() {
		done()
		u.restore(engine.RestoreOptions{Names: []engine.Path{name}, When: engine.When{Number: v.Number}})
	})
	visible(restore, !present)
	return container.NewVBox(beside(230, container.New(tightLayout{}, title, line), save, restore), widget.NewSeparator())
}

// askVersionTo brings a version back into a folder of the person's choice.
func (u *UI) askVersionTo(name engine.Path, number int64) {
	u.fileDialog(dialog.NewFolderOpen(func(folder fyne.ListableURI, err error) {
		if err == nil && folder != nil && u.frame != nil {
			u.getVersion(name, number, filepath.FromSlash(folder.Path()))
		}
	}, u.win), u.t("files.save"), u.t("files.save-here"))
}

// getVersion brings a former version back into a local folder.
func (u *UI) getVersion(name engine.Path, number int64, to string) {
	u.get(engine.GetOptions{Names: []engine.Path{name}, To: to, When: engine.When{Number: number}})
}

// restore makes a former version the present one.
func (u *UI) restore(o engine.RestoreOptions) {
	n := u.node
	u.work(func(ctx context.Context) func() {
		r, err := n.Restore(ctx, o)
		return func() { u.restored(r, err) }
	})
}

func (u *UI) restored(r *engine.RestoreReport, err error) {
	if err != nil {
		u.heard(err)
		u.tell(u.t("versions.failed"), err)
		return
	}
	u.changed()
	u.mention(u.n("versions.restored", r.Files))
}

// showTrash lists what was removed and can be brought back.
func (u *UI) showTrash() {
	n := u.node
	u.work(func(ctx context.Context) func() {
		list, err := n.Trash(ctx)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("trash.open"), err)
				return
			}
			u.trashDialog(list)
		}
	})
}

func (u *UI) trashDialog(list []engine.Trashed) {
	n := u.node
	var d *dialog.CustomDialog
	var rows []fyne.CanvasObject
	for _, t := range list {
		title := widget.NewLabel(shownName(string(t.Path)))
		title.TextStyle.Bold = true
		title.Truncation = fyne.TextTruncateEllipsis
		line := newNote(join(u.locale.N("access.files", t.Files), u.locale.Size(t.Bytes),
			u.t("trash.when", i18n.A{"when": u.locale.When(t.Removed, u.opt.Now()), "until": u.locale.Date(t.Until.In(u.opt.Now().Location()))})))
		line.Wrapping, line.Truncation = fyne.TextWrapOff, fyne.TextTruncateEllipsis
		back := widget.NewButtonWithIcon(u.t("versions.restore"), theme.HistoryIcon(), func() {
			d.Hide()
			u.work(func(ctx context.Context) func() {
				r, err := n.RestoreTrash(ctx, []string{t.ID})
				return func() { u.restored(r, err) }
			})
		})
		rows = append(rows, container.NewVBox(beside(230, container.New(tightLayout{}, title, line), back), widget.NewSeparator()))
	}
	empty := widget.NewButton(u.t("trash.empty"), func() {
		d.Hide()
		u.askToEmptyTrash(list)
	})
	empty.Importance = widget.DangerImportance
	text := u.t("trash.none")
	if len(list) > 0 {
		text = u.n("trash.text", int64(len(list)))
	} else {
		empty.Disable()
	}
	d = u.listDialog(u.t("trash.open"), text, rows, empty)
}

// takeBack removes what was lent to other programs.
func (u *UI) takeBack() error {
	if u.lent == "" {
		return nil
	}
	return os.RemoveAll(u.lent)
}
