// SPDX-License-Identifier: MPL-2.0

// Package identity keeps the owner's master secret and derives from it one
// key for each purpose. The master is 32 random bytes in a file that only its
// owner can read; the 24 words that encode it, and the sealed home, stand on
// the same derivation.
package identity

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/preezm/preezm/peers/durable"
)

// header is the first line of the file: it names the format and its version.
const header = "preezm owner key 1"

// maxFile bounds what Load reads.
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
}

// RootKey is the person's own signing key: it certifies devices, appoints
// custodians and names the person in every grant.
func (s *Secrets) RootKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(s.Identity[:]) }

// Create writes a fresh master secret to path, which must not exist, and
// returns the keys derived from it.
func Create(path string) (Secrets, error) {
	var master [32]byte
	rand.Read(master[:]) // crypto/rand.Read never fails
	return CreateFrom(path, master)
}

// CreateFrom writes a master secret that is known to path, which must not
// exist, and returns the keys derived from it.
func CreateFrom(path string, master [32]byte) (Secrets, error) {
	text := header + "\n" + hex.EncodeToString(master[:]) + "\n"
	if err := durable.WriteNew(path, []byte(text), 0o600); err != nil {
		return Secrets{}, fmt.Errorf("write the owner key: %w", err)
	}
	return FromMaster(master), nil
}

// Load reads the master secret at path and returns the keys derived from it.
func Load(path string) (Secrets, error) {
	f, err := os.Open(path)
	if err != nil {
		return Secrets{}, fmt.Errorf("read the owner key: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return Secrets{}, fmt.Errorf("read the owner key: %w", err)
	}
	master, err := parse(string(b))
	if err != nil {
		return Secrets{}, fmt.Errorf("%s: %w", path, err)
	}
	return FromMaster([32]byte(master)), nil
}

func parse(text string) ([]byte, error) {
	head, rest, ok := strings.Cut(text, "\n")
	if !ok || head != header {
		return nil, ErrFormat
	}
	master, err := hex.DecodeString(strings.TrimSuffix(rest, "\n"))
	// The decoder's own error would quote a character of the secret.
	if err != nil || len(master) != 32 {
		return nil, ErrFormat
	}
	return master, nil
}

// FromMaster derives the keys of a master secret as RFC 5869 says: one Extract
// of it, one Expand a purpose.
func FromMaster(master [32]byte) Secrets {
	prk, err := hkdf.Extract(sha256.New, master[:], []byte("preezm/v1/root"))
	if err != nil {
		panic(err) // only for a key too short for FIPS 140: ours has 32 bytes
	}
	var s Secrets
	for _, k := range []struct {
		label string
		into  *[32]byte
	}{{"dedup", &s.Dedup}, {"chunker", &s.Chunker}, {"identity", &s.Identity}, {"custody", &s.Custody},
		{"catalog/1", &s.Catalog}, {"locator", &s.Locator}, {"recovery-kem", &s.Recovery}} {
		b, err := hkdf.Expand(sha256.New, prk, k.label, 32)
		if err != nil {
			panic(err) // only for a length that no hash can give
		}
		copy(k.into[:], b)
	}
	return s
}
