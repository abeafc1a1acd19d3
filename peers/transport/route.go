// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Route is the kind of way that leads to a device, best first.
type Route byte

// The routes.
const (
	SameMachine Route = iota + 1
	LAN               // a private address
	Direct            // an address of the whole internet
	QUICRoute         // one that only QUIC leads to
	Relayed           // through a relay, which sees who talks and when, not what
)

// String names the route for logs and reports.
func (r Route) String() string {
	switch r {
	case SameMachine:
		return "this machine"
	case LAN:
		return "LAN"
	case Direct:
		return "direct"
	case QUICRoute:
		return "quic"
	case Relayed:
		return "relay"
	}
	return "none"
}

// RelayScheme begins the address of a device behind a relay.
const RelayScheme = "relay"

// RouteOf tells from an address, as dialled, which route it would be.
func RouteOf(address string) Route {
	scheme, rest, ok := strings.Cut(address, "://")
	switch {
	case ok && scheme == RelayScheme:
		return Relayed
	case ok && scheme == QUICScheme:
		return QUICRoute
	case !ok:
		rest = address
	}
	host, _, err := net.SplitHostPort(rest)
	if err != nil {
		return Direct
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return Direct // a name
	}
	return routeOfIP(ip)
}

func routeOfIP(ip netip.Addr) Route {
	ip = ip.Unmap()
	switch {
	case ip.IsLoopback():
		return SameMachine
	case ip.IsPrivate(), ip.IsLinkLocalUnicast():
		return LAN
	}
	return Direct
}

// routeOf tells how an open connection goes.
func routeOf(c net.Conn) Route {
	if _, ok := c.(*relayConn); ok {
		return Relayed
	}
	if t, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return routeOfIP(t.AddrPort().Addr())
	}
	return Direct
}

// ByRoute sorts addresses by what they lead through, best first; those of one
// route keep their order.
func ByRoute(addresses []string) {
	slices.SortStableFunc(addresses, func(a, b string) int { return int(RouteOf(a)) - int(RouteOf(b)) })
}
