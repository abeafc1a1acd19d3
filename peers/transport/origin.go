// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"net"
	"net/netip"
)

// Origin is what counts as one place when strangers are counted: an IPv4
// address, or the /64 that an IPv6 address lies in, as anybody with IPv6 has
// 2^64 of those. What is no IP address is the zero Prefix, one place.
func Origin(a net.Addr) netip.Prefix {
	var at netip.AddrPort
	switch t := a.(type) {
	case *net.TCPAddr:
		at = t.AddrPort()
	case *net.UDPAddr:
		at = t.AddrPort()
	default:
		return netip.Prefix{}
	}
	ip := at.Addr().Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
