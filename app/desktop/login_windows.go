// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// runKey is a value under the person's own Run key. It has not been tried on
// a real Windows.
type runKey struct{ command string }

const runPath = `Software\Microsoft\Windows\CurrentVersion\Run`

func newLogin(home string) loginStart {
	program, err := os.Executable()
	if err != nil {
		return nil
	}
	return &runKey{windows.ComposeCommandLine([]string{program, "--home", home})}
}

// Enabled is part of loginStart.
func (r *runKey) Enabled() (bool, error) {
	k, err := registry.OpenKey(registry.CURRENT_USER, runPath, registry.QUERY_VALUE)
	if errors.Is(err, registry.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer k.Close()
	_, _, err = k.GetStringValue("Preezm")
	if errors.Is(err, registry.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Set is part of loginStart.
func (r *runKey) Set(on bool) error {
	k, _, err := registry.CreateKey(registry.CURRENT_USER, runPath, registry.SET_VALUE)
	if err != nil {
		return err
	}
	defer k.Close()
	if on {
		return k.SetStringValue("Preezm", r.command)
	}
	if err := k.DeleteValue("Preezm"); err != nil && !errors.Is(err, registry.ErrNotExist) {
		return err
	}
	return nil
}
