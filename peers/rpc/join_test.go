// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/transport"
)

func (n *node) invite(ttl time.Duration) circle.Invite {
	n.t.Helper()
	inv, err := n.book.NewInvite(circle.Invite{Device: n.id.Device(), Name: n.cfg.Name(), Addresses: n.Addresses()}, ttl)
	if err != nil {
		n.t.Fatal(err)
	}
	return inv
}

func TestJoin(t *testing.T) {
	noLeaks(t)
	home, laptop, bert := newNode(t, "home", times{}), newNode(t, "laptop", times{}), newNode(t, "bert", times{})
	code := home.invite(time.Hour).Code()
	inv, err := circle.ParseInvite(code)
	if err != nil {
		t.Fatal(err)
	}
	p, err := laptop.Join(t.Context(), inv)
	if err != nil || p.Device != home.id.Device() || p.Name != "home" || !p.Keeper {
		t.Fatalf("%+v %v", p, err)
	}
	// Both ways at once, and shards flow.
	if err := laptop.keeper(home).PutShard(t.Context(), peers.ShardID{1}, erasure.Root{}, []byte("x")); err != nil {
		t.Error(err)
	}
	if err := home.keeper(laptop).PutShard(t.Context(), peers.ShardID{1}, erasure.Root{}, []byte("x")); err != nil {
		t.Error(err)
	}
	// The answer may have been lost: the same device tries again.
	if _, err := laptop.Join(t.Context(), inv); err != nil {
		t.Errorf("again: %v", err)
	}
	// Nobody else; first with no other invite open, then with one.
	if _, err := bert.Join(t.Context(), inv); !errors.Is(err, circle.ErrInviteUnknown) {
		t.Errorf("second device: %v", err)
	}
	open := home.invite(time.Hour)
	if _, err := bert.Join(t.Context(), inv); !errors.Is(err, circle.ErrInviteUsed) {
		t.Errorf("second device: %v", err)
	}
	forged := open
	forged.Token[3] ^= 1
	if _, err := bert.Join(t.Context(), forged); !errors.Is(err, circle.ErrInviteUnknown) {
		t.Errorf("forged token: %v", err)
	}
	wrong := open
	wrong.Device = laptop.id.Device()
	if _, err := bert.Join(t.Context(), wrong); !errors.Is(err, transport.ErrWrongDevice) {
		t.Errorf("another device in the code: %v", err)
	}
	if bert.book.Has(laptop.id.Device()) || home.book.Has(bert.id.Device()) {
		t.Error("a failed join left traces")
	}
	if _, err := home.Join(t.Context(), open); !errors.Is(err, ErrSelf) {
		t.Errorf("own invite: %v", err)
	}
	old := open
	old.Expires = time.Now().Add(-time.Second)
	if _, err := bert.Join(t.Context(), old); !errors.Is(err, circle.ErrInviteExpired) {
		t.Errorf("expired: %v", err)
	}
	// Taken out of the circle it stays out, and what it has open is cut.
	if err := home.Remove(laptop.id.Device()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its connections are closed", func() bool {
		home.server.mu.Lock()
		defer home.server.mu.Unlock()
		return len(home.server.open[laptop.id.Device()]) == 0
	})
	if _, err := laptop.Join(t.Context(), inv); !errors.Is(err, circle.ErrInviteUnknown) {
		t.Errorf("again after it was removed: %v", err)
	}
}

// Who cannot be reached by TCP lets a newcomer in by QUIC, and stays in touch
// that way.
func TestJoinByQUIC(t *testing.T) {
	noLeaks(t)
	home, laptop := newNode(t, "home", times{}), newNode(t, "laptop", times{})
	home.withQUIC(true)
	inv := home.invite(time.Hour)
	if err := home.listener.Close(); err != nil { // TCP alone
		t.Fatal(err)
	}
	if _, err := laptop.Join(t.Context(), inv); !errors.Is(err, peers.ErrUnreachable) {
		t.Fatalf("joined without UDP: %v", err)
	}
	laptop.withQUIC(true)
	if _, err := laptop.Join(t.Context(), inv); err != nil {
		t.Fatal(err)
	}
	within(t, "in touch by QUIC", func() bool {
		return laptop.route(home) == transport.QUICRoute && home.route(laptop) == transport.QUICRoute
	})
}

