// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Hash names a document: SHA-256 of its signed bytes, so of its type and
// payload but not of its signature. The same statement signed twice has one
// hash, and a revocation meets every copy of it.
type Hash [32]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Key is an Ed25519 public key: a person, an organisation, a device, or a
// custodian under its name in one grant.
type Key [32]byte

func (k Key) String() string { return hex.EncodeToString(k[:]) }

// KeyOf is the public half of a private key.
func KeyOf(k ed25519.PrivateKey) (pub Key) {
	copy(pub[:], k.Public().(ed25519.PublicKey))
	return pub
}

// FileID is the random name under which a file appears in grants.
type FileID [16]byte

func (f FileID) String() string { return hex.EncodeToString(f[:]) }

// Document is a type of payload. Type is the string inside the signature,
// which keeps one type from passing for another; Check refuses values that no
// honest writer produces.
type Document interface {
	Type() string
	Check() error
}

// Signed is a document whose signature was checked, with the bytes as they
// came: those are kept and sent on, never encoded anew. Raw is the slice that
// was parsed, not a copy.
type Signed[T Document] struct {
	Body   T
	Signer Key
	Hash   Hash
	Raw    []byte
}

type envelope struct {
	Type    string   `cbor:"1,keyasint"`
	Payload []byte   `cbor:"2,keyasint"`
	Signer  Key      `cbor:"3,keyasint"`
	Sig     [64]byte `cbor:"4,keyasint"`
}

const signatureContext = "preezm-sig/v1"

// signedBytes is what the signature and the hash are over.
func signedBytes(kind string, payload []byte) []byte {
	b := make([]byte, 0, len(signatureContext)+len(kind)+2+len(payload))
	b = append(append(b, signatureContext...), 0)
	b = append(append(b, kind...), 0)
	return append(b, payload...)
}

// Sign checks body, encodes and signs it, when it can be read again: a text that
// is not UTF-8 could not.
func Sign[T Document](key ed25519.PrivateKey, body T) (*Signed[T], error) {
	if err := body.Check(); err != nil {
		return nil, fmt.Errorf("sign a %s: %w", body.Type(), err)
	}
	payload, err := Marshal(body)
	if err != nil {
		return nil, err
	}
	if err := Unmarshal(payload, new(T)); err != nil {
		return nil, fmt.Errorf("sign a %s: %w", body.Type(), err)
	}
	tbs := signedBytes(body.Type(), payload)
	e := envelope{Type: body.Type(), Payload: payload, Signer: KeyOf(key)}
	copy(e.Sig[:], ed25519.Sign(key, tbs))
	raw, err := Marshal(e)
	if err != nil {
		return nil, err
	}
	return &Signed[T]{Body: body, Signer: e.Signer, Hash: sha256.Sum256(tbs), Raw: raw}, nil
}

// Parse reads a document of type T: size, strict encoding, type, values, then
// the signature. It says that Signer signed, not that Signer had any right to.
func Parse[T Document](raw []byte) (*Signed[T], error) { return parse[T](raw, true) }

// Reread is Parse for a document that this program has parsed before and kept
// where nobody else writes: it does not check the signature again.
func Reread[T Document](raw []byte) (*Signed[T], error) { return parse[T](raw, false) }

func parse[T Document](raw []byte, verify bool) (*Signed[T], error) {
	var e envelope
	if err := Unmarshal(raw, &e); err != nil {
		return nil, err
	}
	var body T
	if e.Type != body.Type() {
		return nil, malformed("not a %s", body.Type())
	}
	if err := Unmarshal(e.Payload, &body); err != nil {
		return nil, err
	}
	if err := body.Check(); err != nil {
		return nil, malformed("%s: %w", body.Type(), err)
	}
	tbs := signedBytes(e.Type, e.Payload)
	if verify && !ed25519.Verify(e.Signer[:], tbs, e.Sig[:]) {
		return nil, malformed("%s: wrong signature", body.Type())
	}
	return &Signed[T]{Body: body, Signer: e.Signer, Hash: sha256.Sum256(tbs), Raw: raw}, nil
}
