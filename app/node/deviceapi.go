// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"net/http"

	"github.com/preezm/preezm/engine"
)

// DeviceAPI is the part of API about this person's own machines.
type DeviceAPI interface {
	// Devices lists them.
	Devices(ctx context.Context) ([]Device, error)
	// AddDevice gives a code for a further one; JoinDevice uses it there.
	AddDevice(ctx context.Context) (NewDevice, error)
	// PairingDevice waits until it was used.
	PairingDevice(ctx context.Context) (DevicePairing, error)
	// DecideDevice takes it in, or sends it away.
	DecideDevice(ctx context.Context, d DeviceDecision) (Device, error)
	// RemoveDevice ends that a machine counts as this person's.
	RemoveDevice(ctx context.Context, o DeviceRemoval) (DeviceRemoved, error)
	// Conflicts lists versions that two machines put at once, but for those
	// that are shown.
	Conflicts(ctx context.Context) ([]engine.Conflict, error)
}

const (
	pathDevices       = "/v1/devices"
	pathAddDevice     = "/v1/devices/add"
	pathPairingDevice = "/v1/devices/pairing"
	pathDecideDevice  = "/v1/devices/decide"
	pathRemoveDevice  = "/v1/devices/remove"
	pathConflicts     = "/v1/conflicts"
)

func (s *localServer) deviceCalls(mux *http.ServeMux) {
	handle(mux, s, pathDevices, call0(s.api.Devices))
	handle(mux, s, pathAddDevice, call0(s.api.AddDevice))
	handle(mux, s, pathPairingDevice, call0(s.api.PairingDevice))
	handle(mux, s, pathDecideDevice, call1(s.api.DecideDevice))
	handle(mux, s, pathRemoveDevice, call1(s.api.RemoveDevice))
	handle(mux, s, pathConflicts, call0(s.api.Conflicts))
}

func (c *client) Devices(ctx context.Context) ([]Device, error) {
	return invoke[[]Device](ctx, c, pathDevices, empty{}, nil)
}

func (c *client) AddDevice(ctx context.Context) (NewDevice, error) {
	return invoke[NewDevice](ctx, c, pathAddDevice, empty{}, nil)
}

func (c *client) PairingDevice(ctx context.Context) (DevicePairing, error) {
	return invoke[DevicePairing](ctx, c, pathPairingDevice, empty{}, nil)
}

func (c *client) DecideDevice(ctx context.Context, d DeviceDecision) (Device, error) {
	return invoke[Device](ctx, c, pathDecideDevice, d, nil)
}

func (c *client) RemoveDevice(ctx context.Context, o DeviceRemoval) (DeviceRemoved, error) {
	return invoke[DeviceRemoved](ctx, c, pathRemoveDevice, o, nil)
}

func (c *client) Conflicts(ctx context.Context) ([]engine.Conflict, error) {
	return invoke[[]engine.Conflict](ctx, c, pathConflicts, empty{}, nil)
}
