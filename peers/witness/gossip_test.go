// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/peers"
)

// find gives each custodian the others, as its circle would.
func (w *world) find(from *home) Finder {
	return func(d peers.DeviceID, _ []string) Caller {
		for _, h := range w.homes {
			if h.opts.Device == d && h.svc != nil {
				return as{h.svc, from.opts.Device}
			}
		}
		return nil
	}
}

func TestGossip(t *testing.T) {
	w := newWorld(t, 3)
	w.name()
	a, b := w.homes[0], w.homes[1]
	before := goleak.IgnoreCurrent()
	ticket := w.grant(3600, nil)
	want(t, a.reason(w.request(ticket), ticket), "")
	rev, err := w.Owner.Revoke(ticket.Grant.Hash, w.Now, "")
	check(t, err)
	_, err = a.byOwner().Revoke(t.Context(), rev.Raw)
	check(t, err)
	want(t, b.reason(w.request(ticket), ticket), "") // it has not heard yet

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.svc.Run(ctx, w.find(a))
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(60 * time.Second)
	for heard := 0; heard < 2; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the revocation did not come through")
		}
		heard = 0
		for _, h := range w.homes[1:] {
			heard += h.count(ledger.Revoke)
		}
	}
	cancel()
	<-done
	goleak.VerifyNone(t, before)
	want(t, b.reason(w.request(ticket), ticket), custody.Revoked)

	// The owner finds a's head with b, and can hold a's log against it.
	l, err := b.byOwner().Log(t.Context(), custody.KeyOf(w.Root), 0)
	check(t, err)
	found := false
	for _, raw := range l.Heads {
		h, err := custody.Parse[ledger.Head](raw)
		check(t, err)
		if h.Signer == a.log && h.Body.Seq == 2 {
			found = true
			a.entries(ledger.Witness{Seq: h.Body.Seq, Head: h.Body.Head})
		}
	}
	if !found {
		t.Fatal("b does not know a's head")
	}
}

// A custodian that was off hears of a revocation before it answers.
func TestFirstRoundComesFirst(t *testing.T) {
	w := newWorld(t, 2)
	w.name()
	a, b := w.homes[0], w.homes[1]
	ticket := w.grant(3600, nil)
	rev, err := w.Owner.Revoke(ticket.Grant.Hash, w.Now, "")
	check(t, err)
	_, err = a.byOwner().Revoke(t.Context(), rev.Raw)
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	asked, done := make(chan struct{}), make(chan struct{})
	var once sync.Once
	go func() {
		defer close(done)
		find := w.find(b)
		b.svc.Run(ctx, func(d peers.DeviceID, at []string) Caller {
			once.Do(func() { close(asked) })
			return find(d, at)
		})
	}()
	<-asked
	want(t, b.reason(w.request(ticket), ticket), custody.Revoked)
	cancel()
	<-done
}

// A fellow that was off asks, and hears what it missed.
func TestGossipAnswers(t *testing.T) {
	w := newWorld(t, 2)
	w.name()
	a, b := w.homes[0], w.homes[1]
	ticket := w.grant(3600, nil)
	rev, err := w.Owner.Revoke(ticket.Grant.Hash, w.Now, "")
	check(t, err)
	_, err = a.byOwner().Revoke(t.Context(), rev.Raw)
	check(t, err)
	b.svc.gossipAll(t.Context(), w.find(b))
	want(t, b.reason(w.request(ticket), ticket), custody.Revoked)

	// Its clock was heard too, on both sides.
	if n, m := len(a.svc.clocks), len(b.svc.clocks); n != 1 || m != 1 {
		t.Fatalf("%d and %d clocks were heard", n, m)
	}
	b.restart()
	if !a.svc.Fellow(b.opts.Device) || !b.svc.Fellow(a.opts.Device) || a.svc.Fellow(w.owner) {
		t.Fatal("who is a fellow is wrong")
	}
	// Nobody else may ask.
	for range perFellow {
		a.svc.limit.Allow(byFellow, b.opts.Device, perFellow, a.opts.Now())
	}
	_, err = Client{as{a.svc, b.opts.Device}}.gossip(t.Context(), Whispers{News: News{Owner: custody.KeyOf(w.Root)}})
	refuses(t, "a fellow that talks all the time", err)
	_, err = Client{as{a.svc, [32]byte{9}}}.gossip(t.Context(), Whispers{News: News{Owner: custody.KeyOf(w.Root)}})
	refuses(t, "a stranger", err)
}

// Two heads of one number are both kept, for the owner to see.
func TestForkStays(t *testing.T) {
	w := newWorld(t, 2)
	w.name()
	a, b := w.homes[0], w.homes[1]
	root := custody.KeyOf(w.Root)
	liar := ledger.New(root, b.log)
	var heads [][]byte
	for i := range 40 {
		liar.Seq, liar.Head = uint64(5+i), custody.Hash{byte(i)}
		h, err := liar.Sign(b.svc.logKey(custody.KeyOf(w.Root)), w.Now)
		check(t, err)
		heads = append(heads, h.Raw)
	}
	liar.Head = custody.Hash{0xff}
	h, err := liar.Sign(b.svc.logKey(custody.KeyOf(w.Root)), w.Now+1)
	check(t, err)
	_, err = a.byOwner().Status(t.Context(), News{Owner: root, Heads: append(heads, h.Raw)})
	check(t, err)
	l, err := a.byOwner().Log(t.Context(), root, 0)
	check(t, err)
	if len(l.Heads) != keptHeads+1 {
		t.Fatalf("%d heads are kept, want %d and the second one", len(l.Heads), keptHeads)
	}
}
