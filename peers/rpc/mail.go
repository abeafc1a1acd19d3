// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"github.com/preezm/preezm/peers"
)

// Mail keeps and takes small sealed messages, package mailbox.
type Mail interface {
	// Waits says that mail for this device waits at another. It must not block.
	Waits(at peers.DeviceID)
}
