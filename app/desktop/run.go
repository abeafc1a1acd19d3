// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/app"
	"fyne.io/fyne/v2/lang"
)

// appID names the program's preferences on every system.
const appID = "io.github.preezm.preezm"

// Run opens the window on a home folder and returns when it is closed. It
// must be called from the main goroutine. The version is for About and peers.
// A system without a screen or without OpenGL gets an error that says so;
// the commands work there.
func Run(home, version string) (err error) {
	if err := prepareToolkit(); err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	host := newHomeHost(home, version, logger)
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "" // the person types a name
	}
	ui, err := New(app.NewWithID(appID), host, Options{
		Version: version, Home: home, Hostname: hostname, Locales: systemLocales(), Toolkit: speakToolkit,
	})
	if err != nil {
		return err
	}
	// A panic of the toolkit's driver is how it says that there is no
	// OpenGL; the home is closed all the same.
	defer func() { err = errors.Join(err, ui.Close()) }()
	ui.Start()
	ui.win.ShowAndRun()
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
