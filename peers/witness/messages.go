// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/peers"
)

// The messages, as they travel: deterministic CBOR, strictly decoded, as the
// documents in them. Fields that hold a document are empty when there is none.

// Appointing makes a device a custodian. It needs a device set: a grant counts
// only when its device is in one.
type Appointing struct {
	Appointment []byte `cbor:"1,keyasint"`
	DeviceSet   []byte `cbor:"2,keyasint"`
	Panel       []byte `cbor:"3,keyasint"`
	// Entries is how many entries of the custodian's log the owner has: one
	// that has none any more owns up to it.
	Entries uint64 `cbor:"4,keyasint"`
}

// Appointed is the custodian's consent. LogKey signs its log: the owner pins it.
type Appointed struct {
	LogKey custody.Key `cbor:"1,keyasint"`
	Head   []byte      `cbor:"2,keyasint"` // a signed ledger.Head
}

// Reply answers a letter: a release, a signed denial, or, when the custodian
// has no name in the grant or no key left to sign with, a bare reason.
type Reply struct {
	Release []byte         `cbor:"1,keyasint"`
	Denial  []byte         `cbor:"2,keyasint"`
	Reason  custody.Reason `cbor:"3,keyasint"`
}

// Update is a newer package that the brand may not have shown yet.
type Update struct {
	Grant   []byte `cbor:"1,keyasint"`
	Package []byte `cbor:"2,keyasint"`
}

// News is what an owner tells, and what its custodians tell each other. All of
// it is signed by the owner's root or devices, but for the heads, which the
// custodians sign: it does not matter who brings it.
type News struct {
	Owner       custody.Key `cbor:"1,keyasint"`
	DeviceSet   []byte      `cbor:"2,keyasint"`
	Panel       []byte      `cbor:"3,keyasint"`
	Status      []byte      `cbor:"4,keyasint"`
	Revocations [][]byte    `cbor:"5,keyasint"`
	Updates     []Update    `cbor:"6,keyasint"`
	Heads       [][]byte    `cbor:"7,keyasint"`
}

// Standing is where a custodian stands after some news.
type Standing struct {
	Head        []byte       `cbor:"1,keyasint"` // a signed ledger.Head
	At          int64        `cbor:"2,keyasint"` // its clock
	Revocations custody.Hash `cbor:"3,keyasint"` // custody.RevocationsHash of all it knows
	StatusSeq   uint64       `cbor:"4,keyasint"`
	Epoch       uint64       `cbor:"5,keyasint"` // of the device set
	Panel       uint64       `cbor:"6,keyasint"` // epoch of the panel; 0: none
	Doubt       string       `cbor:"7,keyasint"` // of its clock; empty: none
}

// LogQuery asks for an owner's log behind entry After.
type LogQuery struct {
	Owner custody.Key `cbor:"1,keyasint"`
	After uint64      `cbor:"2,keyasint"`
}

// maxRecords bounds the records of one LogAnswer; the head's number says
// whether there are more.
const maxRecords = 1000

// LogAnswer is a part of a log, up to maxRecords entries, its present head, and
// the newest heads that other custodians of the owner told this one.
type LogAnswer struct {
	Head    []byte          `cbor:"1,keyasint"`
	Records []ledger.Record `cbor:"2,keyasint"`
	Heads   [][]byte        `cbor:"3,keyasint"`
}

// Whispers is one custodian's news for another, with what it knows already, so
// that only what is missing comes back.
type Whispers struct {
	News        News         `cbor:"1,keyasint"`
	Revocations custody.Hash `cbor:"2,keyasint"` // of all the sender knows
	At          int64        `cbor:"3,keyasint"` // its clock, a vote on the other's
}

// Member is a custodian as the others of a panel know it.
type Member struct {
	Device    [32]byte    `cbor:"1,keyasint"`
	LogKey    custody.Key `cbor:"2,keyasint"`
	Addresses []string    `cbor:"3,keyasint"` // host:port, for those who do not know it
}

// Panel names the custodians that an owner wants to hear of each other, with
// their clocks and their news. Signed by the root.
type Panel struct {
	Owner   custody.Key `cbor:"1,keyasint"`
	Epoch   uint64      `cbor:"2,keyasint"`
	Members []Member    `cbor:"3,keyasint"`
	At      int64       `cbor:"4,keyasint"`
}

// Type implements custody.Document.
func (Panel) Type() string { return "preezm/v1/panel" }

// Check implements custody.Document.
func (p Panel) Check() error {
	if p.Epoch == 0 || p.At < 0 || len(p.Members) > maxMembers {
		return errors.New("a field out of its range")
	}
	for _, m := range p.Members {
		if len(m.Addresses) > maxAddresses || slices.ContainsFunc(m.Addresses, func(a string) bool { return len(a) > 260 }) {
			return errors.New("too many or too long addresses")
		}
	}
	return nil
}

// NewPanel signs a panel with the owner's root. A later one has a higher epoch.
func NewPanel(root ed25519.PrivateKey, epoch uint64, members []Member, now int64) ([]byte, error) {
	s, err := custody.Sign(root, Panel{Owner: custody.KeyOf(root), Epoch: epoch, Members: members, At: now})
	if err != nil {
		return nil, err
	}
	return s.Raw, nil
}

// maxMembers is more than one grant can name: the panel may have spare ones.
const (
	maxMembers   = 64
	maxAddresses = 16
)

// ParseReply reads the answer to a letter.
func ParseReply(raw []byte) (*Reply, error) {
	var r Reply
	if err := custody.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", peers.ErrProtocol, err)
	}
	n := 0
	for _, given := range []bool{len(r.Release) > 0, len(r.Denial) > 0, r.Reason != ""} {
		if given {
			n++
		}
	}
	if n != 1 || len(r.Reason) > 64 {
		return nil, fmt.Errorf("%w (a reply that is not one answer)", peers.ErrProtocol)
	}
	return &r, nil
}
