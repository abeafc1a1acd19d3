// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"slices"
	"time"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
)

// fakeDevices is the part of fakeNode about the person's own machines.
type fakeDevices struct {
	devices   []node.Device
	guests    chan node.DevicePairing
	decided   []node.DeviceDecision
	outed     []node.DeviceRemoval
	conflicts []engine.Conflict
	settled   []node.SettleOrder
}

func (n *fakeNode) Devices(context.Context) ([]node.Device, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.devices), n.failed
}

func (n *fakeNode) AddDevice(context.Context) (node.NewDevice, error) {
	return node.NewDevice{Code: "my-device-hQECg9f3a11c02b7745de88129f3a11c02b7745de8812", Expires: noon.Add(10 * time.Minute)}, nil
}

func (n *fakeNode) PairingDevice(ctx context.Context) (node.DevicePairing, error) {
	select {
	case p := <-n.guests:
		return p, nil
	case <-ctx.Done():
		return node.DevicePairing{}, ctx.Err()
	}
}

func (n *fakeNode) DecideDevice(_ context.Context, d node.DeviceDecision) (node.Device, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.decided = append(n.decided, d)
	return node.Device{Device: d.Device}, nil
}

func (n *fakeNode) RemoveDevice(_ context.Context, o node.DeviceRemoval) (node.DeviceRemoved, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.outed = append(n.outed, o)
	return node.DeviceRemoved{Name: "old laptop", Told: 3, Of: 5, Custodians: 3, CustodianN: 3}, nil
}

func (n *fakeNode) Conflicts(context.Context) ([]engine.Conflict, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.conflicts), n.failed
}

func (n *fakeNode) Settle(_ context.Context, o node.SettleOrder) (node.Settled, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.settled = append(n.settled, o)
	n.conflicts = slices.DeleteFunc(n.conflicts, func(c engine.Conflict) bool { return c.Path == o.Path })
	r := node.Settled{Path: o.Path}
	if o.Both {
		r.Beside = []engine.Path{"Letter to the landlord (phone).odt"}
	}
	return r, nil
}

// several is a person with several machines, two of which put a name at once.
func several() *fakeNode {
	n := busy()
	n.guests = make(chan node.DevicePairing, 1)
	n.devices = []node.Device{
		{Device: peers.DeviceID{1}, Name: "study laptop", This: true, Added: noon.Add(-90 * day), Seen: noon},
		{Device: peers.DeviceID{21}, Name: "phone", Added: noon.Add(-40 * day), Seen: noon.Add(-3 * time.Hour)},
		{Device: peers.DeviceID{22}, Name: "old laptop", Added: noon.Add(-80 * day), Seen: noon.Add(-9 * day)},
		{Device: peers.DeviceID{23}, Name: "tablet", Added: noon.Add(-80 * day), Removed: noon.Add(-20 * day), Stolen: true},
	}
	n.conflicts = []engine.Conflict{{Entry: engine.Entry{Path: "Letter to the landlord.odt", Size: 37_100}, Version: 2, Origin: peers.DeviceID{21}}}
	n.versions = []engine.VersionInfo{
		{Number: 3, Kind: engine.File, Size: 38_400, ModTime: noon.Add(-26 * time.Hour), Kept: noon.Add(-25 * time.Hour), Name: "study laptop"},
		{Number: 2, Kind: engine.File, Size: 37_100, ModTime: noon.Add(-28 * time.Hour), Kept: noon.Add(-27 * time.Hour), Until: noon.Add(-25 * time.Hour), Name: "phone"},
		{Number: 1, Kind: engine.File, Size: 30_000, ModTime: noon.Add(-9 * day), Kept: noon.Add(-9 * day), Until: noon.Add(-27 * time.Hour), Name: "phone"},
	}
	return n
}
