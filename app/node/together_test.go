// SPDX-License-Identifier: MPL-2.0

package node

import (
	"crypto/ed25519"
	"testing"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/account"
	"github.com/preezm/preezm/peers/circle"
)

// Whom this machine took out of its circle does not come back with the circle of
// another machine of the same person; whom that one met since does.
func TestTakenOutStaysOut(t *testing.T) {
	n, _ := openQuietly(t, testHome(t, "laptop"))
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	var there []savedPeer
	for i, name := range []string{"office", "attic"} {
		d := peers.DeviceID{byte(i + 1)}
		seed := make([]byte, ed25519.SeedSize)
		seed[0] = byte(i + 1)
		list, err := account.Next(ed25519.NewKeyFromSeed(seed), nil, []peers.DeviceID{d}, 10)
		if err != nil {
			t.Fatal(err)
		}
		p := circle.Peer{Device: d, Name: name, Keeper: true}
		there = append(there, savedPeer{p, list.Raw})
	}
	office, attic := there[0], there[1]
	if err := n.book.Put(office.Peer); err != nil {
		t.Fatal(err)
	}
	if _, err := n.book.Introduce(office.Peer.Device, office.List); err != nil {
		t.Fatal(err)
	}
	if err := n.book.Remove(office.Peer.Device); err != nil {
		t.Fatal(err)
	}
	if err := n.meet(there); err != nil {
		t.Fatal(err)
	}
	if n.book.Has(office.Peer.Device) {
		t.Error("it is back")
	}
	if !n.book.Has(attic.Peer.Device) {
		t.Error("whom the other machine met is not here")
	}
}
