// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"net"
	"net/netip"
	"testing"
)

func TestOrigin(t *testing.T) {
	for a, want := range map[string]string{
		"192.168.1.7:1": "192.168.1.7/32", "[::ffff:192.168.1.7]:2": "192.168.1.7/32",
		"[2001:db8:0:1:2::3]:4": "2001:db8:0:1::/64", "[2001:db8:0:1::]:5": "2001:db8:0:1::/64",
		"[fe80::1%eth0]:6": "fe80::/64",
	} {
		if got := Origin(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a))); got.String() != want {
			t.Errorf("%s: %s, want %s", a, got, want)
		}
	}
	if Origin(&net.UnixAddr{}) != (netip.Prefix{}) || Origin(&net.TCPAddr{}) != (netip.Prefix{}) {
		t.Error("no address is a place of its own")
	}
}
