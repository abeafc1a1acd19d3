// SPDX-License-Identifier: MPL-2.0

// Package account says which machines are one person's. The person's root key
// signs a numbered list of device IDs; a keeper that knows the person lets each
// machine of the newest list it has seen into the same account, and nobody
// else. A machine counts only once it has shown the list on a connection of its
// own: a list that names a stranger's machine gains nothing by it.
package account

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

const (
	// MaxDevices bounds the machines of one person.
	MaxDevices = 16
	// MaxSize bounds a signed list, in bytes.
	MaxSize = 2 << 10
)

// ErrNotListed: the newest list of that person does not name the machine.
var ErrNotListed = said.Error("not-listed", "is not one of that person's machines")

// Machines is the list. Signed by the root.
type Machines struct {
	Root    custody.Key      `cbor:"1,keyasint"`
	Epoch   uint64           `cbor:"2,keyasint"` // a higher one replaces all lower ones
	Devices []peers.DeviceID `cbor:"3,keyasint"` // ascending
	At      int64            `cbor:"4,keyasint"` // Unix seconds
}

// Type implements custody.Document.
func (Machines) Type() string { return "preezm/v1/machines" }

// Check implements custody.Document.
func (m Machines) Check() error {
	if len(m.Devices) == 0 || len(m.Devices) > MaxDevices {
		return fmt.Errorf("%d machines, a person has 1 to %d", len(m.Devices), MaxDevices)
	}
	if m.Epoch == 0 || m.At < 0 {
		return errors.New("a list of machines without a number or a time")
	}
	last := peers.DeviceID{}
	for _, d := range m.Devices {
		if bytes.Compare(d[:], last[:]) <= 0 {
			return errors.New("the machines are not in ascending order")
		}
		last = d
	}
	return nil
}

// Has says whether the list names a machine.
func (m *Machines) Has(d peers.DeviceID) bool { return slices.Contains(m.Devices, d) }

// Parse reads a list and checks that its person signed it.
func Parse(raw []byte) (*custody.Signed[Machines], error) {
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", custody.ErrMalformed, len(raw))
	}
	s, err := custody.Parse[Machines](raw)
	if err != nil {
		return nil, err
	}
	if s.Signer != s.Body.Root {
		return nil, fmt.Errorf("%w: a list of somebody else's machines", custody.ErrMalformed)
	}
	return s, nil
}

// Next signs the list that follows known, which may be nil, at a time. The time
// numbers it, so that a machine which has lost what it knew still makes a
// newer one; two lists of the same second are told apart by the higher number.
func Next(root ed25519.PrivateKey, known *Machines, devices []peers.DeviceID, now int64) (*custody.Signed[Machines], error) {
	m := Machines{Root: custody.KeyOf(root), Epoch: uint64(max(now, 1)), Devices: slices.Clone(devices), At: max(now, 0)}
	slices.SortFunc(m.Devices, func(a, b peers.DeviceID) int { return bytes.Compare(a[:], b[:]) })
	m.Devices = slices.Compact(m.Devices)
	if known != nil {
		m.Epoch = max(m.Epoch, known.Epoch+1)
	}
	return custody.Sign(root, m)
}
