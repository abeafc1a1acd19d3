// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
)

// echo is a custodian that answers with what it was asked.
type echo struct {
	mu     sync.Mutex
	from   peers.DeviceID
	err    error
	fellow peers.DeviceID
}

func (e *echo) Answer(_ context.Context, verb string, from peers.DeviceID, raw []byte) ([]byte, error) {
	e.mu.Lock()
	e.from = from
	err := e.err
	e.mu.Unlock()
	return append([]byte(verb+" "), raw...), err
}

func (e *echo) Fellow(d peers.DeviceID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return d == e.fellow
}

func TestFellowsGossip(t *testing.T) {
	noLeaks(t)
	a, b := newNode(t, "laptop", quick()), newNode(t, "desk", quick())
	e := &echo{fellow: a.id.Device()}
	b.stop()
	b.cfg.Witness = e
	b.start()
	c := a.Fellow(b.id.Device(), b.Addresses())
	for range 2 {
		got, err := c.Witness(t.Context(), "gossip", []byte{1})
		if err != nil || string(got) != "gossip \x01" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	// It can do nothing else, and is out once it is no fellow.
	for _, verb := range []string{"letter", "log", "appoint"} {
		if _, err := c.Witness(t.Context(), verb, []byte{1}); !errors.Is(err, peers.ErrRefused) {
			t.Fatalf("%s by a fellow: %v", verb, err)
		}
	}
	if _, err := c.StatShards(t.Context(), []peers.ShardID{{1}}); err == nil {
		t.Fatal("a fellow reads shards")
	}
	e.mu.Lock()
	e.fellow = peers.DeviceID{}
	e.mu.Unlock()
	if _, err := c.Witness(t.Context(), "gossip", []byte{1}); !errors.Is(err, peers.ErrRefused) {
		t.Fatalf("a former fellow: %v", err)
	}
}

// Machines that others' lists name and that nobody wants any more are forgotten,
// but not one that there is a connection to.
func TestFellowsAreForgotten(t *testing.T) {
	noLeaks(t)
	tm := quick()
	tm.fellow = 100 * time.Millisecond
	a, b := newNode(t, "laptop", tm), newNode(t, "desk", quick())
	e := &echo{fellow: a.id.Device()}
	b.stop()
	b.cfg.Witness = e
	b.start()
	known := func() (all int, it bool) {
		a.mu.Lock()
		defer a.mu.Unlock()
		_, it = a.fellows[b.id.Device()]
		return len(a.fellows), it
	}
	c := a.Fellow(b.id.Device(), b.Addresses())
	if _, err := c.Witness(t.Context(), "gossip", []byte{1}); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		a.Fellow(peers.DeviceID{1, byte(i)}, []string{"192.0.2.1:4242"})
	}
	within(t, "the others are forgotten", func() bool {
		a.Fellow(peers.DeviceID{2}, nil)
		n, it := known()
		if !it {
			t.Fatal("the one with a connection is forgotten")
		}
		return n == 2
	})
	if a.Fellow(b.id.Device(), b.Addresses()) != c {
		t.Error("it is another client")
	}
	b.stop()
	within(t, "it is forgotten", func() bool {
		a.Fellow(peers.DeviceID{2}, nil)
		_, it := known()
		return !it
	})
	b.start()
	if _, err := a.Fellow(b.id.Device(), b.Addresses()).Witness(t.Context(), "gossip", []byte{1}); err != nil {
		t.Errorf("asked again: %v", err)
	}
}

