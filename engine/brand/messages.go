// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// What members ask their office. Only join is answered to a device that is none.
const (
	VerbJoin   = "join"   // a MemberRequest
	VerbSync   = "sync"   // what is new
	VerbTicket = "ticket" // one that the office received
	VerbLock   = "lock"   // the second lock of one entry
	VerbHandIn = "handin" // a ticket that a member received
)

// Line is a connection to an office, *rpc.Visit.
type Line interface {
	Office(ctx context.Context, verb string, raw []byte) ([]byte, error)
	Close()
}

// codePrefix begins the text that makes a machine a member, once.
const codePrefix = "preezm-member1-"

// ErrCode: a text is no such code, or was damaged.
var ErrCode = said.Error("member-code", "is not a code of 'preezm brand member invite', or was damaged")

// invitation is what a code says.
type invitation struct {
	Org       custody.Key    `cbor:"1,keyasint"`
	Name      string         `cbor:"2,keyasint"` // of the organisation
	Role      string         `cbor:"3,keyasint"` // of the member
	Office    peers.DeviceID `cbor:"4,keyasint"`
	Addresses []string       `cbor:"5,keyasint"`
	Token     [16]byte       `cbor:"6,keyasint"`
	Expires   int64          `cbor:"7,keyasint"`
}

func (i *invitation) code() (string, error) {
	b, err := custody.Marshal(i)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append([]byte("preezm/v1/member-invite"), b...))
	return codePrefix + base64.RawURLEncoding.EncodeToString(append(b, sum[:4]...)), nil
}

func parseCode(text string) (*invitation, error) {
	body, ok := strings.CutPrefix(strings.Join(strings.Fields(text), ""), codePrefix)
	if !ok || len(body) > 8<<10 {
		return nil, fmt.Errorf("this text %w", ErrCode)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || len(b) < 4 {
		return nil, fmt.Errorf("this text %w", ErrCode)
	}
	n := len(b) - 4
	sum := sha256.Sum256(append([]byte("preezm/v1/member-invite"), b[:n]...))
	var i invitation
	if string(sum[:4]) != string(b[n:]) || custody.Unmarshal(b[:n], &i) != nil || len(i.Addresses) > maxAddresses ||
		i.Name == "" || len(i.Name) > maxName || len(i.Role) > maxName {
		return nil, fmt.Errorf("this text %w", ErrCode)
	}
	return &i, nil
}

// MemberRequest is how a machine asks an office to certify it. Signed by the
// key that is to be certified; it names both ends of the connection.
type MemberRequest struct {
	Org    custody.Key    `cbor:"1,keyasint"`
	Office peers.DeviceID `cbor:"2,keyasint"`
	Device peers.DeviceID `cbor:"3,keyasint"`
	Token  [16]byte       `cbor:"4,keyasint"` // from the code
	Name   string         `cbor:"5,keyasint"` // of the machine
	At     int64          `cbor:"6,keyasint"`
}

// Type implements custody.Document.
func (MemberRequest) Type() string { return "preezm/v1/member-request" }

// Check implements custody.Document.
func (m MemberRequest) Check() error {
	if len(m.Name) > maxName || m.At < 0 {
		return errors.New("a field is out of its range")
	}
	return nil
}

// The answers. Reason is why there is none: a custody.Reason, or one of those
// below.
type (
	joinAnswer struct {
		Reason string `cbor:"1,keyasint"`
		Card   string `cbor:"2,keyasint"`
		Cert   []byte `cbor:"3,keyasint"`
		List   []byte `cbor:"4,keyasint"` // of revoked members, or empty
	}
	syncAsk struct {
		Until int64         `cbor:"1,keyasint"` // of the certificate that the member has
		List  uint64        `cbor:"2,keyasint"` // number of the list that it has
		Have  []custodyPair `cbor:"3,keyasint"`
	}
	custodyPair struct {
		Grant   custody.Hash `cbor:"1,keyasint"`
		Package custody.Hash `cbor:"2,keyasint"`
	}
	syncAnswer struct {
		Reason    string         `cbor:"1,keyasint"`
		Cert      []byte         `cbor:"2,keyasint"` // a new one, or empty
		List      []byte         `cbor:"3,keyasint"` // a newer one, or empty
		Tickets   []custody.Hash `cbor:"4,keyasint"` // of grants to ask for
		Addresses []string       `cbor:"5,keyasint"` // of the office
	}
	ticketAsk struct {
		Grant custody.Hash `cbor:"1,keyasint"`
	}
	ticketHead struct {
		Reason string `cbor:"1,keyasint"`
		Names  []byte `cbor:"2,keyasint"` // signed by the owner, opened by the office
	}
	lockAsk struct {
		Grant   []byte         `cbor:"1,keyasint"` // signed
		Enc     []byte         `cbor:"2,keyasint"` // of the package
		File    custody.FileID `cbor:"3,keyasint"`
		Version uint64         `cbor:"4,keyasint"`
	}
	lockAnswer struct {
		Reason string `cbor:"1,keyasint"`
		Second []byte `cbor:"2,keyasint"`
	}
)

// Reasons of an office.
const (
	reasonCode    = "code"    // unknown, used or expired
	reasonTicket  = "ticket"  // not known, or not for this organisation
	reasonGrant   = "grant"   // not for this organisation, or without that file
	reasonRequest = "request" // not in order
)

// Limits.
const (
	maxName      = 200 // bytes of a name or role
	maxAddresses = 16
	maxMembers   = 1024
	maxInvites   = 64
	maxHave      = 4096
)

// frame writes a head and a long text behind it.
func frame(head any, text string) ([]byte, error) {
	b, err := custody.Marshal(head)
	if err != nil {
		return nil, err
	}
	out := binary.BigEndian.AppendUint32(nil, uint32(len(b)))
	return append(append(out, b...), text...), nil
}

// unframe reads what frame wrote.
func unframe(raw []byte, head any) (text string, err error) {
	if len(raw) < 4 {
		return "", custody.ErrMalformed
	}
	n := binary.BigEndian.Uint32(raw)
	if int64(n) > int64(len(raw)-4) {
		return "", custody.ErrMalformed
	}
	if err := custody.Unmarshal(raw[4:4+n], head); err != nil {
		return "", err
	}
	text = string(raw[4+n:])
	if len(text) > ticket.MaxText+1 {
		return "", custody.ErrMalformed
	}
	return text, nil
}

// ErrOfficeRefused: an office did not do what it was asked; see [OfficeError].
var ErrOfficeRefused = said.Error("office-refuses", "the office refuses")

// OfficeError is why an office did not do what it was asked.
type OfficeError struct{ Reason string }

func (e *OfficeError) Error() string { return e.Said().Text }

// Is makes errors.Is(err, ErrOfficeRefused) hold.
func (e *OfficeError) Is(target error) bool { return target == ErrOfficeRefused }

// Said gives the sentence a code.
func (e *OfficeError) Said() said.Note {
	switch e.Reason {
	case reasonCode:
		return said.As("office-code", "the office refuses: the code is used up, expired or unknown; ask for a new one")
	case reasonTicket:
		return said.As("office-ticket", "the office refuses: it does not know that ticket, or it is for another company")
	case reasonGrant:
		return said.As("office-grant", "the office refuses: the grant is for another company, or does not cover that file")
	case reasonRequest:
		return said.As("office-request", "the office refuses: the request is not in order")
	}
	return said.Given(Said(custody.Reason(e.Reason)), "office-why", "the office refuses: {why}")
}

// officeError is the error for a reason, nil for none.
func officeError(reason string) error {
	if reason == "" {
		return nil
	}
	return &OfficeError{reason}
}
