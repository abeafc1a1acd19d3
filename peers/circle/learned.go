// SPDX-License-Identifier: MPL-2.0

package circle

import "net/netip"

// MaxLearned bounds the addresses taken over from what another machine says.
const MaxLearned = 10

// Learned keeps of the addresses that another machine gave those which this
// one may dial on its word, in order, at most MaxLearned: IP addresses only, also
// of relays, since a name would make it ask a resolver of somebody's choice, and none
// that leads to this machine or to many at once. Loopback stays when loopback
// is true, which is for machines that are met there.
func Learned(in []string, loopback bool) []string {
	var out []string
	for _, a := range CleanAddresses(in) {
		ap, err := netip.ParseAddrPort(a)
		ok := err == nil && MayDial(ap.Addr().Unmap(), loopback) || IsRelay(a) && mayDialURL(a, loopback)
		if ok && len(out) < MaxLearned {
			out = append(out, a)
		}
	}
	return out
}

// MayDial says whether an IP may be dialled on another machine's word; loopback
// as in Learned.
func MayDial(ip netip.Addr, loopback bool) bool {
	switch {
	case ip.IsUnspecified(), ip.IsMulticast(), ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return false
	case ip.Is4() && ip.IsLinkLocalUnicast(): // where clouds keep their secrets
		return false
	case ip.IsLoopback():
		return loopback
	}
	return true
}
