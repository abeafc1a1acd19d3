// SPDX-License-Identifier: MPL-2.0

package node

import (
	"path/filepath"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/transport"
)

// Who gives a home's device ID and name from its files alone: it takes no
// lock, so it answers whatever else goes on.
func Who(home string) (peers.DeviceID, Settings, error) {
	s, err := ReadSettings(home)
	if err != nil {
		return peers.DeviceID{}, Settings{}, err
	}
	id, err := transport.LoadIdentity(filepath.Join(home, certFile), filepath.Join(home, keyFile))
	if err != nil {
		return peers.DeviceID{}, Settings{}, err
	}
	return id.Device(), s, nil
}
