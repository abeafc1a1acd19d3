// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/account"
)

func (n *node) own(root ed25519.PrivateKey, at int64, others ...*node) []byte {
	n.t.Helper()
	devices := []peers.DeviceID{n.id.Device()}
	for _, o := range others {
		devices = append(devices, o.id.Device())
	}
	s, err := account.Next(root, nil, devices, at)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.book.SetOwn(s.Raw); err != nil {
		n.t.Fatal(err)
	}
	return s.Raw
}

func TestClaim(t *testing.T) {
	noLeaks(t)
	root := ed25519.NewKeyFromSeed(make([]byte, 32))
	first, second, keeper := newNode(t, "first", alone()), newNode(t, "second", alone()), newNode(t, "keeper", alone())
	befriend(t, first, keeper)
	at, addresses := keeper.id.Device(), keeper.Addresses()

	// The keeper knows no person yet.
	if _, err := second.Claim(t.Context(), at, addresses, second.own(root, 1)); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("before the person is known: %v", err)
	}
	first.own(root, 100)
	if _, err := first.keeper(keeper).Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	// An old list is answered with the newest, and lets nobody in.
	c, err := second.Claim(t.Context(), at, addresses, second.book.Own())
	if err != nil || c.Admitted || keeper.book.Has(second.id.Device()) {
		t.Fatalf("%+v, %v", c, err)
	}
	known, err := account.Parse(c.List)
	if err != nil || known.Body.Epoch != 100 {
		t.Fatalf("%+v, %v", known, err)
	}
	list := second.own(root, 200, first)
	if c, err = second.Claim(t.Context(), at, addresses, list); err != nil || !c.Admitted {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := second.keeper(keeper).Info(t.Context()); err != nil {
		t.Errorf("as a member: %v", err)
	}
	// The first hears of the second through the keeper.
	if _, err := first.keeper(keeper).Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := account.Parse(first.book.Own()); err != nil || !s.Body.Has(second.id.Device()) {
		t.Errorf("the first does not know of the second: %v", err)
	}
	// The second takes the first off, which is refused from then on.
	second.own(root, 300)
	if _, err := second.keeper(keeper).Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keeper.book.Has(first.id.Device()) {
		t.Error("it is still in the circle")
	}
	if _, err := first.keeper(keeper).StatShards(t.Context(), []peers.ShardID{{1}}); err == nil {
		t.Error("a removed machine is answered")
	}
}

// yes hands over something once the person has agreed.
type yes struct{ after int }

func (y *yes) Open() bool { return true }

func (y *yes) Pair(_ context.Context, _ peers.DeviceID, r PairRequest) (PairAnswer, error) {
	if r.Token != [16]byte{1} {
		return PairAnswer{}, peers.ErrRefused
	}
	if y.after--; y.after >= 0 {
		return PairAnswer{Wait: true}, nil
	}
	return PairAnswer{Sealed: []byte("sealed for " + r.Name)}, nil
}

func TestPair(t *testing.T) {
	noLeaks(t)
	old, fresh := newNode(t, "old", alone()), newNode(t, "fresh", alone())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := fresh.Pair(ctx, old.id.Device(), old.Addresses(), PairRequest{Token: [16]byte{1}}); err == nil {
		t.Error("paired with a machine that awaits none")
	}
	old.stop()
	old.cfg.Pairs = &yes{after: 1}
	old.start()
	got, err := fresh.Pair(ctx, old.id.Device(), old.Addresses(), PairRequest{Token: [16]byte{1}, Sign: make([]byte, 32), KEM: make([]byte, 1216)})
	if err != nil || string(got) != "sealed for fresh" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := fresh.Pair(ctx, old.id.Device(), old.Addresses(), PairRequest{Token: [16]byte{2}}); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("a wrong token: %v", err)
	}
}
