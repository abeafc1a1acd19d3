// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/transport"
)

// node is a Service on loopback with a depot in memory.
type node struct {
	*Service
	t     testing.TB
	id    *transport.Identity
	book  *circle.Book
	depot *memory
	cfg   Config
	stop  func()
}

// quick are clocks for tests of what happens when somebody is silent.
func quick() times {
	return times{idle: 700 * time.Millisecond, header: 300 * time.Millisecond, join: 300 * time.Millisecond,
		announce: 50 * time.Millisecond, stop: 200 * time.Millisecond, probe: 3 * time.Second}
}

// noLeaks fails the test when goroutines are left at its end. It is called
// before nodes are made, so that it runs after they are gone.
func noLeaks(t testing.TB) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

func newIdentity(t testing.TB) (*transport.Identity, *circle.Book) {
	t.Helper()
	id, err := transport.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	book, err := circle.Open(filepath.Join(t.TempDir(), "circle.json"))
	if err != nil {
		t.Fatal(err)
	}
	return id, book
}

func newNode(t testing.TB, name string, tm times) *node {
	t.Helper()
	id, book := newIdentity(t)
	n := &node{t: t, id: id, book: book, depot: newMemory()}
	n.cfg = Config{
		Identity: id, Book: book, Depot: n.depot, Name: func() string { return name },
		Version: "test", Listen: []string{"127.0.0.1:0"}, times: tm,
	}
	t.Cleanup(func() {
		if n.stop != nil {
			n.stop()
		}
	})
	n.start()
	return n
}

// start begins a life of the node; kill and start make it restart.
func (n *node) start() {
	n.t.Helper()
	s, err := New(n.cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := s.Listen(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	n.Service = s
	n.stop = func() {
		cancel()
		if err := <-served; err != nil {
			n.t.Errorf("Serve: %v", err)
		}
		if err := s.Close(); err != nil {
			n.t.Errorf("Close: %v", err)
		}
		n.stop = nil
	}
}

// befriend puts two nodes into each other's circle without an invite.
func befriend(t testing.TB, a, b *node) {
	t.Helper()
	for _, p := range [][2]*node{{a, b}, {b, a}} {
		err := p[0].book.Put(circle.Peer{
			Device: p[1].id.Device(), Name: p[1].cfg.Name(), Addresses: p[1].Addresses(), Keeper: true,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// The announcer of one may have met the other before it was introduced.
	a.client(b.id.Device()).forgive()
	b.client(a.id.Device()).forgive()
}

// keeper is b as seen from a.
func (n *node) keeper(b *node) peers.Keeper {
	n.t.Helper()
	ks := n.Keepers()
	i := slices.IndexFunc(ks, func(k peers.Keeper) bool { return k.Device() == b.id.Device() })
	if i < 0 {
		n.t.Fatal("not a keeper")
	}
	return ks[i]
}

// eventually polls until ok, for at most half a minute.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within half a minute: %s", what)
		}
	}
}