func TestWitnessMessages(t *testing.T) {
	noLeaks(t)
	a, b := newNode(t, "laptop", quick()), newNode(t, "desk", quick())
	befriend(t, a, b)
	c, err := a.Peer(b.id.Device())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Peer(a.id.Device()); !errors.Is(err, circle.ErrUnknownPeer) {
		t.Fatalf("a device that is not in the circle: %v", err)
	}
	if _, err := c.Witness(t.Context(), "letter", []byte("x")); !errors.Is(err, peers.ErrNoCustodian) {
		t.Fatalf("a device that is no custodian: %v", err)
	}
	e := &echo{}
	b.stop()
	b.cfg.Witness = e
	b.cfg.Listen = b.Addresses()
	b.start()
	befriend(t, a, b)

	for _, raw := range [][]byte{{1}, bytes.Repeat([]byte{7}, 200<<10)} {
		for _, verb := range []string{"appoint", "letter", "status", "gossip"} {
			got, err := c.Witness(t.Context(), verb, raw)
			if err != nil || !bytes.Equal(got, append([]byte(verb+" "), raw...)) {
				t.Fatalf("%s: %d bytes, %v", verb, len(got), err)
			}
		}
	}
	if e.from != a.id.Device() {
		t.Fatal("the answer is for another device")
	}
	// Too large for its verb, on the client and, past it, on the server.
	if _, err := c.Witness(t.Context(), "log", make([]byte, 2000)); !errors.Is(err, peers.ErrRefused) {
		t.Fatalf("a log query of 2,000 bytes: %v", err)
	}
	req := newBody(make([]byte, 9<<10)).request("POST", c.link.host, pathWitness+"revoke")
	resp, err := c.link.do(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.finish(resp, nil); !errors.Is(err, peers.ErrRefused) {
		t.Fatalf("a revocation of 9 KiB: %v", err)
	}
	if _, err := c.Witness(t.Context(), "nonsense", nil); !errors.Is(err, peers.ErrRefused) {
		t.Fatalf("an unknown verb: %v", err)
	}
	// Its errors travel by their meaning; what it says for itself does not.
	for _, want := range []error{peers.ErrRefused, peers.ErrNoCustodian} {
		e.mu.Lock()
		e.err = want
		e.mu.Unlock()
		if _, err := c.Witness(t.Context(), "status", []byte{1}); !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
	}
	e.mu.Lock()
	e.err = nil
	e.mu.Unlock()
	// A device that left the circle is not answered on its old connections.
	if err := b.book.Remove(a.id.Device()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Witness(t.Context(), "letter", []byte{1}); !errors.Is(err, peers.ErrRefused) {
		t.Fatalf("a stranger: %v", err)
	}
}

func TestKeysAreTold(t *testing.T) {
	noLeaks(t)
	// A join derives the pairing's words, which under the race detector, on a
	// busy machine, takes longer than quick lets a guest stay.
	tm := quick()
	tm.join = 0
	a, b := newNode(t, "laptop", tm), newNode(t, "desk", tm)
	key := func(n *node, first byte, willing bool) {
		n.stop()
		n.cfg.Keys = Keys{Sign: bytes.Repeat([]byte{first}, 32), KEM: bytes.Repeat([]byte{first}, 1216)}
		if n.cfg.Witness = nil; willing {
			n.cfg.Witness = &echo{}
		}
		n.start()
	}
	key(a, 1, false)
	key(b, 2, true)
	inv, err := b.book.NewInvite(circle.Invite{Device: b.id.Device(), Name: "desk", Addresses: b.Addresses()}, 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.Join(t.Context(), inv)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Witness || len(p.KEM) != 1216 || p.Sign[0] != 2 {
		t.Fatalf("after join: %v, %d bytes", p.Witness, len(p.KEM))
	}
	q, _ := b.book.Peer(a.id.Device())
	if q.Witness || len(q.KEM) != 1216 || q.Sign[0] != 1 {
		t.Fatalf("on the other side: %v, %d bytes", q.Witness, len(q.KEM))
	}
	// New keys come with the next hello, and stay in the file.
	key(b, 3, false)
	if err := a.book.Update(b.id.Device(), func(p *circle.Peer) { p.Addresses = b.Addresses() }); err != nil {
		t.Fatal(err)
	}
	a.Probe(t.Context())
	if p, _ = a.book.Peer(b.id.Device()); p.Witness || p.Sign[0] != 3 {
		t.Fatalf("after a hello: %v, key %d", p.Witness, p.Sign[0])
	}
}
