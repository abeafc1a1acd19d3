// SPDX-License-Identifier: MPL-2.0

package node

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/transport"
	"github.com/preezm/preezm/peers/vault"
)

// Who gives a home's device ID and name from its files alone: it takes no
// lock, so it answers whatever else goes on.
func Who(home string) (peers.DeviceID, Settings, error) {
	s, err := ReadSettings(home)
	if err != nil {
		return peers.DeviceID{}, Settings{}, err
	}
	cert, err := os.ReadFile(filepath.Join(home, certFile))
	if err != nil {
		return peers.DeviceID{}, Settings{}, err
	}
	device, err := transport.DeviceOf(cert)
	return device, s, err
}

// maxKeyFile bounds what is read of a device's key.
const maxKeyFile = 64 << 10

// loadIdentity reads the device's certificate and its sealed key.
func loadIdentity(box *vault.Box, home string) (*transport.Identity, error) {
	cert, err := os.ReadFile(filepath.Join(home, certFile))
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	key, err := box.ReadFile(filepath.Join(home, keyFile), maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	return transport.ParseIdentity(cert, key)
}
