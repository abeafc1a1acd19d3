// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// agent is a launch agent of macOS. It has not been tried on a Mac.
type agent struct {
	file    string
	command []string
}

func newLogin(home string) loginStart {
	dir, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return nil
	}
	return &agent{filepath.Join(dir, "Library", "LaunchAgents", appID+".plist"), []string{program, "--home", home}}
}

// Enabled is part of loginStart.
func (a *agent) Enabled() (bool, error) {
	_, err := os.Stat(a.file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Set is part of loginStart.
func (a *agent) Set(on bool) error {
	if !on {
		if err := os.Remove(a.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	var words strings.Builder
	for _, w := range a.command {
		words.WriteString("<string>")
		if err := xml.EscapeText(&words, []byte(w)); err != nil {
			return err
		}
		words.WriteString("</string>")
	}
	if err := os.MkdirAll(filepath.Dir(a.file), 0o700); err != nil {
		return err
	}
	return os.WriteFile(a.file, fmt.Appendf(nil, `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict><key>Label</key><string>%s</string><key>ProgramArguments</key><array>%s</array><key>RunAtLoad</key><true/></dict></plist>
`, appID, words.String()), 0o600)
}
