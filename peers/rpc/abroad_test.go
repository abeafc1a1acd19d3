// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"slices"
	"testing"
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
