// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Seat is a custodian as its owner knows it: its device ID, from which its
// chain is derived. Brands never see it.
type Seat [32]byte

// Days are counted from 1 January 1970, UTC.
const (
	// FirstDay is where every chain begins (1 January 2026), so that the
	// owner's secret alone, without any record, leads to every later day.
	FirstDay = 20454
	lastDay  = FirstDay + 36525
	// margin is how many days behind today a chain is kept: a grant may end
	// at any second of its last day, and clocks differ.
	margin = 1
)

var (
	// ErrErased: the key of that day is gone, and nobody who has only this
	// chain can bring it back.
	ErrErased = errors.New("the key of that day is erased")
	errDay    = errors.New("a day outside what chains cover")
)

// DayOf is the day a time (Unix seconds) falls on.
func DayOf(t int64) uint32 { return uint32(max(t, 0) / 86400) }

// ExpiryDay is the day whose key serves grants that end at notAfter: the first
// midnight at or after it.
func ExpiryDay(notAfter int64) uint32 { return uint32((max(notAfter, 0) + 86399) / 86400) }

// Chain is a custodian's secret for one owner at one day: it leads to the keys
// of that day and all later ones, and to none before. Secret.
type Chain struct {
	Generation uint32
	Day        uint32
	Key        [32]byte
}

// expand is HKDF-Expand-SHA-256 of key to 32 bytes, the info being the label
// and the parts. With one hash of output it is one HMAC, which cannot fail.
// Labels and parts have fixed lengths, so no two calls meet.
func expand(key []byte, label string, parts ...[]byte) (out [32]byte) {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("preezm/v1/"))
	h.Write([]byte(label))
	for _, p := range parts {
		h.Write(p)
	}
	h.Write([]byte{1})
	h.Sum(out[:0])
	return out
}

func be32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
func be64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

// NewChain derives a custodian's chain at FirstDay from the owner's custody
// secret. A new generation is a new chain: what an old custodian kept of the
// old one is worth nothing in it.
func NewChain(custody [32]byte, seat Seat, generation uint32) Chain {
	return Chain{
		Generation: generation,
		Day:        FirstDay,
		Key:        expand(custody[:], "custodian/", seat[:], []byte("/gen/"), be32(generation)),
	}
}

// At is the chain stepped forward to day; ErrErased for an earlier one.
func (c Chain) At(day uint32) (Chain, error) {
	if day > lastDay || c.Day < FirstDay {
		return Chain{}, errDay
	}
	if day < c.Day {
		return Chain{}, ErrErased
	}
	for c.Day < day {
		c.Key = expand(c.Key[:], "custody/step")
		c.Day++
	}
	return c, nil
}

// Settle steps the chain to the day before the verdict's and reports whether
// it moved: then the caller must make the new state durable and destroy the
// old one. A clock in doubt moves nothing: erasing cannot be undone, and a
// wrong clock must not be able to cause it.
func (c Chain) Settle(v Verdict) (Chain, bool) {
	today := DayOf(v.Now)
	if v.Doubt != "" || today < c.Day+margin+1 {
		return c, false
	}
	next, err := c.At(today - margin)
	if err != nil {
		return c, false
	}
	return next, true
}

// dayKey is E_d, from which all of a custodian's keys for grants that end on
// day d follow. It lives as long as the chain has not passed d.
type dayKey [32]byte

func (c Chain) expiry(day uint32) (dayKey, error) {
	at, err := c.At(day)
	if err != nil {
		return dayKey{}, err
	}
	return dayKey(expand(at.Key[:], "custody/expiry-key")), nil
}

// Pseudonym is the custodian's signing key in a grant: ErrErased once the
// grant's day is gone. The owner can derive it too, so that it proves a
// custodian's word to the brand and not to a court; logs are signed otherwise.
func (c Chain) Pseudonym(g *Grant) (ed25519.PrivateKey, error) {
	e, err := c.expiry(ExpiryDay(g.NotAfter))
	if err != nil {
		return nil, err
	}
	return e.pseudonym(g.ID), nil
}

// pseudonym is the custodian's signing key in one grant.
func (e dayKey) pseudonym(grantID [16]byte) ed25519.PrivateKey {
	seed := expand(e[:], "custody/grant-id", grantID[:])
	return ed25519.NewKeyFromSeed(seed[:])
}

// mailbox is the custodian's X25519 key in one grant, to which requests are
// sealed on their way through a gateway.
func (e dayKey) mailbox(grantID [16]byte) (*ecdh.PrivateKey, error) {
	seed := expand(e[:], "custody/mailbox", grantID[:])
	k, err := ecdh.X25519().NewPrivateKey(seed[:])
	if err != nil {
		return nil, fmt.Errorf("derive a mailbox: %w", err)
	}
	return k, nil
}

// pad is y_i. The salt is fresh in each package entry: without it a version
// listed in two packages would have its shares masked by one pad, and the XOR
// of the two lists would give the differences of the shares away.
func (e dayKey) pad(grant Hash, f FileID, version uint64, salt [16]byte) [32]byte {
	return expand(e[:], "custody/pad", grant[:], f[:], be64(version), salt[:])
}

// commitment is what the package says about custodian i's pad.
func commitment(i int, version uint64, grant Hash, f FileID, pad [32]byte) Hash {
	h := sha256.New()
	h.Write([]byte("preezm/v1/custody/commit"))
	h.Write([]byte{byte(i)})
	h.Write(be64(version))
	h.Write(grant[:])
	h.Write(f[:])
	h.Write(pad[:])
	return Hash(h.Sum(nil))
}
