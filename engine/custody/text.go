// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"crypto/ed25519"
	"crypto/hpke"
	"encoding/base64"
	"errors"
	"strings"
)

// cardPrefix lets a person and a program tell what a line of text is.
const cardPrefix = "preezm-brand1-"

// Ticket is what a brand holds: a grant and its newest package. It can travel
// by any way: it is useless to everybody but the grantee.
type Ticket struct {
	Grant   *Signed[Grant]
	Package *Signed[KeyPackage]
}

// Card is how a brand presents itself to a person. Signed by its root. The name
// is a claim: that the key is the company's has to be known from elsewhere.
type Card struct {
	Root Key    `cbor:"1,keyasint"`
	Name string `cbor:"2,keyasint"`
	KEM  []byte `cbor:"3,keyasint"` // its X-Wing public key
	At   int64  `cbor:"4,keyasint"`
}

// Type implements Document.
func (Card) Type() string { return "preezm/v1/brand-card" }

// Check implements Document.
func (c Card) Check() error {
	switch {
	case !goodTime(c.At):
		return errTime
	case c.Name == "" || !goodText(c.Name):
		return errLong
	}
	if _, err := hpke.MLKEM768X25519().NewPublicKey(c.KEM); err != nil {
		return errors.New("not an X-Wing public key")
	}
	return nil
}

// NewCard makes a brand's card as one line of text.
func NewCard(root ed25519.PrivateKey, name string, kem hpke.PublicKey, now int64) (string, error) {
	s, err := Sign(root, Card{Root: KeyOf(root), Name: name, KEM: kem.Bytes(), At: now})
	if err != nil {
		return "", err
	}
	return line(cardPrefix, s.Raw), nil
}

// ParseCard reads a card.
func ParseCard(text string) (*Signed[Card], error) {
	b, err := unline(cardPrefix, text)
	if err != nil {
		return nil, err
	}
	s, err := Parse[Card](b)
	if err != nil {
		return nil, err
	}
	if s.Signer != s.Body.Root {
		return nil, malformed("a card by somebody else")
	}
	return s, nil
}

func line(prefix string, b []byte) string {
	return prefix + base64.RawURLEncoding.EncodeToString(b)
}

// unline ignores white space, which mail programs put in.
func unline(prefix, text string) ([]byte, error) {
	if len(text) > 2*MaxDocument {
		return nil, malformed("a text of %d bytes", len(text))
	}
	body, ok := strings.CutPrefix(strings.Join(strings.Fields(text), ""), prefix)
	if !ok {
		return nil, malformed("it does not begin with %s", prefix)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return nil, malformed("damaged text")
	}
	return b, nil
}
