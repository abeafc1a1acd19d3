// SPDX-License-Identifier: MPL-2.0

//go:build unix && !darwin

package vault

import (
	"errors"
	"testing"
)

// A server's command must not start a message bus to look for a keychain.
func TestNoSessionNoKeychain(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	if Works(System{}) {
		t.Error("a keychain without a session")
	}
	if _, err := (System{}).Get("x"); !errors.Is(err, ErrNoKeychain) {
		t.Errorf("got %v", err)
	}
}
