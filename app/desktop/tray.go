// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/assets"
)

// tray is a place beside the clock with a picture and a menu.
type tray interface {
	SetSystemTrayMenu(menu *fyne.Menu)
	SetSystemTrayIcon(icon fyne.Resource)
}

// trayState is what the picture says: three shapes, not only three colours.
type trayState int

const (
	trayNone trayState = iota
	traySafe
	trayWorking
	trayTrouble
)

func (s trayState) icon() fyne.Resource {
	name := map[trayState]string{traySafe: "tray-safe", trayWorking: "tray-working", trayTrouble: "tray-trouble"}[s]
	raw, err := assets.Tray.ReadFile("tray/" + name + ".svg")
	if err != nil {
		return appIcon()
	}
	return fyne.NewStaticResource(name+".svg", raw)
}

// trayOf is the state that follows from what is known.
func trayOf(h *health, running int, lost bool) trayState {
	switch {
	case lost, h != nil && (h.grade == gradeLost || h.grade == gradeFragile):
		return trayTrouble
	case running > 0, h != nil && h.debt > 0:
		return trayWorking
	}
	return traySafe
}

// trayShows changes the picture, and the menu with it: its first line says
// the state in words, which may change while the picture stays.
func (u *UI) trayShows(s trayState) {
	if u.opt.Tray == nil {
		return
	}
	words := u.t("tray.safe")
	switch {
	case s == trayTrouble && u.trouble != nil:
		words = u.t("open.failed")
	case s == trayTrouble && u.health != nil:
		words = u.health.sentence
	case s == trayTrouble:
		words = u.t("tray.trouble")
	case s == trayWorking:
		words = u.t("tray.working")
	}
	if s == u.trayState && words == u.trayWords {
		return
	}
	u.trayState, u.trayWords = s, words
	state := fyne.NewMenuItem(words, u.showWindow)
	quit := fyne.NewMenuItem(u.t("open.quit"), u.askToQuit)
	quit.IsQuit = true
	u.opt.Tray.SetSystemTrayMenu(fyne.NewMenu("Preezm", state, fyne.NewMenuItemSeparator(),
		fyne.NewMenuItem(u.t("tray.open"), u.showWindow), quit))
	u.opt.Tray.SetSystemTrayIcon(s.icon())
}

// healthChanged lets the tray follow.
func (u *UI) healthChanged() {
	u.trayShows(trayOf(u.health, u.transfers.running(), u.trouble != nil))
}

// showWindow brings the window back.
func (u *UI) showWindow() {
	u.away = false
	u.win.Show()
	u.win.RequestFocus()
	u.lives()
	u.refresh()
}

// hide takes the window away; the node goes on.
func (u *UI) hide() {
	u.away = true
	u.lives()
	u.win.Hide()
}

// askToClose takes the window away and lets the node go on, which is said
// once. Without a tray there is no way back to a hidden window but to start
// the program again, so there it asks.
func (u *UI) askToClose() {
	switch {
	case u.node == nil:
		u.app.Quit()
	case u.opt.Tray == nil:
		u.askToQuit()
	case u.prefs.store.Bool("said-closing"):
		u.hide()
	default:
		d := dialog.NewCustomConfirm(u.t("closing.title"), u.t("closing.yes"), u.t("open.quit"),
			u.fit(440, newNote(u.t("closing.text"))), func(stay bool) {
				u.prefs.store.SetBool("said-closing", true)
				if stay {
					u.hide()
				} else {
					u.app.Quit()
				}
			}, u.win)
		d.SetConfirmImportance(widget.HighImportance)
		u.show(d)
	}
}

// askToQuit stops the node, after a question when something is still running.
func (u *UI) askToQuit() {
	running := u.transfers.running()
	if running == 0 {
		u.app.Quit()
		return
	}
	u.showWindow()
	u.show(dialog.NewCustomConfirm(u.t("quit.title"), u.t("quit.yes"), u.t("quit.no"),
		u.fit(420, newNote(u.n("quit.text", int64(running)))),
		func(yes bool) {
			if yes {
				u.app.Quit()
			}
		}, u.win))
}
