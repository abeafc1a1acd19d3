// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"context"
	"path/filepath"
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

	s.key("ctrl+w")
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
