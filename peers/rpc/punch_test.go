// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"bytes"
	"crypto/rand"
	"testing"
	"time"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/transport"
)

// within polls until ok, for as long as a busy machine may take.
func within(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// withQUIC restarts a node with a UDP socket, or without.
func (n *node) withQUIC(on bool) {
	n.stop()
	n.cfg.QUIC = on
	n.start()
}

func (n *node) route(to *node) transport.Route {
	if c := n.touch(to.id.Device()); c != nil {
		return c.conn.Route()
	}
	return 0
}

// apart makes two devices of which neither knows where the other is, and has them
// meet by UDP, by what a third tells each of itself and passes on for both.
func apart(t testing.TB) (a, b *node) {
	t.Helper()
	a, b, common := newNode(t, "a", times{}), newNode(t, "b", times{}), newNode(t, "common", times{})
	for _, n := range []*node{a, b, common} {
		n.withQUIC(true)
	}
	for _, p := range [][2]*node{{a, b}, {b, a}} {
		if err := p[0].book.Put(circle.Peer{Device: p[1].id.Device(), Name: p[1].cfg.Name(), Keeper: true}); err != nil {
			t.Fatal(err)
		}
	}
	// Both dial the common one, which is where they are seen by UDP.
	for _, n := range []*node{a, b} {
		if err := common.book.Put(circle.Peer{Device: n.id.Device(), Name: n.cfg.Name()}); err != nil {
			t.Fatal(err)
		}
		if err := n.book.Put(circle.Peer{Device: common.id.Device(), Name: "common", Addresses: common.Addresses()}); err != nil {
			t.Fatal(err)
		}
	}
	within(t, "in touch by QUIC", func() bool { return a.route(b) == transport.QUICRoute && b.route(a) == transport.QUICRoute })
	return a, b
}

// Two devices that met by UDP use it for everything.
func TestPunch(t *testing.T) {
	noLeaks(t)
	a, b := apart(t)
	data := make([]byte, peers.MaxShard)
	rand.Read(data)
	for _, p := range [][2]*node{{a, b}, {b, a}} {
		k := p[0].keeper(p[1])
		if err := k.PutShard(t.Context(), peers.ShardID{1}, erasure.Root{}, data); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(data))
		if err := k.ReadShard(t.Context(), peers.ShardID{1}, 0, got); err != nil || !bytes.Equal(got, data) {
			t.Errorf("other bytes came back, %v", err)
		}
	}
	for _, r := range a.Report().Peers {
		if r.Device == b.id.Device() && (!r.Online || r.Route != transport.QUICRoute || max(r.In, r.Out) < 0) {
			t.Errorf("the report says %+v", r)
		}
	}
	// One that is restarted without it is not reached by it.
	b.withQUIC(false)
	within(t, "noticed", func() bool { return !a.inTouch(b) })
}

// What a member says about UDP may be nonsense; nothing comes of it.
func TestNonsenseAboutUDP(t *testing.T) {
	noLeaks(t)
	a, b := newNode(t, "a", times{}), newNode(t, "b", times{})
	a.withQUIC(true)
	b.stop() // the test plays it
	if err := a.book.Put(circle.Peer{Device: b.id.Device(), Name: "b"}); err != nil {
		t.Fatal(err)
	}
	c, _, err := b.id.Dial(t.Context(), a.id.Device(), a.Addresses(), transport.DialOptions{Kind: transport.Control})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	within(t, "in touch", func() bool { return a.inTouch(b) })
	to := &control{s: a.Service, conn: c}
	id := b.id.Device()
	many := make([]string, 100)
	for i := range many {
		many[i] = "127.0.0.1:9"
	}
	for _, m := range []controlMsg{
		{What: controlWatch}, {What: controlWatch, Token: []byte{1}}, {What: controlSeen}, {What: controlSeen, Token: make([]byte, 16), Addresses: many[:1]},
		{What: controlPunch}, {What: controlPunch, Token: make([]byte, 16), Device: []byte{1}}, {What: controlPunch, Token: make([]byte, 16), Device: id[:]},
		{What: controlPunch, Answer: true, Token: make([]byte, 16)}, {What: controlPunch, Token: make([]byte, 16), Addresses: many},
		{What: controlPass}, {What: controlPass, Device: id[:]}, {What: controlPass, Device: make([]byte, 32), Token: make([]byte, 16)},
	} {
		if err := to.send(m); err != nil {
			t.Fatalf("%+v: %v", m, err)
		}
	}
	for i := range 3 { // each takes the place of the one before
		if err := to.send(controlMsg{What: controlWatch, Token: bytes.Repeat([]byte{byte(i)}, 16)}); err != nil {
			t.Fatal(err)
		}
	}
	within(t, "only the last is watched for", func() bool {
		a.udp.mu.Lock()
		defer a.udp.mu.Unlock()
		return len(a.udp.expected) == 1 && a.udp.expected[transport.Knock(bytes.Repeat([]byte{2}, 16))] != nil
	})
	if !a.inTouch(b) {
		t.Error("the connection was closed")
	}
}

// A task of somebody else's sends its caretaker to no name, nor to where clouds
// keep their secrets.
func TestAddressesOfATask(t *testing.T) {
	noLeaks(t)
	a, d := newNode(t, "a", times{}), peers.DeviceID{1}
	a.Cared(d, []string{"example.org:443", "169.254.169.254:80", "192.0.2.1:4242"})
	a.mu.Lock()
	defer a.mu.Unlock()
	if got := a.fellows[d].addresses; len(got) != 1 || got[0] != "192.0.2.1:4242" {
		t.Errorf("it would dial %q", got)
	}
}

// A member that makes up what others ask has this device knock no more often by
// naming more of them.
func TestMadeUpPunches(t *testing.T) {
	noLeaks(t)
	a, b := newNode(t, "a", times{}), newNode(t, "b", times{})
	a.withQUIC(true)
	b.stop() // the test plays it
	others := make([]peers.DeviceID, 3*maxForwarded)
	if err := a.book.Put(circle.Peer{Device: b.id.Device(), Name: "b"}); err != nil {
		t.Fatal(err)
	}
	for i := range others {
		rand.Read(others[i][:])
		if err := a.book.Put(circle.Peer{Device: others[i], Name: "other"}); err != nil {
			t.Fatal(err)
		}
	}
	c, _, err := b.id.Dial(t.Context(), a.id.Device(), a.Addresses(), transport.DialOptions{Kind: transport.Control})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	within(t, "in touch", func() bool { return a.inTouch(b) && len(a.everybody()) == len(others)+1 })
	to := &control{s: a.Service, conn: c}
	for i, o := range others {
		if err := to.send(controlMsg{What: controlPunch, Token: bytes.Repeat([]byte{byte(i + 1)}, 16), Device: o[:], Addresses: []string{"127.0.0.1:9"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.send(controlMsg{What: controlWatch, Token: make([]byte, 16)}); err != nil {
		t.Fatal(err)
	}
	within(t, "all is read", func() bool {
		a.udp.mu.Lock()
		defer a.udp.mu.Unlock()
		return a.udp.expected[transport.Knock{}] != nil
	})
	answered := 0
	for _, p := range a.everybody() {
		p.mu.Lock()
		if !p.answered.IsZero() {
			answered++
		}
		p.mu.Unlock()
	}
	if answered != maxForwarded {
		t.Errorf("%d of %d were heeded", answered, len(others))
	}
}
