// SPDX-License-Identifier: MPL-2.0

package circle

import (
	"crypto/ed25519"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/account"
)

func person(b byte) ed25519.PrivateKey {
	seed := make([]byte, 32)
	seed[0] = b
	return ed25519.NewKeyFromSeed(seed)
}

func listOf(t *testing.T, root ed25519.PrivateKey, at int64, devices ...peers.DeviceID) []byte {
	t.Helper()
	s, err := account.Next(root, nil, devices, at)
	if err != nil {
		t.Fatal(err)
	}
	return s.Raw
}

func named(name string) func(*Peer) { return func(p *Peer) { p.Name = name } }

func TestAccounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "circle.json")
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	d1, d2, d3 := peers.DeviceID{1}, peers.DeviceID{2}, peers.DeviceID{3}
	me, other := person(1), person(2)
	// Nobody of the circle is that person yet.
	if _, _, err := b.Claim(d2, listOf(t, me, 5, d1, d2), named("x")); !errors.Is(err, ErrUnknownPeer) || b.MayClaim() {
		t.Errorf("claim of a stranger: %v", err)
	}
	if err := b.Put(Peer{Device: d1, Name: "first", Quota: 7, Keeper: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Introduce(d1, listOf(t, me, 10, d1)); err != nil {
		t.Fatal(err)
	}
	// A list without the claimer, an old one, and another person's.
	if _, _, err := b.Claim(d2, listOf(t, me, 20, d1), named("x")); !errors.Is(err, account.ErrNotListed) {
		t.Errorf("not listed: %v", err)
	}
	known, _, err := b.Claim(d2, listOf(t, me, 9, d1, d2), named("x"))
	if !errors.Is(err, ErrOldList) || len(known) == 0 {
		t.Errorf("old list: %v", err)
	}
	if _, _, err := b.Claim(d2, listOf(t, other, 30, d1, d2), named("x")); !errors.Is(err, ErrUnknownPeer) {
		t.Errorf("another's list: %v", err)
	}
	if b.Has(d2) {
		t.Fatal("it is in all the same")
	}
	// A member cannot become another person, nor take somebody's machine along.
	if _, err := b.Introduce(d1, listOf(t, other, 30, d1)); err == nil {
		t.Error("a member changed its person")
	}
	if b.Owner(d2) != d2 {
		t.Error("a list alone made a machine somebody's")
	}
	if _, _, err := b.Claim(d2, listOf(t, me, 20, d1, d2), named("second")); err != nil {
		t.Fatal(err)
	}
	p, ok := b.Peer(d2)
	if !ok || p.Name != "second" || p.Quota != 7 || b.Owner(d2) != d1 || b.Owner(d1) != d1 {
		t.Errorf("%+v, account %v", p, b.Owner(d2).Short())
	}
	// It lasts, and what was stored by a removed machine stays the person's.
	if b, err = Open(path); err != nil {
		t.Fatal(err)
	}
	gone, err := b.Introduce(d2, listOf(t, me, 30, d2))
	if err != nil || !slices.Equal(gone, []peers.DeviceID{d1}) || b.Has(d1) || b.Owner(d2) != d1 || b.Owner(d1) != d1 {
		t.Errorf("gone %v, %v", gone, err)
	}
	if _, _, err := b.Claim(d1, listOf(t, me, 20, d1, d2), named("first")); !errors.Is(err, ErrOldList) {
		t.Errorf("the removed one came back: %v", err)
	}
	// Who was taken out here comes back by an invite only.
	if _, _, err := b.Claim(d3, listOf(t, me, 40, d2, d3), named("third")); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(d3); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Claim(d3, listOf(t, me, 50, d2, d3), named("third")); !errors.Is(err, ErrUnknownPeer) {
		t.Errorf("a machine that was taken out: %v", err)
	}
}

func TestOwnList(t *testing.T) {
	b, err := Open(filepath.Join(t.TempDir(), "circle.json"))
	if err != nil {
		t.Fatal(err)
	}
	first, second := listOf(t, person(1), 10, peers.DeviceID{1}), listOf(t, person(1), 20, peers.DeviceID{1}, peers.DeviceID{2})
	for _, raw := range [][]byte{first, first, second} {
		if err := b.SetOwn(raw); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.SetOwn(first); !errors.Is(err, ErrOldList) {
		t.Errorf("an old list: %v", err)
	}
	if err := b.SetOwn(listOf(t, person(2), 30, peers.DeviceID{1})); err == nil {
		t.Error("another person's list")
	}
}
