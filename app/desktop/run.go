// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/app"
	"fyne.io/fyne/v2/driver"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/lang"
)

// appID names the program's preferences on every system.
const appID = "io.github.preezm.preezm"

// Run opens the window on a home folder and returns when it is closed. It
// must be called from the main goroutine. The version is for About and peers.
// A system without a screen or without OpenGL gets an error that says so;
// the commands work there.
func Run(home, version string) (err error) {
	if !hasScreen() {
		return fmt.Errorf("%w: neither DISPLAY nor WAYLAND_DISPLAY is set", ErrNoScreen)
	}
	if err := prepareToolkit(); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		garbage.limit(usualGarbage)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	host := newHomeHost(home, version, logger)
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "" // the person types a name
	}
	app.SetMetadata(fyne.AppMetadata{ID: appID, Name: "Preezm", Version: version, Migrations: map[string]bool{"fyneDo": !checksThreads()}})
	a := app.NewWithID(appID)
	o := Options{Version: version, Home: home, Hostname: hostname, Locales: systemLocales(), Toolkit: speakToolkit, Login: newLogin(home), Now: wallClock()}
	if t, ok := a.(desktop.App); ok && hasTray() {
		o.Tray = t
	}
	still := newRest()
	if still != nil {
		o.do = still.soon
	}
	ui, err := New(a, host, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ui.Close()) }()
	if err := show(ui.win); err != nil {
		return err
	}
	// Once the toolkit stops, nothing may reach for its widgets any more.
	ui.app.Lifecycle().SetOnStopped(ui.stop)
	ui.Start()
	startProbe(ui)
	if still != nil {
		ui.wg.Go(func() { still.run(ui.ctx) })
	}
	ui.app.Run()
	return nil
}

// ErrNoScreen: there is nowhere to open a window.
var ErrNoScreen = errors.New("no window can be opened here (it needs a screen and OpenGL 2.1); all commands work without one: see preezm --help")

// hasScreen tells whether there may be a screen. Where systems have one by
// rule, opening the window will tell.
func hasScreen() bool {
	switch runtime.GOOS {
	case "windows", "darwin":
		return true
	}
	return os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != ""
}

// show opens the window. Without a screen the toolkit's driver panics, which
// is an answer here and only here; without OpenGL it writes a line to the log
// and goes on with no window, which a person would see as a program that hangs.
func show(w fyne.Window) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", ErrNoScreen, cause)
		}
	}()
	w.Show()
	native, ok := w.(driver.NativeWindow)
	if !ok {
		return nil
	}
	opened := true
	native.RunNative(func(context any) {
		switch c := context.(type) {
		case driver.X11WindowContext:
			opened = c.WindowHandle != 0
		case driver.WaylandWindowContext:
			opened = c.WaylandSurface != 0
		case driver.WindowsWindowContext:
			opened = c.HWND != 0
		case driver.MacWindowContext:
			opened = c.NSWindow != 0
		}
	})
	if !opened {
		return ErrNoScreen
	}
	return nil
}

// prepareToolkit makes the folder the toolkit writes its caches to: without
// it, it logs errors on every start.
func prepareToolkit() error {
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil // no home directory at all: the toolkit copes
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("the folder for caches: %w", err)
	}
	return nil
}

// systemLocales are the languages the system prefers.
func systemLocales() []string { return []string{lang.SystemLocale().String()} }

// speakToolkit makes the toolkit's own words (in its file dialogs and menus)
// follow the window's language. There is no call for that: it reads the
// environment anew whenever translations are added. Systems that do not keep
// the language there stay with their own.
func speakToolkit(language string) {
	if err := os.Setenv("LANGUAGE", language); err != nil {
		fyne.LogError("language", err)
		return
	}
	if err := lang.AddTranslationsForLocale([]byte("{}"), fyne.Locale(language)); err != nil {
		fyne.LogError("language", err)
	}
}
