// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"bytes"
	"context"
	"net"
	"net/netip"
)

// Knock is what a packet that is no QUIC carries: a number that only two
// devices know. A device that expects it learns from where it is seen, and a
// router that saw it leave lets answers in. There is nothing else to it, and no
// answer, so nobody gains by sending one.
type Knock [16]byte

// knockMagic begins the packet. The first two bits tell it from QUIC.
const knockMagic = "\x11pzk1"

// Knock sends a knock to an address, which must be an IP address and a port.
func (q *QUIC) Knock(k Knock, to netip.AddrPort) error {
	_, err := q.tr.WriteTo(append([]byte(knockMagic), k[:]...), net.UDPAddrFromAddrPort(to))
	return err
}

// Knocks calls heard for each knock that comes, until ctx ends.
func (q *QUIC) Knocks(ctx context.Context, heard func(Knock, netip.AddrPort)) {
	buf := make([]byte, 64)
	for {
		n, from, err := q.tr.ReadNonQUICPacket(ctx, buf)
		if err != nil {
			return
		}
		k, ok := parseKnock(buf[:n])
		u, isUDP := from.(*net.UDPAddr)
		if ok && isUDP {
			at := u.AddrPort()
			heard(k, netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port()))
		}
	}
}

func parseKnock(packet []byte) (k Knock, ok bool) {
	rest, ok := bytes.CutPrefix(packet, []byte(knockMagic))
	if !ok || len(rest) != len(k) {
		return k, false
	}
	return Knock(rest), true
}
