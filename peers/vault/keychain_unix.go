// SPDX-License-Identifier: MPL-2.0

//go:build unix && !darwin

package vault

import (
	"os"
	"path/filepath"
)

// reachable tells whether this process is in a session with a message bus.
// Without one the library would start a bus of its own for each command, which
// stays behind, and a keychain on it that nobody else sees.
func reachable() bool {
	if os.Getenv("DBUS_SESSION_BUS_ADDRESS") != "" {
		return true
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		return false
	}
	fi, err := os.Stat(filepath.Join(dir, "bus"))
	return err == nil && fi.Mode().Type() == os.ModeSocket
}
