// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/preezm/preezm/peers/transport"
)

// chooseAddresses turns what the person wants to listen on into addresses
// with ports, and keeps those of last time where it can: peers know them. The
// answer has one address for each of listen, or one when listen is empty.
//
// A port is tried by binding it and letting go again. Somebody else could
// take it before the network service does; that then fails with a plain
// "address in use" and the next start chooses again.
func chooseAddresses(ctx context.Context, listen, last []string) ([]string, error) {
	fixed := true
	if len(listen) == 0 {
		listen = []string{net.JoinHostPort("", strconv.Itoa(DefaultPort))}
		fixed = false
	}
	out := make([]string, len(listen))
	for i, want := range listen {
		host, port, err := net.SplitHostPort(want)
		if err != nil {
			return nil, fmt.Errorf("address %q: %w", want, err)
		}
		var try []string
		if i < len(last) && (!fixed || port == "0") {
			if h, _, err := net.SplitHostPort(last[i]); err == nil && h == host {
				try = append(try, last[i])
			}
		}
		try = append(try, want)
		if !fixed {
			try = append(try, net.JoinHostPort(host, "0"))
		}
		if out[i], err = firstFree(ctx, try, host); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// firstFree gives the first of the addresses that can be bound, with its real
// port.
func firstFree(ctx context.Context, try []string, host string) (string, error) {
	var first error
	for _, addr := range try {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		_, port, err := net.SplitHostPort(l.Addr().String())
		if cerr := l.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return "", err
		}
		return net.JoinHostPort(host, port), nil
	}
	return "", fmt.Errorf("cannot listen on %s: %w", try[0], first)
}

// settle chooses the addresses of a home that was never served, so that an
// invite made now still leads to it then. One that cannot be had now is left
// as it was asked for.
func (n *Node) settle(ctx context.Context) error {
	n.boundMu.Lock()
	defer n.boundMu.Unlock()
	if len(n.settings.Bound) > 0 {
		return nil
	}
	bound, err := chooseAddresses(ctx, n.settings.Listen, nil)
	if err != nil {
		n.log.Info("addresses are chosen later", "err", err)
		return nil
	}
	n.settings.Bound = bound
	return n.settings.write(n.home)
}

// addresses is where others reach this node, or would if it served: an invite
// may be made before the first serve.
func (n *Node) addresses() []string {
	if a := n.net.Addresses(); len(a) > 0 {
		return a
	}
	n.boundMu.Lock()
	would := n.settings.Bound
	n.boundMu.Unlock()
	if len(would) == 0 {
		would = n.settings.Listen
	}
	out := slices.Clone(n.settings.Announce)
	for _, a := range would {
		host, port, err := net.SplitHostPort(a)
		if err != nil || port == "0" {
			continue // the port is only known once it is bound
		}
		number, _ := strconv.Atoi(port) // checked with the settings
		ip := net.ParseIP(host)
		switch {
		case host == "":
			out = append(out, transport.Candidates([]net.Addr{&net.TCPAddr{IP: net.IPv6unspecified, Port: number}})...)
		case ip != nil:
			out = append(out, transport.Candidates([]net.Addr{&net.TCPAddr{IP: ip, Port: number}})...)
		default:
			out = append(out, a)
		}
	}
	return out
}
