// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"errors"
	"slices"
)

const (
	// MaxRevokedMembers bounds a list of revoked members. A device needs to be
	// on it no longer than its last certificate lasts.
	MaxRevokedMembers = 256
	// maxMemberList is the size of such a list, as it travels in a request.
	maxMemberList = 16 << 10
)

// MemberRevocations are the devices that an organisation has shut out before
// their certificates end. Signed by the organisation's root. A list with a
// higher number replaces one with a lower; its members show it to everybody
// they ask, so that whoever saw it once refuses the devices on it.
type MemberRevocations struct {
	Root    Key    `cbor:"1,keyasint"`
	Number  uint64 `cbor:"2,keyasint"`
	Devices []Key  `cbor:"3,keyasint"` // ascending
	At      int64  `cbor:"4,keyasint"`
}

// Type implements Document.
func (MemberRevocations) Type() string { return "preezm/v1/member-revocations" }

// Check implements Document.
func (m MemberRevocations) Check() error {
	switch {
	case m.Number == 0 || len(m.Devices) > MaxRevokedMembers:
		return errCount
	case !goodTime(m.At):
		return errTime
	case !ascending(m.Devices, func(k Key) []byte { return k[:] }):
		return errOrder
	}
	return nil
}

// Lists reports whether a device is shut out. It may be asked of no list.
func (m *MemberRevocations) Lists(device Key) bool {
	return m != nil && slices.Contains(m.Devices, device)
}

// CheckMemberRevocations reads a list of an organisation.
func CheckMemberRevocations(raw []byte, root Key) (*Signed[MemberRevocations], error) {
	if len(raw) > maxMemberList {
		return nil, malformed("a list of revoked members of %d bytes", len(raw))
	}
	s, err := Parse[MemberRevocations](raw)
	if err != nil {
		return nil, err
	}
	if s.Signer != root || s.Body.Root != root {
		return nil, malformed("a list of revoked members of another organisation")
	}
	return s, nil
}

// ErrCertTime: a certificate is in order, but not now.
var ErrCertTime = errors.New("the certificate is not valid at that time")

// Membership checks that a device is one of an organisation now: certified, and
// on neither the list that it shows (empty: none) nor the one that is known
// (nil: none). It gives the certificate and the newest of both lists; with a
// reason, also the list counts.
func Membership(cert, list []byte, org, device Key, now int64, known *MemberRevocations) (*DeviceCert, *Signed[MemberRevocations], Reason, error) {
	c, err := Certified(cert, org, device, OrgMember, now)
	switch {
	case errors.Is(err, ErrCertTime):
		return nil, nil, MemberExpired, err
	case err != nil:
		return nil, nil, WrongBrand, err
	}
	var shown *Signed[MemberRevocations]
	if len(list) > 0 {
		if shown, err = CheckMemberRevocations(list, org); err != nil {
			return nil, nil, WrongBrand, err
		}
		if known != nil && shown.Body.Number <= known.Number {
			shown = nil
		} else {
			known = &shown.Body
		}
	}
	if known.Lists(device) {
		return nil, shown, MemberRevoked, errors.New("the organisation has shut this device out")
	}
	return c, shown, "", nil
}
