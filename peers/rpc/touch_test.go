// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/transport"
)

// inTouch says whether a has a control connection to b.
func (n *node) inTouch(b *node) bool { return n.touch(b.id.Device()) != nil }

// A device that can only dial out keeps shards all the same: it opens the
// connections on which it is asked.
func TestReverse(t *testing.T) {
	noLeaks(t)
	owner := newNode(t, "owner", times{})
	hidden := newNode(t, "hidden", times{})
	// Nobody knows where hidden is, and what it says of itself leads nowhere.
	hidden.stop()
	hidden.cfg.Listen = nil
	hidden.start()
	for _, p := range [][2]*node{{owner, hidden}, {hidden, owner}} {
		if err := p[0].book.Put(circle.Peer{
			Device: p[1].id.Device(), Name: p[1].cfg.Name(), Addresses: p[1].Addresses(), Keeper: true,
		}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "in touch", func() bool { return owner.inTouch(hidden) && hidden.inTouch(owner) })
	k := owner.keeper(hidden)
	done := make(chan error)
	const many = 12
	for i := range many {
		go func() {
			id := peers.ShardID{byte(i)}
			err := k.PutShard(t.Context(), id, erasure.Root{}, make([]byte, 1<<20))
			if err == nil {
				err = k.ReadShard(t.Context(), id, 5, make([]byte, 100))
			}
			done <- err
		}()
	}
	for range many {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	// The other way round as ever.
	if err := hidden.keeper(owner).PutShard(t.Context(), peers.ShardID{1}, erasure.Root{}, []byte("x")); err != nil {
		t.Error(err)
	}
}

// A restarted peer is back in touch in a moment, whichever side can dial, and
// strangers get no control connection.
func TestBackInTouch(t *testing.T) {
	noLeaks(t)
	a, b, stranger := newNode(t, "a", times{}), newNode(t, "b", times{}), newNode(t, "stranger", times{})
	befriend(t, a, b)
	eventually(t, "in touch", func() bool { return a.inTouch(b) && b.inTouch(a) })
	// One connection, not one for each side.
	eventually(t, "agreed on one", func() bool {
		x, y := a.touch(b.id.Device()), b.touch(a.id.Device())
		return x != nil && y != nil && x.ours != y.ours && !x.ended() && !y.ended()
	})
	addr := a.Addresses()[0]
	b.stop()
	eventually(t, "noticed", func() bool { return !a.inTouch(b) })
	b.cfg.Listen = []string{addrOf(t, b)}
	b.start()
	eventually(t, "in touch again", func() bool { return a.inTouch(b) && b.inTouch(a) })
	a.stop()
	a.cfg.Listen = []string{addr}
	a.start()
	eventually(t, "in touch again, the other way", func() bool { return a.inTouch(b) && b.inTouch(a) })

	_, _, err := stranger.id.Dial(t.Context(), a.id.Device(), []string{addr}, transport.DialOptions{Kind: transport.Control})
	if err == nil {
		t.Error("a stranger has a control connection")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.contacts[stranger.id.Device()] != nil {
		t.Error("a stranger is remembered")
	}
}

// addrOf picks a free address for a node that has to keep it.
func addrOf(t *testing.T, n *node) string {
	t.Helper()
	p, ok := n.book.Peer(n.id.Device())
	if ok {
		return p.Addresses[0]
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// The newest connection replaces one that seems to live; a name that changes a
// thousand times is written once.
func TestNewestWins(t *testing.T) {
	noLeaks(t)
	a, b := newNode(t, "a", times{}), newNode(t, "b", times{})
	befriend(t, a, b)
	eventually(t, "in touch", func() bool { return a.inTouch(b) && b.inTouch(a) })
	old := a.touch(b.id.Device())
	c, _, err := b.id.Dial(t.Context(), a.id.Device(), a.Addresses(), transport.DialOptions{Kind: transport.Control})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !old.ours {
		// Both from b: the newest counts at once.
		eventually(t, "replaced", func() bool { now := a.touch(b.id.Device()); return now != nil && now != old })
	}
	path := filepath.Join(t.TempDir(), "circle.json")
	book, err := circle.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := book.Put(circle.Peer{Device: b.id.Device(), Name: "b"}); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := book.Hear(b.id.Device(), func(p *circle.Peer) { p.Name = "b" + time.Duration(i).String() }); err != nil {
			t.Fatal(err)
		}
	}
	onDisk, err := circle.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := onDisk.Peer(b.id.Device())
	now, _ := book.Peer(b.id.Device())
	if p.Name != "b0s" || now.Name != "b999ns" {
		t.Errorf("on disk %q, in memory %q", p.Name, now.Name)
	}
	if err := book.Flush(); err != nil {
		t.Fatal(err)
	}
	if onDisk, err = circle.Open(path); err != nil {
		t.Fatal(err)
	}
	if p, _ = onDisk.Peer(b.id.Device()); p.Name != "b999ns" {
		t.Errorf("after a flush %q", p.Name)
	}
}

// A device that connects anew, as from another address, has a reason: what hangs
// on its old connections ends soon, and is not waited for.
func TestNewTouchEndsWhatHangs(t *testing.T) {
	noLeaks(t)
	patient := times{idle: 5 * time.Minute}
	a, b := newNode(t, "a", patient), newNode(t, "b", patient)
	b.stop()
	b.depot.hold = make(chan struct{})
	b.start()
	befriend(t, a, b)
	eventually(t, "in touch for a while", func() bool {
		c := a.touch(b.id.Device())
		return c != nil && time.Since(c.conn.Opened()) > sameTime
	})
	hung := make(chan error, 1)
	go func() { hung <- a.keeper(b).ReadShard(t.Context(), peers.ShardID{1}, 0, make([]byte, 1)) }()
	eventually(t, "it is asked", func() bool {
		l := a.client(b.id.Device()).link
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.conns) > 0
	})
	c, _, err := b.id.Dial(t.Context(), a.id.Device(), a.Addresses(), transport.DialOptions{Kind: transport.Control})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	select {
	case err := <-hung:
		if !errors.Is(err, peers.ErrUnreachable) {
			t.Error(err)
		}
	case <-time.After(2 * time.Minute):
		t.Error("it hangs")
	}
	close(b.depot.hold)
}

// leaver is a Finder that is taken off while it is asked, as that of a server
// which the person has just removed.
type leaver struct{ s *Service }

func (f *leaver) Find(context.Context, peers.DeviceID) []string {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.finders = slices.DeleteFunc(f.s.finders, func(o transport.Finder) bool { return o == transport.Finder(f) })
	return nil
}

// What a dial goes by is its own: finders come and go meanwhile, and the same
// addresses serve several dials at once.
func TestCandidatesShareNothing(t *testing.T) {
	a := newNode(t, "a", times{})
	known := []string{"relay://192.0.2.1:1/?id=x", "192.0.2.2:1", "10.0.0.1:1"}
	before := slices.Clone(known)
	l := newLink(a.Service, peers.DeviceID{1}, func() []string { return known })
	a.mu.Lock()
	a.finders = []transport.Finder{&leaver{a.Service}, &leaver{a.Service}}
	a.mu.Unlock()
	got := l.candidates(t.Context())
	if want := []string{before[2], before[1], before[0]}; !slices.Equal(got, want) {
		t.Errorf("dials %v, not %v", got, want)
	}
	if !slices.Equal(known, before) {
		t.Errorf("the addresses became %v", known)
	}
}
