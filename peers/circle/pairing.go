// SPDX-License-Identifier: MPL-2.0

package circle

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"strings"

	"github.com/preezm/preezm/peers"
)

const (
	wordsLabel = "preezm/v1/pairing-words"
	// wordsWork slows down who makes one device after the other until its
	// words are those of another.
	wordsWork = 50_000
	// Words is how many words two people compare.
	Words = 4
)

// wordList has 256 words, each in English and in French: the same line means
// the same, so that people whose programs speak different languages can still
// compare. It never changes.
//
//go:embed words.txt
var wordList string

// Pairing are the words that both screens show when an invite was used, as
// lines of the list.
type Pairing [Words]byte

// NewPairing derives the words from who invited, who joined and the invite's
// token. When both screens show the same, nobody stands between the two: not
// somebody who took the code away and joined first, and not somebody who gave
// out a code of their own instead.
func NewPairing(inviter, joiner peers.DeviceID, token [16]byte) (Pairing, error) {
	salt := append([]byte(wordsLabel), inviter[:]...)
	key, err := pbkdf2.Key(sha256.New, string(token[:]), append(salt, joiner[:]...), wordsWork, Words)
	if err != nil {
		return Pairing{}, fmt.Errorf("pairing words: %w", err)
	}
	return Pairing(key), nil
}

// In gives the words in a language, "fr" or, as anything else, English.
func (p Pairing) In(language string) []string {
	column := 0
	if language == "fr" {
		column = 1
	}
	lines := strings.Split(wordList, "\n")
	var out []string
	for _, i := range p {
		out = append(out, strings.Fields(lines[i])[column])
	}
	return out
}

// Used is an invite that was used.
type Used struct {
	Device peers.DeviceID
	Name   string
	Words  Pairing
}

// InviteID names an invite without giving it away.
func (i Invite) ID() string {
	h := hashToken(i.Token)
	return fmt.Sprintf("%x", h[:8])
}

// UsedInvite says by whom the invite of that ID was used; ok is false while it
// was not, and the error ErrInviteExpired or ErrInviteUnknown when it will not
// be any more.
func (b *Book) UsedInvite(id string) (u Used, ok bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, inv := range b.invites {
		if fmt.Sprintf("%x", inv.Hash[:8]) != id {
			continue
		}
		if inv.UsedBy == nil {
			if !b.now().Before(inv.Expires) {
				return Used{}, false, ErrInviteExpired
			}
			return Used{}, false, nil
		}
		u = Used{Device: *inv.UsedBy}
		copy(u.Words[:], inv.Words)
		if i := b.index(u.Device); i >= 0 {
			u.Name = b.peers[i].Name
		}
		return u, true, nil
	}
	return Used{}, false, ErrInviteUnknown
}
