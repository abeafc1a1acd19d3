// SPDX-License-Identifier: MPL-2.0

package transport

import "fmt"

// Welcome is the byte an accepting device writes right after the handshake.
type Welcome byte

// The welcomes; their numbers are part of the protocol.
const (
	// Member: the device is in the circle and may ask for anything.
	Member Welcome = 1
	// Guest: an invite is open, the device may only try to join.
	Guest Welcome = 2
	// Refused: the device is unknown. The connection is closed.
	Refused Welcome = 3
	// Busy: too many connections. The connection is closed.
	Busy Welcome = 4
)

// err is what the dialling side makes of the welcome.
func (w Welcome) err() error {
	switch w {
	case Member, Guest:
		return nil
	case Refused:
		return ErrNotAdmitted
	case Busy:
		return ErrBusy
	}
	return fmt.Errorf("unknown welcome %d", byte(w))
}
