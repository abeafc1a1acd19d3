// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/preezm/preezm/peers/circle"
)

// Only what is one machine on the internet is dialled by UDP: these addresses are
// others' words, and a packet to many, or to whatever listens here, is no way to
// a device.
func TestAbroad(t *testing.T) {
	good := []string{"8.8.8.8:1", "[2001:db8::1]:1", "[::ffff:8.8.8.8]:1"}
	bad := []string{
		"0.0.0.0:1", "[::]:1", "[::ffff:0.0.0.0]:1", "224.0.0.1:1", "239.255.255.250:1900", "[ff02::1]:1", "[ff0e::1]:1", "255.255.255.255:1",
		"[::ffff:255.255.255.255]:1", "[::ffff:224.0.0.1]:1", "127.0.0.1:1", "[::1]:1", "10.0.0.1:1", "169.254.169.254:80", "[fe80::1%eth0]:1",
		"nas.example:1", "quic://8.8.8.8:1", "relay://8.8.8.8:1",
	}
	s := &Service{}
	want := []string{"quic://8.8.8.8:1", "quic://[2001:db8::1]:1", "quic://[::ffff:8.8.8.8]:1"}
	if got := s.byQUIC(slices.Concat(good, bad)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// What a document or a list says is dialled leads to no service of this machine,
// by TCP or through a relay, whatever it is called: whoever wrote it could have this
// device knock at what listens to this machine alone.
func TestOnOthersWord(t *testing.T) {
	noLeaks(t)
	home := newNode(t, "home", times{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var came atomic.Int64
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			c.Close()
		}
	})
	defer accepting.Wait()
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	victim := home.id.Device()
	ways := []string{
		"127.0.0.1:" + port, "localhost:" + port, "0.0.0.0:" + port, "[::]:" + port, "[::ffff:127.0.0.1]:" + port, "127.1.2.3:" + port,
		"relay://127.0.0.1:" + port + "/?id=" + victim.String(), "relay://localhost:" + port + "/?id=" + victim.String(),
	}
	call := func(s *Service) int64 {
		for _, a := range ways {
			v := s.Visit(victim, "a gateway", []string{a}, nil)
			if _, err := v.Ask(t.Context(), "plan", nil); err == nil {
				t.Errorf("%s answered", a)
			}
			v.Close()
			if err := s.Fellow(victim, []string{a}).tell(t.Context(), pathOwner, nil); err == nil {
				t.Errorf("%s answered a fellow", a)
			}
		}
		return came.Swap(0)
	}
	service := func(listen ...string) *Service {
		id, book := newIdentity(t)
		s, err := New(Config{Identity: id, Book: book, Listen: listen})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	if n := call(service()); n > 0 {
		t.Errorf("one that only dials came %d times", n)
	}
	if n := call(service("127.0.0.1:0", "0.0.0.0:0")); n > 0 {
		t.Errorf("one that others reach came %d times", n)
	}
	// Where nobody else reaches this one either, the other is on this machine.
	if n := call(service("127.0.0.1:0")); n == 0 {
		t.Error("two homes of one machine do not meet")
	}
	// A member is where its person's invite said.
	s := service()
	if err := s.cfg.Book.Put(circle.Peer{Device: victim, Name: "home", Addresses: ways[:1]}); err != nil {
		t.Fatal(err)
	}
	if n := call(s); n == 0 {
		t.Error("a member on this machine is not visited")
	}
}

// Who only dials, as a command or a recovery does, reaches members by QUIC too.
func TestOnlyDialsByQUIC(t *testing.T) {
	noLeaks(t)
	home, laptop := newNode(t, "home", times{}), newNode(t, "laptop", times{})
	home.withQUIC(true)
	befriend(t, home, laptop)
	laptop.stop()
	if err := home.listener.Close(); err != nil { // TCP alone
		t.Fatal(err)
	}
	for _, on := range []bool{false, true} {
		laptop.cfg.QUIC = on
		s, err := New(laptop.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Listen(t.Context()); err != nil { // loopback counts for who is there alone
			t.Fatal(err)
		}
		if r := s.Probe(t.Context()); r[0].Online != on {
			t.Errorf("QUIC %v: %+v", on, r[0])
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
