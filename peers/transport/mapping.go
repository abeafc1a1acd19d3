// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/jackpal/gateway"
	natpmp "github.com/jackpal/go-nat-pmp"
)

const (
	// mappingLease is for how long a router is asked to pass a port on. Whoever
	// asks asks again well before.
	mappingLease = time.Hour
	// pmpTime bounds one question to a router by NAT-PMP.
	pmpTime = 2 * time.Second
)

// ErrNoMapping: no router passes a port on when asked.
var ErrNoMapping = errors.New("no router here opens a port when asked (UPnP or NAT-PMP)")

// MapPort asks the router for a port that leads to this machine's port, of the
// network "tcp" or "udp", by NAT-PMP, then by UPnP, for an hour. It gives the
// address that others reach it at. It asks whatever calls itself a router in this network and believes it
// nothing but that address, which is only a place to dial.
//
// Syncthing's lib/upnp and lib/pmp are not used: the first fetches, without
// limit of time or size, whatever address any machine of the network names,
// and both bring Syncthing's configuration and database with them.
func MapPort(ctx context.Context, network string, port int) (netip.AddrPort, error) {
	at, err := mapPMP(ctx, network, port)
	if err == nil {
		return at, nil
	}
	at, uerr := mapUPnP(ctx, network, port)
	if uerr == nil {
		return at, nil
	}
	return netip.AddrPort{}, fmt.Errorf("%w (NAT-PMP: %w; UPnP: %w)", ErrNoMapping, err, uerr)
}

func mapPMP(ctx context.Context, network string, port int) (netip.AddrPort, error) {
	router, err := gateway.DiscoverGateway()
	if err != nil {
		return netip.AddrPort{}, err
	}
	return askPMP(ctx, router, network, port)
}

// askPMP asks one router. The library's calls end by themselves after pmpTime.
func askPMP(ctx context.Context, router net.IP, network string, port int) (netip.AddrPort, error) {
	c := natpmp.NewClientWithTimeout(router, pmpTime)
	where, err := c.GetExternalAddress()
	if err != nil {
		return netip.AddrPort{}, err
	}
	if ctx.Err() != nil {
		return netip.AddrPort{}, ctx.Err()
	}
	got, err := c.AddPortMapping(network, port, port, int(mappingLease/time.Second))
	if err != nil {
		return netip.AddrPort{}, err
	}
	return mappedAt(netip.AddrFrom4(where.ExternalIPAddress), int(got.MappedExternalPort))
}

// mappedAt checks what a router says. One that is itself behind a router has a
// private address, which leads nobody anywhere.
func mappedAt(ip netip.Addr, port int) (netip.AddrPort, error) {
	ip = ip.Unmap()
	shared := netip.MustParsePrefix("100.64.0.0/10") // of providers that share addresses
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || shared.Contains(ip) {
		return netip.AddrPort{}, fmt.Errorf("the router has no address of the internet itself (%s)", ip)
	}
	if port < 1 || port > 65535 {
		return netip.AddrPort{}, fmt.Errorf("the router gave port %d", port)
	}
	return netip.AddrPortFrom(ip, uint16(port)), nil
}
