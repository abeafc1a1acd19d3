// SPDX-License-Identifier: MPL-2.0

package circle

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/preezm/preezm/peers"
)

const (
	relayPrefix     = "relay://"
	discoveryPrefix = "https://"
	// MaxServers bounds the relays and discovery servers of one device.
	MaxServers = 4
	maxToken   = 64
)

// IsRelay tells a relay's address from a discovery server's.
func IsRelay(server string) bool { return strings.HasPrefix(server, relayPrefix) }

// CleanServers keeps the well-formed, distinct ones of a list of relays and
// discovery servers, in order, at most MaxServers. Each is
// relay://host:port/?id=DEVICE&token=... or https://host:port/?id=DEVICE, with
// the ID by which the server proves itself; a relay may do without a token.
func CleanServers(in []string) []string {
	var out []string
	for _, s := range in {
		if len(out) < MaxServers && CheckServer(s) == nil && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// CheckServer says what is wrong with the address of a server.
func CheckServer(s string) error {
	if len(s) > MaxAddress {
		return errors.New("address is too long")
	}
	return checkServer(s)
}

func checkServer(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not an address", s)
	case !strings.HasPrefix(s, relayPrefix) && !strings.HasPrefix(s, discoveryPrefix):
		return fmt.Errorf("%q begins with neither relay:// nor https://", s)
	case u.User != nil || u.Fragment != "" || u.Path != "/" && u.Path != "" && u.Path != "/v2/":
		return fmt.Errorf("%q has more to it than host, port and ID", s)
	}
	if err := checkHostPort(u.Host); err != nil {
		return err
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fmt.Errorf("%q: bad query", s)
	}
	for name, values := range q {
		switch {
		case len(values) != 1, name != "id" && name != "token", len(values[0]) > maxToken:
			return fmt.Errorf("%q: bad query", s)
		case name == "id":
			if _, err := peers.ParseDeviceID(values[0]); err != nil {
				return fmt.Errorf("%q: %w", s, err)
			}
		}
	}
	if !q.Has("id") {
		return fmt.Errorf("%q does not say the server's ID (?id=...), so anybody could answer in its place", s)
	}
	return nil
}

// SameServer says whether two addresses are of one server, by its ID.
func SameServer(a, b string) bool {
	x, errA := url.Parse(a)
	y, errB := url.Parse(b)
	return errA == nil && errB == nil && x.Scheme == y.Scheme && x.Query().Get("id") == y.Query().Get("id")
}

// LearnedServers keeps of the servers that another machine named those that
// are an IP address this one may dial on its word.
func LearnedServers(in []string, loopback bool) []string {
	return slices.DeleteFunc(CleanServers(in), func(s string) bool { return !mayDialURL(s, loopback) })
}

func mayDialURL(s string, loopback bool) bool {
	u, err := url.Parse(s)
	if err != nil {
		return false
	}
	ap, err := netip.ParseAddrPort(u.Host)
	return err == nil && MayDial(ap.Addr().Unmap(), loopback)
}
