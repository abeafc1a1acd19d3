// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"net"
	"net/netip"
	"slices"
)

// maxOwn bounds the addresses a device gives of itself; machines with many
// bridges and containers have dozens.
const maxOwn = 12

// Candidates turns bound addresses into ones others can dial: a wildcard
// becomes the addresses of the network interfaces. Addresses of this machine
// only (loopback) come last, and only when bound to explicitly or when there
// is no other.
func Candidates(bound []net.Addr) []string {
	var ips []netip.Addr
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok {
					ips = append(ips, ip.Unmap())
				}
			}
		}
	}
	return candidates(bound, ips)
}

func candidates(bound []net.Addr, interfaces []netip.Addr) []string {
	var out, local, spare []netip.AddrPort
	for _, a := range bound {
		t, ok := a.(*net.TCPAddr)
		if !ok {
			continue
		}
		ap := t.AddrPort()
		ip := ap.Addr().Unmap()
		if !ip.IsUnspecified() {
			one := netip.AddrPortFrom(ip, ap.Port())
			if ip.IsLoopback() {
				local = append(local, one)
			} else {
				out = append(out, one)
			}
			continue
		}
		for _, i := range interfaces {
			if i.Is6() && ap.Addr().Is4() {
				continue // an IPv4-only wildcard
			}
			one := netip.AddrPortFrom(i, ap.Port())
			switch {
			case i.IsLoopback():
				spare = append(spare, one)
			case i.IsGlobalUnicast(): // private ones included, link-local not
				out = append(out, one)
			}
		}
	}
	// IPv4 before IPv6: on a home network it is the one that works.
	slices.SortStableFunc(out, func(a, b netip.AddrPort) int {
		return a.Addr().BitLen() - b.Addr().BitLen()
	})
	out = append(out, local...)
	if len(out) == 0 {
		out = spare
	}
	var text []string
	for _, a := range out {
		s := a.String()
		if !slices.Contains(text, s) && len(text) < maxOwn {
			text = append(text, s)
		}
	}
	return text
}

// LoopbackOnly says whether nobody but this machine can reach the bound
// addresses.
func LoopbackOnly(bound []net.Addr) bool {
	for _, a := range bound {
		if t, ok := a.(*net.TCPAddr); !ok || !t.IP.IsLoopback() {
			return false
		}
	}
	return true
}
