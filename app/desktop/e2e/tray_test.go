// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
)

// TestTray closes a window that joined a running node into the tray and brings
// it back from there, in French, and then kills the node under it: both the
// window and the tray say so, and the window takes over.
func TestTray(t *testing.T) {
	if testing.Short() {
		t.Skip("opens a window")
	}
	bus := newBus(t)
	if bus == nil {
		t.Skip("no dbus-daemon here: the tray cannot be tried (make deps installs it)")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	binary := window(t, ctx)
	isEarly(t, ctx, binary)
	s := newScreen(t, ctx, "tray", filepath.Join(t.TempDir(), "home"))
	s.env = append(s.env, "DBUS_SESSION_BUS_ADDRESS="+bus.address, "LANGUAGE=fr", "LANG=fr_FR.UTF-8", "LC_ALL=fr_FR.UTF-8")
	home := &e2e.Home{Binary: binary, Dir: s.home, Env: s.env}
	must(t, home.Init(ctx, "bureau", "1G"))
	must(t, home.Start(ctx))
	t.Cleanup(func() { home.Kill() })
	s.open(binary)
	s.reads("Fichiers")

	s.until("the tray says that all is safe", func() bool { return bus.owner() != "" && bus.says("Tout est en sécurité") })
	safe := bus.picture()
	if safe == 0 {
		t.Error("the tray has no picture")
	}

	s.click("nav", "Fichiers") // now the keyboard is the window's
	s.closes("Fermer la fenêtre")
	s.press("Fermer la fenêtre")
	s.until("the window is away", func() bool { return !s.visible() })
	bus.press("Ouvrir Preezm")
	s.until("the window is back", s.visible)

	must(t, home.Kill())
	s.reads("Le programme qui gérait cet espace s’est arrêté.")
	s.until("the tray says it", func() bool { return bus.says("Cet espace n’est pas ouvert") })
	s.until("the tray shows it", func() bool { return bus.picture() != safe })
	s.press("Réessayer")
	s.reads("Fichiers")
	s.until("the tray says that all is safe again", func() bool { return bus.says("Tout est en sécurité") && bus.picture() == safe })

	bus.press("Quitter")
	select {
	case <-s.ended:
	case <-time.After(patience):
		t.Error("it does not quit")
	}
}

// isEarly sees to it that the toolkit finds what package early sets.
func isEarly(t *testing.T, ctx context.Context, binary string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, binary, "--help")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	must(t, err)
	ours := strings.Index(string(out), "init github.com/preezm/preezm/app/desktop/early @")
	theirs := strings.Index(string(out), "init fyne.io/fyne/v2/internal/cache @")
	if ours < 0 || theirs < 0 || ours > theirs {
		t.Errorf("package early was loaded at %d, the toolkit's cache at %d:\n%s", ours, theirs, out)
	}
}

// closes asks the window to close until it answers with a button: a key that
// comes before the window has the keyboard is lost.
func (s *screen) closes(button string) {
	s.t.Helper()
	tries := 0
	s.until("it is said that the window goes away", func() bool {
		if strings.Contains(s.text(), button) {
			return true
		}
		if tries%50 == 0 {
			s.key("ctrl+w")
		}
		tries++
		return false
	})
}
