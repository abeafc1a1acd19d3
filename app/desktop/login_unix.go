// SPDX-License-Identifier: MPL-2.0

//go:build !windows && !darwin

package desktop

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// autostart is a file that the desktops of freedesktop.org start at login.
type autostart struct {
	file    string
	command []string
}

// newLogin starts this very program, with the home it has now.
func newLogin(home string) loginStart {
	dir, err := os.UserConfigDir()
	if err != nil {
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return nil
	}
	return &autostart{filepath.Join(dir, "autostart", appID+".desktop"), []string{program, "--home", home}}
}

// Enabled is part of loginStart. A desktop may switch an entry off inside of it.
func (a *autostart) Enabled() (bool, error) {
	b, err := os.ReadFile(a.file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	text := string(b)
	return err == nil && !strings.Contains(text, "\nHidden=true") && !strings.Contains(text, "X-GNOME-Autostart-enabled=false"), err
}

// Set is part of loginStart.
func (a *autostart) Set(on bool) error {
	if !on {
		if err := os.Remove(a.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(a.file), 0o700); err != nil {
		return err
	}
	var words []string
	for _, w := range a.command {
		words = append(words, quoteExec(w))
	}
	return os.WriteFile(a.file, fmt.Appendf(nil, "[Desktop Entry]\nType=Application\nName=Preezm\nExec=%s\nIcon=%s\nX-GNOME-Autostart-enabled=true\n",
		strings.Join(words, " "), appID), 0o600)
}

// quoteExec writes a word of an Exec line as the desktop entry standard wants:
// once for its quotes, once for the file's own backslashes.
func quoteExec(word string) string {
	word = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", `$`, `\$`).Replace(word)
	return strings.NewReplacer(`\`, `\\`, "%", "%%", "\n", `\n`).Replace(`"` + word + `"`)
}
