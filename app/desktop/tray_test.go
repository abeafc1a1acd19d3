// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"testing"

	"fyne.io/fyne/v2"
)

// fakeTray is the place beside the clock.
type fakeTray struct {
	menu  *fyne.Menu
	icons []string
}

func (t *fakeTray) SetSystemTrayMenu(menu *fyne.Menu)    { t.menu = menu }
func (t *fakeTray) SetSystemTrayIcon(icon fyne.Resource) { t.icons = append(t.icons, icon.Name()) }

// The first line of the tray's menu says what is the case now, in the
// language of the window, also while the picture stays.
func TestTraySpeaks(t *testing.T) {
	b := newHome(t, family())
	tray := &fakeTray{}
	b.opt.Tray = tray
	says := func(want string) {
		t.Helper()
		if got := tray.menu.Items[0].Label; got != want {
			t.Errorf("the tray says %q, want %q", got, want)
		}
	}
	b.trayShows(traySafe)
	says("All is safe")
	b.setLanguage("fr")
	says("Tout est en sécurité")

	b.health = &health{grade: gradeFragile, sentence: "2 fichiers"}
	b.healthChanged()
	says("2 fichiers")
	b.health = &health{grade: gradeFragile, sentence: "3 fichiers"}
	b.healthChanged()
	says("3 fichiers")

	menu := tray.menu
	b.healthChanged()
	if tray.menu != menu {
		t.Error("the menu is made anew although nothing changed")
	}
}
