// SPDX-License-Identifier: MPL-2.0

// Package circle remembers who belongs to a person's circle: the devices that
// may speak to this one, by which name and addresses, and which invites are
// still open. It is one small JSON file that is replaced whole, so a crash
// leaves the old circle or the new one. Invite codes are made and read here;
// the secret token in a code is never stored, only its hash.
package circle

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// Limits on what another machine may say of itself.
const (
	MaxName      = 64  // bytes of a name
	MaxAddresses = 16  // addresses of one device
	MaxAddress   = 260 // bytes of one address
	MaxPeers     = 256 // devices in a circle

	signSize = 32   // bytes of an Ed25519 public key
	kemSize  = 1216 // bytes of an X-Wing public key
)

// Errors a caller decides on.
var (
	// ErrUnknownPeer: the device is not in the circle.
	ErrUnknownPeer = said.Error("unknown-peer", "is not in the circle")
	// ErrTooManyPeers: the circle has MaxPeers devices.
	ErrTooManyPeers = said.Error("circle-full", "the circle is full")
	// ErrBook: the circle's file cannot be understood.
	ErrBook = said.Error("circle-damaged", "the circle's file is damaged")
)

// Peer is another device of the circle.
type Peer struct {
	Device    peers.DeviceID `json:"device"`
	Name      string         `json:"name"`
	Addresses []string       `json:"addresses,omitempty"` // host:port, best first
	Keeper    bool           `json:"keeper"`              // it keeps for me
	Quota     int64          `json:"quota,omitempty"`     // bytes I keep for it; 0: my whole offer
	Added     time.Time      `json:"added"`
	LastSeen  time.Time      `json:"last_seen,omitzero"`
	// What it said of itself: its signing key (Ed25519), its sealing key
	// (X-Wing), and that it takes the custodian's role when asked.
	Sign    []byte `json:"sign,omitempty"`
	KEM     []byte `json:"kem,omitempty"`
	Witness bool   `json:"witness,omitempty"`
	// Servers are the relays and discovery servers that it runs for its circle.
	Servers []string `json:"servers,omitempty"`
	// What this machine's user said of it: whose it is and where it stands.
	// Machines of one person are one seat, those of one house fail together.
	Person string `json:"person,omitempty"`
	House  string `json:"house,omitempty"`
}

// CleanName makes a name another machine gave fit to be shown: no control or
// formatting characters (they could rewrite a terminal line), no surrounding
// space, at most MaxName bytes. An empty result becomes "unnamed".
func CleanName(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			continue
		}
		if b.Len()+utf8.RuneLen(r) > MaxName {
			break
		}
		b.WriteRune(r)
	}
	if out := strings.TrimSpace(b.String()); out != "" {
		return out
	}
	return "unnamed"
}

// CleanAddresses keeps the well-formed, distinct ones of a list of host:port
// addresses, in order, at most MaxAddresses.
func CleanAddresses(in []string) []string {
	var out []string
	seen := make(map[string]bool)
	for _, a := range in {
		if len(out) == MaxAddresses {
			break
		}
		if checkAddress(a) != nil || seen[a] {
			continue
		}
		seen[a] = true
		out = append(out, a)
	}
	return out
}

// checkAddress accepts host:port with a port other than 0, and that of a relay
// where the device waits, nothing else.
func checkAddress(a string) error {
	if len(a) > MaxAddress {
		return errors.New("address is too long")
	}
	if strings.HasPrefix(a, relayPrefix) {
		return checkServer(a)
	}
	return checkHostPort(a)
}

func checkHostPort(a string) error {
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		return fmt.Errorf("address %q: %w", a, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("address %q: bad port", a)
	}
	if host == "" {
		return fmt.Errorf("address %q: no host", a)
	}
	for _, r := range host {
		ok := r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(".:-_%", r))
		if !ok {
			return fmt.Errorf("address %q: bad host", a)
		}
	}
	return nil
}

// clean returns p with everything foreign in it checked.
func (p Peer) clean() (Peer, error) {
	if p.Device == (peers.DeviceID{}) {
		return Peer{}, errors.New("a peer needs a device ID")
	}
	if p.Quota < 0 {
		return Peer{}, fmt.Errorf("quota of %s: negative", p.Device.Short())
	}
	p.Name = CleanName(p.Name)
	for _, s := range [...]*string{&p.Person, &p.House} {
		if *s != "" {
			*s = CleanName(*s)
		}
	}
	p.Addresses = CleanAddresses(p.Addresses)
	p.Servers = CleanServers(p.Servers)
	if len(p.Sign) != signSize || len(p.KEM) != kemSize {
		p.Sign, p.KEM, p.Witness = nil, nil, false // of no use without both
	}
	return p, nil
}
