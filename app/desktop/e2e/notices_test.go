// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
)

// TestNotices has real machines give cause for notices, which a desktop gets in
// French: a grant that ends soon, a machine that is gone, and all safe again.
// What takes days is brought near by a window whose clock is four days ahead.
func TestNotices(t *testing.T) {
	if testing.Short() {
		t.Skip("opens a window")
	}
	bus := newBus(t)
	if bus == nil {
		t.Skip("no dbus-daemon here: notices cannot be tried (make deps installs it)")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	binary := window(t, ctx)
	dir := t.TempDir()
	s := newScreen(t, ctx, "notices", filepath.Join(dir, "home"))
	s.env = append(s.env, "DBUS_SESSION_BUS_ADDRESS="+bus.address, "LANGUAGE=fr", "LANG=fr_FR.UTF-8", "LC_ALL=fr_FR.UTF-8", "PREEZM_PROBE_AHEAD=96h")

	home := &e2e.Home{Binary: binary, Dir: s.home, Env: s.env}
	must(t, home.Init(ctx, "bureau", "1G"))
	must(t, home.Start(ctx))
	t.Cleanup(func() { home.Kill() })
	var keepers []*e2e.Home
	for _, name := range []string{"cave", "grenier"} {
		k := &e2e.Home{Binary: binary, Dir: filepath.Join(dir, name), Env: s.env}
		must(t, k.Init(ctx, name, "1G"))
		must(t, k.Start(ctx))
		t.Cleanup(func() { k.Kill() })
		must(t, e2e.Pair(ctx, home, k))
		keepers = append(keepers, k)
	}
	file := filepath.Join(dir, "bail.txt")
	must(t, os.WriteFile(file, []byte("Le bail de la maison."), 0o600))
	must(t, home.Must(ctx, nil, "put", file))
	must(t, home.Must(ctx, nil, "custodians", "add", "cave", "grenier"))
	brand := &e2e.Home{Binary: binary, Dir: filepath.Join(dir, "acme"), Env: s.env}
	must(t, brand.Init(ctx, "guichet", "1G"))
	var info node.BrandInfo
	must(t, brand.Must(ctx, &info, "brand", "init", "--name", "ACME", "--label", "guichet 2"))
	must(t, home.Must(ctx, nil, "grant", info.Card, "bail.txt", "--for", "108h", "--via", "cave"))

	s.open(binary)
	s.reads("Tout est en sécurité")
	// These two are off until somebody wants them.
	s.key("ctrl+7")
	s.down("check", "tout est de nouveau en sécurité")
	s.tick("un appareil est absent depuis trois jours")
	s.tick("tout est de nouveau en sécurité")

	s.key("ctrl+5")
	s.until("a grant that ends soon is told", func() bool { return bus.told("Preezm: L’accès de ACME se termine dans ") })

	must(t, keepers[1].Kill())
	s.key("ctrl+2")
	s.until("a machine that is gone is told", func() bool { return bus.told("Preezm: grenier n’a pas été vu depuis ") })
	s.key("ctrl+1")
	s.until("the risk is seen", func() bool { return !strings.Contains(s.text(), "Tout est en sécurité") })
	if bus.told("Tout est en sécurité") {
		t.Error("it was told that all is safe again while a machine is gone")
	}

	must(t, keepers[1].Start(ctx))
	s.until("all safe again is told", func() bool { return bus.told("Preezm: Tout est en sécurité") })
	if told := bus.count("grenier n’a pas été vu"); told != 1 {
		t.Errorf("the machine was told of %d times", told)
	}
}

// down scrolls to something with the pointer at the edge of the page: fields to
// type into take the wheel for themselves.
func (s *screen) down(kind, words string) {
	s.t.Helper()
	s.until(words+" is in sight", func() bool {
		all, err := s.look()
		if err != nil {
			return false
		}
		i := slices.IndexFunc(all, func(o seen) bool { return o.Kind == kind && strings.HasPrefix(o.Text, words) })
		if i >= 0 && all[i].H >= 12 {
			return true
		}
		s.xdotool("mousemove", "984", "420", "click", "--repeat", "4", "5")
		return false
	})
}
