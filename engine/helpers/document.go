// SPDX-License-Identifier: MPL-2.0

package helpers

import (
	"errors"
	"fmt"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
)

// Limits of a set of helpers.
const (
	MinHelpers = 3
	MaxHelpers = 9
	// DefaultDelay is how many seconds pass between a helper's yes and its share.
	DefaultDelay = 72 * 3600
	minDelay     = 3600
	maxDelay     = 30 * 86400

	maxName      = 64
	maxAddress   = 260
	maxAddresses = 8
	maxDevices   = 32
	kemSize      = 1216           // an X-Wing public key
	sealedSize   = 1120 + 32 + 16 // an X-Wing encapsulation, a share, a tag
	wrappedSize  = 32 + 16        // the secret, a tag
	kindShare    = "helper-share" // inside the signature
	kindDrop     = "helpers-drop" // likewise
	label        = "preezm/v1/helpers"
	labelShare   = label + "/share"   // HPKE info of a share on its way to a helper
	labelRelease = label + "/release" // and on its way to the newcomer
)

// What a set gives back.
const (
	// Words: the secret that the 24 words write down.
	Words = 1
	// Root: what every key derives from, when the machine has no words any more.
	Root = 2
)

// Helper is one person's machine that holds a share. Its place in the list, from
// 1, is the share's number.
type Helper struct {
	Device    peers.DeviceID `cbor:"1,keyasint"`
	Name      string         `cbor:"2,keyasint"`
	Addresses []string       `cbor:"3,keyasint"` // to warn it of a request
}

// Share is what one helper keeps. Signed by the owner's root.
type Share struct {
	Owner   custody.Key       `cbor:"1,keyasint"`
	Name    string            `cbor:"2,keyasint"` // of the owner, for people
	Set     [16]byte          `cbor:"3,keyasint"`
	Number  uint64            `cbor:"4,keyasint"` // a greater one replaces
	Kind    uint8             `cbor:"5,keyasint"`
	K       uint8             `cbor:"6,keyasint"`
	Commits [][32]byte        `cbor:"7,keyasint"` // of the k coefficients
	Wrapped [wrappedSize]byte `cbor:"8,keyasint"`
	Index   uint8             `cbor:"9,keyasint"`
	Sealed  []byte            `cbor:"10,keyasint"` // the share, for helper Index
	Helpers []Helper          `cbor:"11,keyasint"`
	Delay   int64             `cbor:"12,keyasint"` // seconds
	At      int64             `cbor:"13,keyasint"` // Unix seconds
	// Devices are the owner's machines, to warn of a request.
	Devices []peers.DeviceID `cbor:"14,keyasint"`
}

// Type implements custody.Document.
func (Share) Type() string { return kindShare }

// Check implements custody.Document.
func (s Share) Check() error {
	n := len(s.Helpers)
	switch {
	case s.Number == 0 || s.At <= 0:
		return errors.New("no number or no time")
	case s.Kind != Words && s.Kind != Root:
		return fmt.Errorf("a secret of kind %d", s.Kind)
	case n < MinHelpers || n > MaxHelpers || s.K < 2 || int(s.K) > n:
		return fmt.Errorf("%d of %d helpers", s.K, n)
	case len(s.Commits) != int(s.K):
		return fmt.Errorf("%d commitments for %d helpers", len(s.Commits), s.K)
	case s.Index < 1 || int(s.Index) > n:
		return fmt.Errorf("share %d of %d", s.Index, n)
	case len(s.Sealed) != sealedSize:
		return fmt.Errorf("a sealed share of %d bytes", len(s.Sealed))
	case s.Delay < minDelay || s.Delay > maxDelay:
		return fmt.Errorf("a delay of %d seconds", s.Delay)
	case s.Name == "" || len(s.Name) > maxName:
		return errors.New("no name, or a long one")
	case len(s.Devices) == 0 || len(s.Devices) > maxDevices:
		return fmt.Errorf("%d machines of the owner", len(s.Devices))
	}
	seen := map[peers.DeviceID]bool{}
	for _, h := range s.Helpers {
		if h.Name == "" || len(h.Name) > maxName || len(h.Addresses) > maxAddresses {
			return errors.New("a helper without a name, or with too much of it")
		}
		for _, a := range h.Addresses {
			if len(a) > maxAddress {
				return errors.New("a long address")
			}
		}
		if seen[h.Device] {
			return errors.New("one machine twice")
		}
		seen[h.Device] = true
	}
	return nil
}

// Me is the entry of the helper that the document is for.
func (s *Share) Me() Helper { return s.Helpers[s.Index-1] }

// Drop ends all sets of an owner up to a number. Signed by the owner's root.
type Drop struct {
	Owner  custody.Key `cbor:"1,keyasint"`
	Number uint64      `cbor:"2,keyasint"`
	At     int64       `cbor:"3,keyasint"`
}

// Type implements custody.Document.
func (Drop) Type() string { return kindDrop }

// Check implements custody.Document.
func (d Drop) Check() error {
	if d.Number == 0 || d.At <= 0 {
		return errors.New("no number or no time")
	}
	return nil
}

// errSigner: somebody else signed.
var errSigner = errors.New("not signed by its owner")

// ParseShare reads a helper's document and checks who signed it.
func ParseShare(raw []byte) (*Share, error) {
	s, err := custody.Parse[Share](raw)
	if err != nil {
		return nil, err
	}
	if s.Signer != s.Body.Owner {
		return nil, fmt.Errorf("%w: %w", custody.ErrMalformed, errSigner)
	}
	return &s.Body, nil
}

// ParseDrop reads the end of a set and checks who signed it.
func ParseDrop(raw []byte) (*Drop, error) {
	s, err := custody.Parse[Drop](raw)
	if err != nil {
		return nil, err
	}
	if s.Signer != s.Body.Owner {
		return nil, fmt.Errorf("%w: %w", custody.ErrMalformed, errSigner)
	}
	return &s.Body, nil
}
