// SPDX-License-Identifier: MPL-2.0

package node

import (
	"errors"
	"testing"

	"github.com/preezm/preezm/peers"
)

func TestRoleIsOff(t *testing.T) {
	ctx := testContext(t)
	laptop, _ := serveHome(t, testHome(t, "laptop"))
	home := testHome(t, "desk")
	off := false
	n, err := Open(ctx, home, Options{Role: RoleServe, Custodian: &off, NoDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := ReadSettings(home); err != nil || !s.NoWitness {
		t.Fatalf("the choice was not remembered: %+v, %v", s, err)
	}
	desk, _ := serveHome(t, home)
	inv, err := laptop.Invite(ctx, InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := desk.Join(ctx, inv.Code); err != nil {
		t.Fatal(err)
	}
	if _, err := laptop.AddCustodian(ctx, "desk"); !errors.Is(err, peers.ErrNoCustodian) {
		t.Fatalf("a machine that is no custodian was appointed: %v", err)
	}
}
