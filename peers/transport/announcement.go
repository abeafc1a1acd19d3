// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/internal/wire"
)

const (
	// announcementMagic begins every announcement and names its version.
	announcementMagic = "PZA1"
	// maxAnnouncement bounds a packet, which anybody can send, in bytes.
	maxAnnouncement = 2 << 10
	// maxAnnounced bounds the addresses that count in one.
	maxAnnounced = 16
)

// announcement is what a device tells the local network of itself. Nobody has
// signed it: it is a hint where to dial, and TLS decides who is there.
type announcement struct {
	Device    []byte   `cbor:"1,keyasint"`
	Addresses []string `cbor:"2,keyasint"`
}

func encodeAnnouncement(c *wire.Codec, self peers.DeviceID, addresses []string) ([]byte, error) {
	body, err := c.Marshal(announcement{self[:], addresses[:min(len(addresses), maxAnnounced)]})
	if err != nil {
		return nil, err
	}
	if len(announcementMagic)+len(body) > maxAnnouncement {
		return nil, fmt.Errorf("announcement of %d bytes", len(body))
	}
	return append([]byte(announcementMagic), body...), nil
}

// decodeAnnouncement reads a stranger's packet. Of the addresses it keeps those
// that are an IP address of a machine other than this one, so that a packet
// makes nobody look up names or talk to itself. ok is false for anything that
// is not an announcement.
func decodeAnnouncement(c *wire.Codec, packet []byte, from net.Addr) (device peers.DeviceID, addresses []string, ok bool) {
	body, magic := bytes.CutPrefix(packet, []byte(announcementMagic))
	if !magic || len(packet) > maxAnnouncement {
		return device, nil, false
	}
	var a announcement
	if err := c.Unmarshal(body, &a); err != nil || len(a.Device) != len(device) || len(a.Addresses) > maxAnnounced {
		return device, nil, false
	}
	copy(device[:], a.Device)
	zone := ""
	if u, isUDP := from.(*net.UDPAddr); isUDP {
		zone = u.Zone
	}
	for _, s := range a.Addresses {
		at, err := netip.ParseAddrPort(s)
		if err != nil || at.Port() == 0 || at.Addr().Zone() != "" {
			continue
		}
		ip := at.Addr().Unmap()
		if ip.IsUnspecified() || ip.IsLoopback() || ip.IsMulticast() || !ip.IsGlobalUnicast() && !ip.IsLinkLocalUnicast() {
			continue
		}
		// A link-local address is one of the network it was heard on.
		if ip.Is6() && ip.IsLinkLocalUnicast() {
			ip = ip.WithZone(zone)
		}
		if s := netip.AddrPortFrom(ip, at.Port()).String(); !slices.Contains(addresses, s) {
			addresses = append(addresses, s)
		}
	}
	return device, addresses, true
}
