// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"crypto/rand"
	"errors"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/identity"
)

// wordsAsked is how many of the words are asked back.
const wordsAsked = 3

// showMyWords shows the 24 words and then asks some of them back. Done is
// called at the end, or when the person puts it off: the words stay here until
// they were checked.
func (u *UI) showMyWords(done func()) {
	n := u.node
	u.work(func(ctx context.Context) func() {
		words, err := n.Words(ctx, identity.Lang(u.locale.Lang()))
		return func() {
			switch {
			case errors.Is(err, node.ErrWordsGone):
				done()
			case err != nil:
				u.heard(err)
				u.tell(u.t("mywords.title"), err)
				done()
			default:
				u.wordsPage(words, done)
			}
		}
	})
}

// wordsPage is the page with the words, in three columns read downwards.
func (u *UI) wordsPage(words []string, done func()) {
	u.frame = nil
	rows := (len(words) + 2) / 3
	grid := container.NewGridWithColumns(3)
	for row := range rows {
		for c := range 3 {
			i := row + c*rows
			number := canvas.NewText(strconv.Itoa(i+1), themeColor(colorQuiet))
			number.TextSize = theme.CaptionTextSize()
			word := canvas.NewText(words[i], themeColor(theme.ColorNameForeground))
			word.TextSize, word.TextStyle = 16, fyne.TextStyle{Bold: true}
			grid.Add(container.New(layout.NewCustomPaddedLayout(3, 3, 10, 4), container.NewBorder(nil, nil, container.New(widthLayout{24}, container.NewCenter(number)), nil, word)))
		}
	}
	later := widget.NewButton(u.t("mywords.later"), done)
	next := widget.NewButton(u.t("mywords.written"), func() { u.checkPage(words, done) })
	next.Importance = widget.HighImportance
	u.column(container.NewVBox(
		container.NewCenter(iconOf(icon("key", theme.ColorNamePrimary), 48)),
		newWideTitle(u.t("mywords.title")),
		container.New(&wideLayout{ui: u, width: welcomeWidth - 24}, centred(newNote(u.t("mywords.text")))),
		newCard(grid),
		statement(gradeFragile, u.t("mywords.warning")),
		container.NewBorder(nil, nil, later, next),
	))
}

// places gives some different places of words, counted from 1, in order.
func places(count, of int) []int {
	all := make([]int, of)
	for i := range all {
		all[i] = i + 1
	}
	for i := range count {
		j, err := rand.Int(rand.Reader, big.NewInt(int64(of-i)))
		if err != nil {
			break // never: the reader does not fail
		}
		k := i + int(j.Int64())
		all[i], all[k] = all[k], all[i]
	}
	slices.Sort(all[:count])
	return all[:count]
}

// checkPage asks three words back.
func (u *UI) checkPage(words []string, done func()) {
	n := u.node
	at := places(wordsAsked, len(words))
	trouble := newTrouble()
	form := container.NewVBox()
	var entries []*widget.Entry
	var check *widget.Button
	for _, place := range at {
		e := widget.NewEntry()
		e.OnChanged = func(string) {
			enable(check, !slices.ContainsFunc(entries, func(e *widget.Entry) bool { return strings.TrimSpace(e.Text) == "" }))
		}
		entries = append(entries, e)
		form.Add(field(u.t("mywords.word", i18n.A{"number": place}), e))
	}
	check = widget.NewButton(u.t("mywords.check"), func() {
		o := node.WordsOrder{At: at}
		for _, e := range entries {
			o.Words = append(o.Words, strings.TrimSpace(e.Text))
		}
		check.Disable()
		u.work(func(ctx context.Context) func() {
			_, err := n.CheckWords(ctx, o)
			return func() {
				check.Enable()
				if err != nil {
					u.heard(err)
					setText(trouble, u.t("mywords.wrong"))
					form.Refresh()
					return
				}
				done()
			}
		})
	})
	check.Importance = widget.HighImportance
	check.Disable()
	back := widget.NewButtonWithIcon(u.t("mywords.again"), theme.NavigateBackIcon(), func() { u.wordsPage(words, done) })
	u.column(container.NewVBox(
		container.NewCenter(iconOf(icon("key", theme.ColorNamePrimary), 48)),
		newWideTitle(u.t("mywords.check-title")),
		container.New(&wideLayout{ui: u, width: welcomeWidth - 24}, centred(newNote(u.t("mywords.check-text")))),
		newCard(form), trouble,
		container.NewBorder(nil, nil, back, container.NewHBox(widget.NewButton(u.t("mywords.later"), done), check)),
	))
}

// showLocked asks for the passphrase of a home that is locked.
func (u *UI) showLocked() {
	u.frame = nil
	entry := widget.NewPasswordEntry()
	entry.SetPlaceHolder(u.t("locked.passphrase"))
	trouble := newTrouble()
	var open *widget.Button
	unlock := func() {
		open.Disable()
		setText(trouble, "")
		passphrase := entry.Text
		u.work(func(ctx context.Context) func() {
			n, err := u.host.Unlock(ctx, passphrase)
			var k node.KeyState
			if err == nil {
				k, err = n.Key(ctx)
			}
			return func() {
				open.Enable()
				if n != nil {
					u.node = n
				}
				if err != nil || k.Locked {
					setText(trouble, u.t("locked.wrong"))
					return
				}
				u.showHome("files")
				u.refresh()
				u.readLogs()
			}
		})
	}
	open = widget.NewButton(u.t("locked.open"), unlock)
	open.Importance = widget.HighImportance
	entry.OnSubmitted = func(string) { unlock() }
	u.win.SetContent(container.NewCenter(container.New(&wideLayout{ui: u, width: 420}, container.NewVBox(
		container.NewCenter(iconOf(appIcon(), 64)),
		centred(newTitle(u.t("locked.title"))),
		centred(newNote(u.t("locked.text"))),
		entry, trouble, container.NewBorder(nil, nil, widget.NewButton(u.t("open.quit"), u.app.Quit), open),
	))))
	u.win.Canvas().Focus(entry)
}

// lock shuts the owner's part of the home. It goes on keeping for others.
func (u *UI) lock() {
	u.work(func(ctx context.Context) func() {
		n, err := u.host.Lock(ctx)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("settings.lock"), err)
				return
			}
			u.node = n
			u.health = nil
			u.showLocked()
		}
	})
}
