// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"crypto/ed25519"
	"crypto/hpke"
)

// RoleCustodian is the role an appointment gives.
const RoleCustodian = "custodian"

func appointmentInfo(owner Key, seat Seat, generation, day uint32) []byte {
	b := append([]byte("preezm/v1/appointment"), owner[:]...)
	b = append(b, seat[:]...)
	b = append(b, be32(generation)...)
	return append(b, be32(day)...)
}

// Appoint makes seat a custodian: it seals to kem, the seat's X-Wing public
// key, the chain as it stands the day before now. Earlier days never leave the
// owner. Signed with the owner's root key.
func Appoint(root ed25519.PrivateKey, custody [32]byte, seat Seat, kem []byte, generation uint32, now int64) (*Signed[Appointment], error) {
	c, err := NewChain(custody, seat, generation).At(max(DayOf(now)-margin, FirstDay))
	if err != nil {
		return nil, err
	}
	a := Appointment{
		Owner: KeyOf(root), Custodian: seat, Generation: generation, Epoch: c.Day,
		Roles: []string{RoleCustodian}, At: now,
	}
	if a.Sealed, err = sealTo(kem, appointmentInfo(a.Owner, seat, generation, c.Day), c.Key); err != nil {
		return nil, err
	}
	return Sign(root, a)
}

// LogKey is the key with which a device signs its log for one owner, derived from
// its own, which no owner has: an owner cannot write it, and the logs of one
// custodian for two owners do not show that it is one.
func LogKey(device ed25519.PrivateKey, owner Key) ed25519.PrivateKey {
	seed := expand(device.Seed(), "custody/log-key", owner[:])
	return ed25519.NewKeyFromSeed(seed[:])
}

// AcceptAppointment checks an appointment for seat and opens its chain. The
// owner it names is to be pinned: the caller makes sure, by the connection it
// came over, that it is the person it should be.
func AcceptAppointment(raw []byte, seat Seat, kem hpke.PrivateKey) (*Signed[Appointment], Chain, error) {
	a, err := Parse[Appointment](raw)
	if err != nil {
		return nil, Chain{}, err
	}
	if a.Signer != a.Body.Owner || a.Body.Custodian != seat {
		return nil, Chain{}, malformed("an appointment of somebody else or by somebody else")
	}
	b := &a.Body
	key, err := openWith(kem, appointmentInfo(b.Owner, seat, b.Generation, b.Epoch), b.Sealed)
	if err != nil {
		return nil, Chain{}, err
	}
	return a, Chain{Generation: b.Generation, Day: b.Epoch, Key: key}, nil
}
