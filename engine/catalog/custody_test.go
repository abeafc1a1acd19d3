// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/peers"
)

// A caretaker's task names where backups lie. If a backup were made because of
// it, it would have to be said anew because of that backup.
func TestTaskIsNoReasonForABackup(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "catalog.db"))
	stamp := func() [32]byte {
		t.Helper()
		s, err := c.Stamp(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	say := func(what string) {
		t.Helper()
		if err := c.Say(t.Context(), what, 7, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := c.Hear(t.Context(), peers.DeviceID{1}, what, 7); err != nil {
			t.Fatal(err)
		}
	}
	before := stamp()
	say("care/01")
	if stamp() != before {
		t.Error("what a caretaker is told is a reason for a backup")
	}
	say("devices")
	if stamp() == before {
		t.Error("what custodians are told is no reason for a backup")
	}
}
