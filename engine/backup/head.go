// SPDX-License-Identifier: MPL-2.0

package backup

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/engine/seal"
	"github.com/preezm/preezm/peers"
)

// ErrHead: the bytes are not a head that this person's machine sealed.
var ErrHead = errors.New("a head of a backup that is damaged, or not this person's")

const (
	// headGrain: the sealed head's size is a multiple, so that it tells
	// little of how many machines the circle has.
	headGrain = 2 << 10
	saltSize  = 32

	// MaxKeepers and MaxAddresses of each are in a head at most.
	MaxKeepers   = 64
	MaxAddresses = 4

	maxMachines = 64
)

// Keeper is where a machine of the circle was last found.
type Keeper struct {
	Device    peers.DeviceID `cbor:"1,keyasint"`
	Name      string         `cbor:"2,keyasint"`
	Addresses []string       `cbor:"3,keyasint"`
}

// Known is how far a machine had come to know another one of its person's.
type Known struct {
	Device peers.DeviceID `cbor:"1,keyasint"`
	Number uint64         `cbor:"2,keyasint"`
}

// Head leads from a keeper to the backup of a catalog. Signed by the machine
// that made it.
type Head struct {
	Device  peers.DeviceID `cbor:"1,keyasint"` // of the machine
	Number  uint64         `cbor:"2,keyasint"` // among the machine's, from 1 on
	At      int64          `cbor:"3,keyasint"` // Unix seconds
	Vector  []Known        `cbor:"4,keyasint"` // ascending by device
	Keepers []Keeper       `cbor:"5,keyasint"`
	// Rows is a stream with the rows that lead to the backup's index, Parts
	// the list of the index's chunks among them.
	Rows  []byte `cbor:"6,keyasint"`
	Parts []byte `cbor:"7,keyasint"`
	Files int64  `cbor:"8,keyasint"` // how many files are in it, for people
	Cert  []byte `cbor:"9,keyasint"` // of the signing machine
	// Waits is the highest number of this machine's that the others have to
	// know before it lets go of what it needs no more; 0: it waits for nothing.
	Waits uint64 `cbor:"10,keyasint"`
}

// Type implements custody.Document.
func (Head) Type() string { return "preezm/v1/backup-head" }

// Check implements custody.Document.
func (h Head) Check() error {
	if h.Number == 0 || h.At < 0 || h.Files < 0 || len(h.Vector) > maxMachines || len(h.Keepers) > MaxKeepers {
		return errors.New("a field is out of its range")
	}
	for i := 1; i < len(h.Vector); i++ {
		if string(h.Vector[i-1].Device[:]) >= string(h.Vector[i].Device[:]) {
			return errors.New("the vector is not in ascending order")
		}
	}
	for _, k := range h.Keepers {
		if len(k.Addresses) > MaxAddresses || len(k.Name) > maxName {
			return errors.New("too much of a keeper")
		}
	}
	return nil
}

// LocatorOf is the name under which keepers hold a person's heads.
func LocatorOf(s *identity.Secrets) (peers.Locator, error) {
	return expand(s.Locator[:], "preezm/v1/heads")
}

func expand(key []byte, label string) (out [32]byte, err error) {
	b, err := hkdf.Expand(sha256.New, key, label, len(out))
	if err != nil {
		return out, fmt.Errorf("derive a key: %w", err)
	}
	return [32]byte(b), nil
}

// headKey gives a key of its own to each sealing.
func headKey(s *identity.Secrets, salt []byte) (seal.Key, error) {
	k, err := expand(s.Catalog[:], "preezm/v1/backup-head"+string(salt))
	return seal.Key(k), err
}

// headAD binds what is sealed to the place where a keeper holds it.
func headAD(d peers.DeviceID, number uint64) []byte {
	return binary.LittleEndian.AppendUint64(append([]byte("preezm/v1/backup-head"), d[:]...), number)
}

// Seal signs a head and seals it for the person it is of. One that is too large
// for a keeper loses addresses: any of them is enough.
func (h Head) Seal(s *identity.Secrets, sign ed25519.PrivateKey) ([]byte, error) {
	for {
		signed, err := custody.Sign(sign, h)
		if err != nil {
			return nil, err
		}
		plain := appendBytes(nil, signed.Raw)
		need := saltSize + seal.SealedLen(len(plain))
		size := (need + headGrain - 1) / headGrain * headGrain
		if size <= peers.MaxHead {
			plain = append(plain, make([]byte, size-need)...) // one frame, as before
			salt := make([]byte, saltSize, size)
			rand.Read(salt) // never fails
			key, err := headKey(s, salt)
			if err != nil {
				return nil, err
			}
			return seal.Seal(salt, key, headAD(h.Device, h.Number), plain), nil
		}
		if len(h.Keepers) == 0 {
			return nil, fmt.Errorf("the head of the backup is larger than the %d bytes that a keeper takes", peers.MaxHead)
		}
		h.Keepers = h.Keepers[:len(h.Keepers)-1]
	}
}

// Open opens a head as a keeper gave it. It checks that a certified machine of
// the person made it with that number; whether that machine still is one of
// the person's is the caller's matter.
func Open(s *identity.Secrets, from *peers.Head) (*Head, error) {
	if len(from.Sealed) > peers.MaxHead || len(from.Sealed) < saltSize {
		return nil, ErrHead
	}
	key, err := headKey(s, from.Sealed[:saltSize])
	if err != nil {
		return nil, err
	}
	plain, err := seal.Open(nil, key, headAD(from.Device, from.Number), from.Sealed[saltSize:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHead, err)
	}
	c := cursor{b: plain}
	raw := c.bytes(peers.MaxHead)
	for _, b := range c.b {
		c.bad = c.bad || b != 0
	}
	if c.bad {
		return nil, ErrHead
	}
	signed, err := custody.Parse[Head](raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHead, err)
	}
	h := signed.Body
	root := custody.KeyOf(s.RootKey())
	if _, err := custody.Certified(h.Cert, root, signed.Signer, custody.OwnerDevice, h.At); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHead, err)
	}
	if h.Device != from.Device || h.Number != from.Number {
		return nil, fmt.Errorf("%w: it is another's", ErrHead)
	}
	return &h, nil
}
