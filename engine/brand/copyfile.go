// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"github.com/preezm/preezm/peers/said"
)

const (
	// copyHeader begins the file of a copy: format and version.
	copyHeader = "preezm company copy 1\n"
	copySalt   = 32
	// MaxCopyFile bounds such a file.
	MaxCopyFile = MaxCopy + len(copyHeader) + copySalt + 16
)

// ErrCopyKey: the copy opens with another person's words.
var ErrCopyKey = said.Error("copy-key", "the copy opens with the 24 words of the home it was made in")

// SealCopy gives a copy as it may lie anywhere: it opens with the person's key
// only.
func SealCopy(key [32]byte, raw []byte) ([]byte, error) {
	out := append([]byte(copyHeader), make([]byte, copySalt)...)
	salt := out[len(copyHeader):]
	rand.Read(salt) // never fails
	g, err := copyCipher(key, salt)
	if err != nil {
		return nil, err
	}
	// A key for each file: no nonce can repeat.
	return g.Seal(out, make([]byte, g.NonceSize()), raw, []byte(copyHeader)), nil
}

// OpenCopy gives what SealCopy was given. ErrCopy when it is no such file,
// ErrCopyKey when it is one of somebody else, or was changed.
func OpenCopy(key [32]byte, file []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(file, []byte(copyHeader))
	if !ok || len(rest) < copySalt || len(file) > MaxCopyFile {
		return nil, fmt.Errorf("this file %w", ErrCopy)
	}
	g, err := copyCipher(key, rest[:copySalt])
	if err != nil {
		return nil, err
	}
	raw, err := g.Open(nil, make([]byte, g.NonceSize()), rest[copySalt:], []byte(copyHeader))
	if err != nil {
		return nil, ErrCopyKey
	}
	return raw, nil
}

func copyCipher(key [32]byte, salt []byte) (cipher.AEAD, error) {
	sub, err := hkdf.Expand(sha256.New, key[:], "preezm/v1/company-copy"+string(salt), 32)
	if err != nil {
		return nil, err
	}
	c, err := aes.NewCipher(sub)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(c)
}
