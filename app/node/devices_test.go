// SPDX-License-Identifier: MPL-2.0

package node

import (
	"testing"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/peers"
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

// A machine whose catalog never came here is removed all the same: who signs is
// said anew, since custodians may know it from itself.
func TestRemoveMachineThatIsKnownByNameOnly(t *testing.T) {
	ctx := testContext(t)
	n, err := Open(ctx, testHome(t, "laptop"), Options{Role: RoleServe, NoDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	other := peers.DeviceID{7}
	if _, err := n.changeMachines(func(ds []peers.DeviceID) []peers.DeviceID { return append(ds, other) }); err != nil {
		t.Fatal(err)
	}
	before, err := n.desk.DeviceSet(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.RemoveDevice(ctx, DeviceRemoval{Who: other.Short(), Stolen: true}); err != nil {
		t.Fatal(err)
	}
	after, err := n.desk.DeviceSet(ctx)
	if err != nil || after.Body.Epoch <= before.Body.Epoch || len(after.Body.Devices) != 1 {
		t.Errorf("who signs was not said anew: %+v after %+v, %v", after.Body, before.Body, err)
	}
	all, err := n.Devices(ctx)
	if err != nil || len(all) != 2 || all[1].Device != other || all[1].Removed.IsZero() || !all[1].Stolen {
		t.Errorf("%+v, %v", all, err)
	}
	if len(n.others()) != 0 {
		t.Error("it is still on the list")
	}
}
