// SPDX-License-Identifier: MPL-2.0

package node

import (
	"testing"

	"github.com/preezm/preezm/engine/catalog"
)

// A machine that was removed knows so after its next start too.
func TestRemovalOfThisMachineStays(t *testing.T) {
	ctx := testContext(t)
	home := testHome(t, "laptop")
	open := func() (*Node, catalog.Machine) {
		t.Helper()
		n, err := Open(ctx, home, Options{Role: RoleServe, NoDiscovery: true})
		if err != nil {
			t.Fatal(err)
		}
		all, err := n.backups.catalog.Machines(ctx)
		if err != nil || len(all) != 1 || all[0].Device != n.device {
			t.Fatalf("machines %+v, %v", all, err)
		}
		return n, all[0]
	}
	n, m := open()
	m.Removed, m.Stolen = m.Added+1, true
	if err := n.backups.catalog.PutMachine(ctx, m); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n, again := open()
	if again != m {
		t.Errorf("%+v, want %+v", again, m)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}