// guests are the connections of guests that home holds.
func (n *node) guests() int {
	n.server.mu.Lock()
	defer n.server.mu.Unlock()
	return len(n.server.guestConns)
}

// One address holds few of the guests' places, and the newest is the one that
// stays: whoever sits and waits cannot keep others out.
func TestGuestsAreFew(t *testing.T) {
	noLeaks(t)
	home, stranger, laptop := newNode(t, "home", times{}), newNode(t, "stranger", times{}), newNode(t, "laptop", times{})
	inv := home.invite(time.Hour)
	var conns []*transport.Conn
	var closed atomic.Int64
	var wg sync.WaitGroup
	for range maxPerAddress + 3 {
		c := stranger.raw(home)
		conns = append(conns, c)
		wg.Go(func() {
			if _, err := c.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				closed.Add(1)
			}
		})
	}
	eventually(t, "three made room", func() bool { return closed.Load() == 3 })
	if n := home.guests(); n != maxPerAddress {
		t.Errorf("%d guests of one address", n)
	}
	if _, err := laptop.Join(t.Context(), inv); err != nil {
		t.Errorf("with every place of its address taken: %v", err)
	}
	for _, c := range conns {
		c.Close()
	}
	wg.Wait()
	eventually(t, "guests are gone", func() bool { return home.guests() == 0 })
}

// The places of all guests together are limited as well. When they are taken,
// who has to go is the oldest of the most crowded network.
func TestGuestsMakeRoom(t *testing.T) {
	from := func(a ...byte) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte(a)), 32) }
	lone := &guest{from: from(192, 0, 2, 1)}
	in := []*guest{lone}
	for i := range 3 * maxGuests {
		g := &guest{from: from(10, 0, byte(i%4), byte(i))}
		now, leaves := seat(in, g)
		if len(now) > maxGuests || !slices.Contains(now, g) || !slices.Contains(now, lone) {
			t.Fatalf("guest %d: %d are in", i, len(now))
		}
		if full := len(in) == maxGuests; full != (leaves != nil) || full && leaves != in[1] {
			t.Fatalf("guest %d: not the oldest of the others had to leave", i)
		}
		in = now
	}
	// With IPv6 a network is cheaper still.
	in = []*guest{lone}
	for i := range 3 * maxGuests {
		at := netip.MustParseAddr("2001:db8::").As16()
		at[7] = byte(i)
		p, err := netip.AddrFrom16(at).Prefix(64)
		if err != nil {
			t.Fatal(err)
		}
		in, _ = seat(in, &guest{from: p})
	}
	if len(in) != maxGuests || in[0] != lone {
		t.Error("somebody with many addresses pushed another off")
	}
	// From as many networks as there are places nobody is told from another.
	in = nil
	for i := range maxGuests + 1 {
		first := append(in, nil)[0]
		var leaves *guest
		if in, leaves = seat(in, &guest{from: from(10, 0, byte(i), 1)}); leaves != nil && (i < maxGuests || leaves != first) {
			t.Error("not the oldest had to leave")
		}
	}
	// Of an address with its share it is the oldest of that address.
	g := in[len(in)-1]
	in = []*guest{{}, {from: g.from}, g, {from: g.from}, {from: g.from}}
	if now, leaves := seat(in, &guest{from: g.from}); leaves != in[1] || len(now) != len(in) {
		t.Error("not the oldest of its address had to leave")
	}
}

// A guest has its time and no more, however steadily its body trickles.
func TestGuestThatTrickles(t *testing.T) {
	noLeaks(t)
	home, stranger := newNode(t, "home", quick()), newNode(t, "stranger", times{})
	home.invite(time.Hour)
	c := stranger.raw(home)
	_, err := io.WriteString(c, "POST "+pathJoin+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	started := time.Now()
	for range 250 {
		<-tick.C
		if _, err = c.Write([]byte("x")); err != nil {
			break
		}
	}
	if took := time.Since(started); err == nil || took > soon {
		t.Errorf("a guest was listened to for %s: %v", took, err)
	}
	eventually(t, "its place is free", func() bool { return home.guests() == 0 })
}
