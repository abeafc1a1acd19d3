// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/peers"
)

// What the care of a home writes down again and again is no change that a backup
// would be made for, and hides none.
func TestChangesLeavesRestlessTablesOut(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "catalog.db"))
	ctx := t.Context()
	changes := func() int64 {
		t.Helper()
		n, err := c.Changes(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var d peers.DeviceID
	d[0] = 7
	restless := func() {
		t.Helper()
		for _, err := range []error{
			c.SavePresence(ctx, map[peers.DeviceID][]byte{d: {1, 2}}),
			c.SetAudit(ctx, d, Audit{Asked: 3}),
			c.SetCareValue(ctx, "x", 4),
			c.AddReceipt(ctx, d, [32]byte{8}, 5, []byte("doc"), 2),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	restless()
	restless()
	if n := changes(); n != 0 {
		t.Errorf("%d changes by what changes all the time", n)
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if err := c.SetCareValue(stopped, "x", 5); err == nil {
		t.Error("written although it was stopped")
	}
	if err := c.SetLeaving(ctx, d, Leave{Name: "attic"}); err != nil {
		t.Fatal(err)
	}
	restless()
	if n := changes(); n != 1 {
		t.Errorf("%d changes, want the one that counts", n)
	}
}
