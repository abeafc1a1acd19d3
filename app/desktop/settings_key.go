// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/peers/vault"
)

// keyCard is the part of the settings about the home's key: the words, the
// recovery sheet, and the lock.
type keyCard struct {
	ui    *UI
	state *widget.RichText
	words *fyne.Container
	lock  *widget.Button
	view  fyne.CanvasObject
}

func newKeyCard(u *UI) *keyCard {
	k := &keyCard{ui: u, state: newNote(" "), words: container.NewVBox()}
	k.lock = widget.NewButton(u.t("settings.lock"), u.lock)
	k.lock.Disable()
	sheet := widget.NewButtonWithIcon(u.t("settings.sheet"), theme.DocumentPrintIcon(), k.showSheet)
	passphrase := widget.NewButton(u.t("settings.passphrase"), k.askPassphrase)
	k.view = newCard(container.NewVBox(newWideHeading(u.t("settings.key")), k.words, k.state,
		container.New(&flowLayout{}, sheet, passphrase, k.lock)))
	return k
}

func (k *keyCard) show(s node.KeyState) {
	u := k.ui
	k.words.Objects = nil
	if s.WordsThere {
		show := widget.NewButtonWithIcon(u.t("mywords.show"), icon("key", theme.ColorNameForegroundOnPrimary), func() {
			u.showMyWords(func() { u.showHome("settings"); u.refresh() })
		})
		show.Importance = widget.HighImportance
		k.words.Add(statement(gradeFragile, u.t("mywords.missing")))
		k.words.Add(container.NewHBox(show))
	} else {
		k.words.Add(statement(gradeSafe, u.t("mywords.have")))
	}
	words := u.t("settings.by-file")
	switch s.By {
	case vault.ByKeychain:
		words = u.t("settings.by-keychain")
	case vault.ByPassphrase:
		words = u.t("settings.by-passphrase")
	}
	setText(k.state, words)
	enable(k.lock, s.By == vault.ByPassphrase)
	k.view.Refresh()
}

// askPassphrase puts a passphrase before the owner's part.
func (k *keyCard) askPassphrase() {
	u, n := k.ui, k.ui.node
	first, second := widget.NewPasswordEntry(), widget.NewPasswordEntry()
	content := container.NewVBox(newNote(u.t("settings.passphrase-text")),
		field(u.t("locked.passphrase"), first), field(u.t("settings.passphrase-again"), second))
	u.confirm(u.t("settings.passphrase"), u.t("dialog.save"), widget.HighImportance, content, func() {
		if first.Text == "" || first.Text != second.Text {
			u.inform(u.t("settings.passphrase"), newNote(u.t("settings.passphrase-differs")))
			return
		}
		seal := node.Seal{By: vault.ByPassphrase, Passphrase: []byte(first.Text), Unattended: true}
		learnOr(u, u.t("settings.passphrase"), func(ctx context.Context) (node.KeyState, error) { return n.Rewrap(ctx, seal) }, k.show)
	})
}

// showSheet shows what to write down beside the words: where the pieces are.
func (k *keyCard) showSheet() {
	u, n := k.ui, k.ui.node
	learnOr(u, u.t("settings.sheet"), n.Sheet, func(s node.Sheet) {
		text := sheetText(u, &s)
		box, copied := u.copyable(text)
		content := container.NewVBox(newNote(u.t("sheet.text")), box, container.NewHBox(copied))
		if code := newQR(text); code != nil {
			content.Add(container.NewCenter(code))
		}
		u.inform(u.t("settings.sheet"), content)
	})
}

func sheetText(u *UI, s *node.Sheet) string {
	var b strings.Builder
	b.WriteString(u.t("sheet.machine", i18n.A{"name": shownName(s.Name), "id": s.Device.String()}))
	for _, k := range s.Keepers {
		b.WriteString("\n" + shownName(k.Name) + " " + k.Device.String() + " " + strings.Join(k.Addresses, " "))
	}
	return b.String()
}
