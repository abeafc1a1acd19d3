// SPDX-License-Identifier: MPL-2.0

// Package identity keeps the owner's secret and derives from it one key for
// each purpose. The secret is 32 random bytes, the master, which 24 words write
// down. Once the person has proved to have the words the master goes from the
// machine, and only what derives from it stays.
package identity

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/preezm/preezm/peers/vault"
)

// The first line of the file names the format and its version: with the
// master, or with what is left of it.
const (
	header     = "preezm owner key 1"
	headerLeft = "preezm owner key 2"
)

// maxFile bounds what is read.
const maxFile = 4 << 10

// ErrFormat: the file is not an owner key this program can read.
var ErrFormat = errors.New("is not a Preezm owner key")

// Secrets are the owner's derived keys, one purpose each.
type Secrets struct {
	Dedup   [32]byte // names chunks (keyed BLAKE3)
	Chunker [32]byte // chooses where chunks are cut
	// Identity is the seed of the root key, which is the person; see RootKey.
	Identity [32]byte
	Custody  [32]byte // leads to every custodian's chain
	Catalog  [32]byte // seals what is backed up of the catalog
	Locator  [32]byte // leads to the name under which keepers hold that backup
	Recovery [32]byte // seed of the X-Wing key of the person, not of one device
	Copies   [32]byte // seals copies of a company's keys that the person keeps elsewhere
}

// RootKey is the person's own signing key: it certifies devices, appoints
// custodians and names the person in every grant.
func (s *Secrets) RootKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(s.Identity[:]) }

// OwnerKey is what a machine holds of its owner's secret.
type OwnerKey struct {
	// root is the key that all others derive from (RFC 5869's PRK): it leads to
	// every purpose, later ones too, and not back to the words.
	root   [32]byte
	master [32]byte
	whole  bool // master is there
}

// NewOwner draws a new secret.
func NewOwner() OwnerKey {
	var master [32]byte
	rand.Read(master[:]) // crypto/rand.Read never fails
	return OwnerOf(master)
}

// OwnerOf is the key of a master secret.
func OwnerOf(master [32]byte) OwnerKey {
	prk, err := hkdf.Extract(sha256.New, master[:], []byte("preezm/v1/root"))
	if err != nil {
		panic(err) // only for a key too short for FIPS 140: ours has 32 bytes
	}
	return OwnerKey{root: [32]byte(prk), master: master, whole: true}
}

// Master gives the master secret while the machine still has it.
func (k *OwnerKey) Master() (master [32]byte, ok bool) { return k.master, k.whole }

// Is tells whether master is this owner's.
func (k *OwnerKey) Is(master [32]byte) bool {
	other := OwnerOf(master)
	return subtle.ConstantTimeCompare(k.root[:], other.root[:]) == 1
}

// WithoutMaster is the key without the secret that the words write down.
func (k *OwnerKey) WithoutMaster() OwnerKey { return OwnerKey{root: k.root} }

// OwnerOfRoot is the key that Root leads to, without the words' secret.
func OwnerOfRoot(root [32]byte) OwnerKey { return OwnerKey{root: root} }

// Root is what every purpose's key is derived from. No words lead back from it:
// it is what a person's further machine is given.
func (k *OwnerKey) Root() [32]byte { return k.root }

// Secrets derives the key of each purpose: one Expand each.
func (k *OwnerKey) Secrets() Secrets {
	var s Secrets
	for _, p := range []struct {
		label string
		into  *[32]byte
	}{{"dedup", &s.Dedup}, {"chunker", &s.Chunker}, {"identity", &s.Identity}, {"custody", &s.Custody},
		{"catalog/1", &s.Catalog}, {"locator", &s.Locator}, {"recovery-kem", &s.Recovery}, {"copies", &s.Copies}} {
		b, err := hkdf.Expand(sha256.New, k.root[:], p.label, 32)
		if err != nil {
			panic(err) // only for a length that no hash can give
		}
		copy(p.into[:], b)
	}
	return s
}

// FromMaster derives the keys of a master secret.
func FromMaster(master [32]byte) Secrets {
	k := OwnerOf(master)
	return k.Secrets()
}

func (k *OwnerKey) text() []byte {
	if k.whole {
		return []byte(header + "\n" + hex.EncodeToString(k.master[:]) + "\n")
	}
	return []byte(headerLeft + "\n" + hex.EncodeToString(k.root[:]) + "\n")
}

// WriteNew writes the key to path in box, where there must be none.
func (k *OwnerKey) WriteNew(box *vault.Box, path string) error {
	if err := box.WriteNew(path, k.text()); err != nil {
		return fmt.Errorf("write the owner key: %w", err)
	}
	return nil
}

// Replace writes the key in place of the one at path.
func (k *OwnerKey) Replace(box *vault.Box, path string) error {
	if err := box.Replace(path, k.text()); err != nil {
		return fmt.Errorf("write the owner key: %w", err)
	}
	return nil
}

// ReadOwner reads the key at path in box.
func ReadOwner(box *vault.Box, path string) (OwnerKey, error) {
	b, err := box.ReadFile(path, maxFile)
	if err != nil {
		return OwnerKey{}, fmt.Errorf("read the owner key: %w", err)
	}
	k, err := parse(string(b))
	if err != nil {
		return OwnerKey{}, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

func parse(text string) (OwnerKey, error) {
	head, rest, ok := strings.Cut(text, "\n")
	b, err := hex.DecodeString(strings.TrimSuffix(rest, "\n"))
	// The decoder's own error would quote a character of the secret.
	if !ok || err != nil || len(b) != 32 {
		return OwnerKey{}, ErrFormat
	}
	switch head {
	case header:
		return OwnerOf([32]byte(b)), nil
	case headerLeft:
		return OwnerKey{root: [32]byte(b)}, nil
	}
	return OwnerKey{}, ErrFormat
}
