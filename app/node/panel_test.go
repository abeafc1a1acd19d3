// SPDX-License-Identifier: MPL-2.0

package node

import (
	"crypto/ed25519"
	"path/filepath"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers/witness"
)

// Two custodians that have only the owner in their circles gossip while the
// owner's machine is off.
func TestCustodiansGossip(t *testing.T) {
	ctx := testContext(t)
	home := testHome(t, "anna")
	anna, stop := serveHome(t, home)
	var others []*Node
	for _, name := range []string{"bob", "carl"} {
		inv, err := anna.Invite(ctx, InviteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		n, _ := serveHome(t, testHome(t, name))
		if _, err := n.Join(ctx, inv.Code); err != nil {
			t.Fatal(err)
		}
		if _, err := anna.AddCustodian(ctx, name); err != nil {
			t.Fatal(err)
		}
		others = append(others, n)
	}
	bob, carl := others[0], others[1]
	for _, n := range others {
		if !n.witness.Fellow(bob.device) || !n.witness.Fellow(carl.device) || n.book.Has(bob.device) || n.book.Has(carl.device) {
			t.Fatal("the custodians were not told of each other")
		}
	}
	secrets, err := identity.Load(filepath.Join(home, ownerFile))
	if err != nil {
		t.Fatal(err)
	}
	_, device, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	root, now := secrets.RootKey(), time.Now().Unix()
	cert, err := custody.Sign(root, custody.DeviceCert{Root: custody.KeyOf(root), Device: custody.KeyOf(device),
		Role: custody.OwnerDevice, NotBefore: now - 10, NotAfter: now + 1000})
	if err != nil {
		t.Fatal(err)
	}
	grant := custody.Hash{1}
	rev, err := (&custody.Owner{Device: device, Cert: cert.Raw}).Revoke(grant, now, "")
	if err != nil {
		t.Fatal(err)
	}
	stop() // anna goes
	if _, err := bob.witness.Revoke(ctx, anna.device, rev.Raw); err != nil {
		t.Fatal(err)
	}
	want := custody.RevocationsHash([]custody.Hash{grant})
	ask, err := custody.Marshal(witness.News{Owner: custody.KeyOf(root)})
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); ; {
		raw, err := carl.witness.Status(ctx, anna.device, ask)
		if err != nil {
			t.Fatal(err)
		}
		var st witness.Standing
		if err := custody.Unmarshal(raw, &st); err != nil {
			t.Fatal(err)
		}
		if st.Revocations == want {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("carl did not hear of the withdrawal")
		}
	}
}
