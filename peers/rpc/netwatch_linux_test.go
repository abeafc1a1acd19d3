// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"os"
	"os/exec"
	"testing"
)

// A watch says nothing while nothing happens, and looks where it cannot hear.
func TestNetWatch(t *testing.T) {
	w := newNetWatch()
	defer w.close()
	deaf := &netWatch{-1}
	if !deaf.changed() {
		t.Error("one that hears nothing trusts that nothing happens")
	}
	if w.fd < 0 {
		t.Skip("SKIPPED: the kernel tells nothing here")
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: changing an address needs root")
	}
	// Twice the same: others may change something on this machine meanwhile.
	within(t, "quiet", func() bool {
		first := w.changed()
		return !w.changed() && !first
	})
	add := func(verb string) error {
		return exec.Command("ip", "addr", verb, "127.93.24.9/32", "dev", "lo").Run()
	}
	if err := add("add"); err != nil {
		t.Skip("SKIPPED: no address can be added here:", err)
	}
	defer func() {
		if err := add("del"); err != nil {
			t.Error(err)
		}
	}()
	within(t, "heard", w.changed)
}
