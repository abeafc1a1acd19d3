// SPDX-License-Identifier: MPL-2.0

package circle

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/internal/wire"
	"github.com/preezm/preezm/peers/said"
)

// Errors about invites.
var (
	// ErrInviteCode: the text is no invite, or was damaged on its way.
	ErrInviteCode = said.Error("invite-code", "this is not a complete invite code; copy it again from \"preezm1-\" to its end")
	// ErrInviteExpired: the invite was good once.
	ErrInviteExpired = said.Error("invite-expired", "this invite has expired; ask for a new one")
	// ErrInviteUsed: another device took the invite's one place.
	ErrInviteUsed = said.Error("invite-used", "this invite was already used by another device; ask for a new one")
	// ErrInviteUnknown: the inviting device knows no such invite.
	ErrInviteUnknown = said.Error("invite-unknown", "this invite is not known to the device that it names; ask for a new one")
)

const (
	invitePrefix = "preezm1"
	inviteLabel  = "preezm/v1/invite"
	checkLen     = 4
	// maxCode bounds what ParseInvite looks at; a full set of addresses and
	// every character on a quoted line of its own stays below it.
	maxCode = 64 << 10
)

// Invite lets one device into the circle of another, once.
type Invite struct {
	Device    peers.DeviceID // who invites
	Name      string         // its name for people
	Addresses []string       // where it may be reached
	Token     [16]byte       // the secret that lets in
	Expires   time.Time      // to the second
	Servers   []string       // relays and discovery servers of the inviter's circle
}

// inviteBody is the CBOR inside a code.
type inviteBody struct {
	Device    []byte   `cbor:"1,keyasint"`
	Name      string   `cbor:"2,keyasint"`
	Addresses []string `cbor:"3,keyasint"`
	Token     []byte   `cbor:"4,keyasint"`
	Expires   int64    `cbor:"5,keyasint"` // Unix seconds
	Servers   []string `cbor:"6,keyasint,omitempty"`
}

func inviteText() *base32.Encoding { return base32.StdEncoding.WithPadding(base32.NoPadding) }

// inviteCheck finds damage; it protects against nobody who wants to change a
// code. That is TLS's part: a code with another device in it leads to a
// device that cannot show that ID.
func inviteCheck(body []byte) []byte {
	sum := sha256.Sum256(append([]byte(inviteLabel), body...))
	return sum[:checkLen]
}

// Code writes the invite as one word to send to somebody. It is empty when
// the invite breaks the limits of this package.
func (i Invite) Code() string {
	codec, err := wire.New()
	if err != nil {
		return ""
	}
	body, err := codec.Marshal(inviteBody{
		Device: i.Device[:], Name: CleanName(i.Name), Addresses: CleanAddresses(i.Addresses),
		Token: i.Token[:], Expires: i.Expires.Unix(), Servers: CleanServers(i.Servers),
	})
	if err != nil {
		return ""
	}
	return invitePrefix + "-" + strings.ToLower(inviteText().EncodeToString(append(body, inviteCheck(body)...)))
}

// ParseInvite reads a code. Case, spaces, dashes, line breaks and quote marks
// at the start of lines do not matter, nor does text before the code. It
// returns ErrInviteCode, or ErrInviteExpired together with the invite.
func ParseInvite(code string) (Invite, error) {
	body, err := inviteBytes(code)
	if err != nil {
		return Invite{}, err
	}
	codec, err := wire.New()
	if err != nil {
		return Invite{}, err
	}
	var b inviteBody
	if err := codec.Unmarshal(body, &b); err != nil {
		return Invite{}, fmt.Errorf("%w (%w)", ErrInviteCode, err)
	}
	inv := Invite{Name: b.Name, Addresses: Learned(b.Addresses, true), Expires: time.Unix(b.Expires, 0), Servers: CleanServers(b.Servers)}
	switch {
	case len(b.Device) != len(inv.Device), len(b.Token) != len(inv.Token):
		return Invite{}, fmt.Errorf("%w (wrong lengths)", ErrInviteCode)
	case b.Name != CleanName(b.Name), len(CleanAddresses(b.Addresses)) != len(b.Addresses), len(inv.Servers) != len(b.Servers):
		return Invite{}, fmt.Errorf("%w (bad name or address)", ErrInviteCode)
	case b.Expires <= 0 || b.Expires > 1<<40:
		return Invite{}, fmt.Errorf("%w (bad date)", ErrInviteCode)
	}
	copy(inv.Device[:], b.Device)
	copy(inv.Token[:], b.Token)
	if inv.Device == (peers.DeviceID{}) {
		return Invite{}, fmt.Errorf("%w (no device)", ErrInviteCode)
	}
	if !time.Now().Before(inv.Expires) {
		return inv, ErrInviteExpired
	}
	return inv, nil
}

// inviteBytes takes the text apart and returns the checked CBOR.
func inviteBytes(code string) ([]byte, error) {
	if len(code) > maxCode {
		return nil, fmt.Errorf("%w (too long)", ErrInviteCode)
	}
	s := strings.Map(func(r rune) rune {
		switch {
		case r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)):
			return unicode.ToLower(r)
		// What mail programs, chats and people put in: everything that is
		// neither letter nor digit, soft hyphens and zero-width spaces included.
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			return -1
		}
		return '!' // foreign letter: certain to fail below
	}, code)
	at := strings.LastIndex(s, invitePrefix)
	if at < 0 {
		return nil, ErrInviteCode
	}
	raw, err := inviteText().DecodeString(strings.ToUpper(s[at+len(invitePrefix):]))
	if err != nil || len(raw) <= checkLen {
		return nil, ErrInviteCode
	}
	body, check := raw[:len(raw)-checkLen], raw[len(raw)-checkLen:]
	if !bytes.Equal(check, inviteCheck(body)) {
		return nil, ErrInviteCode
	}
	return body, nil
}
