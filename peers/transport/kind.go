// SPDX-License-Identifier: MPL-2.0

package transport

import "slices"

// Kind says what a connection is for. It travels as the ALPN, so that the role
// does not follow from who is the TLS client: on a relay neither side has a
// choice there, and a device that can only dial out must be able to answer.
type Kind byte

// The kinds of connections.
const (
	// Requests: the side that dialled asks, the other answers.
	Requests Kind = iota
	// Reverse: the side that dialled answers, the other asks.
	Reverse
	// Control: both tell each other where they are and that they live.
	Control
)

// alpns gives the kinds' names inside the handshake; they are the protocol.
func alpns() []string { return []string{ALPN, "preezm-rev/1", "preezm-ctl/1"} }

func (k Kind) alpn() string { return alpns()[k] }

// kindOf is the kind behind an ALPN.
func kindOf(alpn string) (Kind, bool) {
	i := slices.Index(alpns(), alpn)
	return Kind(max(i, 0)), i >= 0
}
