// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
)

// confirm asks a question and does what is asked for after a yes.
func (u *UI) confirm(title, yes string, importance widget.Importance, content fyne.CanvasObject, do func()) {
	d := dialog.NewCustomConfirm(title, yes, u.t("dialog.cancel"), u.fit(460, content),
		func(ok bool) {
			if ok && u.frame != nil {
				do()
			}
		}, u.win)
	d.SetConfirmImportance(importance)
	u.show(d)
}

// saveAs asks where to, makes the bytes and writes them there.
func (u *UI) saveAs(title, name string, produce func(ctx context.Context) ([]byte, error)) {
	d := dialog.NewFileSave(func(w fyne.URIWriteCloser, err error) {
		if err != nil || w == nil {
			return
		}
		to := filepath.FromSlash(w.URI().Path())
		if err := w.Close(); err != nil {
			u.tell(title, err)
			return
		}
		u.saveTo(title, to, produce)
	}, u.win)
	d.SetFileName(name)
	u.fileDialog(d, title, u.t("files.save-here"))
}

// saveTo writes what produce makes to a file, and says where it is.
func (u *UI) saveTo(title, to string, produce func(ctx context.Context) ([]byte, error)) {
	u.work(func(ctx context.Context) func() {
		b, err := produce(ctx)
		if err == nil {
			err = os.WriteFile(to, b, 0o600)
		}
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(title, err)
				return
			}
			u.mention(u.t("saved.text", i18n.A{"file": shownName(filepath.Base(to))}))
		}
	})
}

// maxText bounds what is read as a ticket or a card from a file, in bytes.
const maxText = 34 << 20

// pickText lets the person choose a file and hands its text on.
func (u *UI) pickText(title string, use func(text string)) {
	d := dialog.NewFileOpen(func(r fyne.URIReadCloser, err error) {
		if err != nil || r == nil {
			return
		}
		b, err := io.ReadAll(io.LimitReader(r, maxText))
		if err = errors.Join(err, r.Close()); err != nil {
			u.tell(title, err)
			return
		}
		use(string(b))
	}, u.win)
	u.fileDialog(d, title, u.t("dialog.choose"))
}

// copyable is a long code in a box: what one sees of it, and a button that
// copies all of it.
func (u *UI) copyable(text string) (box fyne.CanvasObject, copied *widget.Button) {
	const most = 260 // characters on screen; nobody reads further
	shown := text
	if len(shown) > most {
		shown = shown[:most] + "…"
	}
	code := widget.NewLabel(shown)
	code.Wrapping = fyne.TextWrapBreak
	code.Selectable = true
	code.TextStyle.Monospace = true
	ground := newPanel(theme.ColorNameBackground, 8, code)
	ground.outline = true
	copied = widget.NewButtonWithIcon(u.t("invite.copy"), theme.ContentCopyIcon(), func() {
		u.app.Clipboard().SetContent(text)
		copied.SetText(u.t("invite.copied"))
		copied.SetIcon(theme.ConfirmIcon())
	})
	copied.Importance = widget.HighImportance
	return ground, copied
}

// showTicket shows what the company needs: it opens nothing for anybody else.
func (u *UI) showTicket(brand, id, ticket string) {
	box, copied := u.copyable(ticket)
	content := container.NewVBox(newNote(u.t("ticket.text", i18n.A{"brand": brand})), box)
	if code := newQR(ticket); code != nil {
		content.Add(container.NewCenter(code))
	} else {
		content.Add(newNote(u.t("ticket.no-qr", i18n.A{"size": u.locale.Size(int64(len(ticket)))})))
	}
	d := dialog.NewCustomWithoutButtons(u.t("ticket.title"), u.fit(520, content), u.win)
	save := widget.NewButtonWithIcon(u.t("ticket.save"), theme.DocumentSaveIcon(), func() {
		u.saveAs(u.t("ticket.save"), id+".ticket", func(context.Context) ([]byte, error) { return []byte(ticket + "\n"), nil })
	})
	d.SetButtons(u.buttons(widget.NewButton(u.t("dialog.close"), d.Hide), save, copied))
	u.show(d)
}
