// SPDX-License-Identifier: MPL-2.0

// Package caretask is how an owner lets one machine that is always on repair
// for it while its own machines are off. A signed and numbered task names that
// machine, the caretaker, the keepers that it may use, an end, and by their
// hashes lists of the segments with the place and the root of every piece: no
// key and no name of a file. A keeper that was shown the task and a segment of
// it gives the caretaker the pieces it holds of that segment, and takes one
// more under the owner's account, whose name follows from the old one's and
// from the keeper: so the owner finds it by itself, and nobody has to be
// believed. It computes only.
package caretask

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/zeebo/blake3"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
)

// Limits of a task.
const (
	MaxKeepers   = 64
	MaxParts     = 4096
	MaxAddresses = 4
	// MaxAddress is the length of an address, in bytes.
	MaxAddress = 256
	// MaxGrace and MaxTerm bound how long a keeper is waited for and how long a
	// task holds, in seconds.
	MaxGrace = 30 * 24 * 3600
	MaxTerm  = 2 * 366 * 24 * 3600
)

// Keeper is a machine that holds pieces and may take more.
type Keeper struct {
	Device    peers.DeviceID `cbor:"1,keyasint"`
	Addresses []string       `cbor:"2,keyasint"`
	// House and Person are numbers, the same for machines that fail together;
	// 0: its own.
	House  uint8 `cbor:"3,keyasint"`
	Person uint8 `cbor:"4,keyasint"`
}

// Task is what the caretaker may do. Signed by the owner's device.
type Task struct {
	Owner     peers.DeviceID `cbor:"1,keyasint"` // the device that signs
	Caretaker peers.DeviceID `cbor:"2,keyasint"`
	Number    uint64         `cbor:"3,keyasint"` // a higher one replaces all lower ones of the owner's device
	At        int64          `cbor:"4,keyasint"` // Unix seconds
	Until     int64          `cbor:"5,keyasint"` // it ends then; not after At: it is taken back
	Grace     int64          `cbor:"6,keyasint"` // seconds that a keeper is waited for
	Keepers   []Keeper       `cbor:"7,keyasint"` // ascending by device
	Parts     []custody.Hash `cbor:"8,keyasint"` // of segments, see Part
	Segments  uint64         `cbor:"9,keyasint"` // in all of them
}

// Type implements custody.Document.
func (Task) Type() string { return "preezm/v1/care-task" }

// Ended says whether the task only takes back the ones before it.
func (t *Task) Ended() bool { return t.Until <= t.At }

// Holds says whether anything may be done by it at a time.
func (t *Task) Holds(now int64) bool { return !t.Ended() && now < t.Until }

// Check implements custody.Document.
func (t Task) Check() error {
	switch {
	case t.Number == 0 || t.Number > 1<<62 || t.At < 0 || t.Until < 0:
		return errors.New("a task without a number or a time")
	case t.Owner == t.Caretaker:
		return errors.New("a task that a machine gives itself")
	case t.Until > t.At && t.Until-t.At > MaxTerm:
		return errors.New("a task that lasts too long")
	case t.Grace < 0 || t.Grace > MaxGrace:
		return fmt.Errorf("a grace of %d seconds", t.Grace)
	case len(t.Keepers) > MaxKeepers || len(t.Parts) > MaxParts:
		return errors.New("a task with too many keepers or parts")
	case t.Ended() && (len(t.Keepers) > 0 || len(t.Parts) > 0 || t.Segments > 0):
		return errors.New("a task that is taken back and asks for something")
	case t.Segments > uint64(len(t.Parts))*MaxSegments:
		return errors.New("more segments than the parts hold")
	}
	last := peers.DeviceID{}
	for i := range t.Keepers {
		k := &t.Keepers[i]
		if bytes.Compare(k.Device[:], last[:]) <= 0 {
			return errors.New("the keepers are not in ascending order")
		}
		if k.Device == t.Owner {
			return errors.New("the owner is no keeper of its own")
		}
		last = k.Device
		if len(k.Addresses) > MaxAddresses {
			return errors.New("too many addresses")
		}
		for _, a := range k.Addresses {
			if a == "" || len(a) > MaxAddress {
				return errors.New("an address that is empty or too long")
			}
		}
	}
	return nil
}

// Keeper gives the place of a machine among the keepers; -1: it is none.
func (t *Task) Keeper(d peers.DeviceID) int {
	for i := range t.Keepers {
		if t.Keepers[i].Device == d {
			return i
		}
	}
	return -1
}

// Parse reads a task and checks that its owner's device, whose key is given,
// signed it.
func Parse(raw []byte, sign []byte) (*custody.Signed[Task], error) {
	s, err := custody.Parse[Task](raw)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(s.Signer[:], sign) {
		return nil, fmt.Errorf("%w: a task that another machine signed", custody.ErrMalformed)
	}
	return s, nil
}

// nameContext keeps the names of moved pieces from meaning anything else.
const nameContext = "preezm/v1/care-name"

// Moved is the name of a piece that a caretaker makes anew at a keeper. It keeps
// the epoch and the number of the old name, so that what an owner's list says
// of those (package shardlist) holds for it too: nothing is said of it unless
// the owner knows the old one.
func Moved(id peers.ShardID, to peers.DeviceID) peers.ShardID {
	h := blake3.NewDeriveKey(nameContext)
	h.Write(id[:])
	h.Write(to[:])
	var sum [32]byte
	h.Sum(sum[:0])
	copy(id[:16], sum[:16])
	return id
}
