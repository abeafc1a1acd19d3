// SPDX-License-Identifier: MPL-2.0

// Package vault keeps a home's secret and telling files as ciphertext. A home
// has two parts, each with a random key of its own: what the machine needs to
// serve others, and what only its owner opens. Both keys lie in vault.json,
// wrapped by a key that is kept elsewhere: in the system's keychain, in a
// person's head, or, where there is neither, in a file beside.
package vault

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/preezm/preezm/peers/durable"
	"github.com/preezm/preezm/peers/said"
)

// Part is one of the two parts of a home.
type Part string

// The parts.
const (
	Machine Part = "machine" // device keys, circle, custodian, gateway
	Owner   Part = "owner"   // the owner's keys, catalog, brand
)

// Parts are all of them.
var Parts = []Part{Machine, Owner}

const (
	keySize = 32
	// fileHeader begins every sealed file: format and version.
	fileHeader = "preezm sealed 1\n"
	// overhead is what sealing adds: header, nonce, tag.
	overhead = len(fileHeader) + 12 + 16
)

var (
	// ErrSealed: a sealed file does not open. It was changed, or belongs to
	// another place.
	ErrSealed = said.Error("sealed", "does not open: it is damaged, or of another home")
	// ErrPlain: a file that must be sealed is not. Somebody put it there.
	ErrPlain = said.Error("not-sealed", "is not sealed, as all files of this home are: it was put there by something else")
	// ErrTooLarge: the file is larger than anything the program writes there.
	ErrTooLarge = errors.New("is larger than it can be")
)

// Box seals and opens the files of one part of a home. It is safe for
// concurrent use. A nil Box leaves files plain, for homes in tests.
type Box struct {
	dir  string
	part Part
	key  [keySize]byte
	// lenient reads plain files too, while an old home is being sealed.
	lenient bool
}

// sub is the key for one purpose.
func (b *Box) sub(label string) []byte {
	k, err := hkdf.Expand(sha256.New, b.key[:], "preezm/v1/vault/"+label, keySize)
	if err != nil {
		panic(err) // only for a length that no hash can give
	}
	return k
}

// DBKey is the key of a database, by the name of its file; nil: plain.
func (b *Box) DBKey(name string) []byte {
	if b == nil {
		return nil
	}
	return b.sub("database/" + name)
}

// name is what a file's key and its place are bound to: its path in the home.
func (b *Box) name(path string) (string, error) {
	rel, err := filepath.Rel(b.dir, path)
	if err != nil || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%s is not in the home %s", path, b.dir)
	}
	return filepath.ToSlash(rel), nil
}

func (b *Box) aead(name string) (cipher.AEAD, []byte, error) {
	c, err := aes.NewCipher(b.sub("file/" + name))
	if err != nil {
		return nil, nil, err
	}
	g, err := cipher.NewGCM(c)
	return g, []byte(fileHeader + string(b.part) + "\x00" + name), err
}

// Seal gives data as it is written to path.
func (b *Box) Seal(path string, data []byte) ([]byte, error) {
	if b == nil {
		return data, nil
	}
	name, err := b.name(path)
	if err != nil {
		return nil, err
	}
	g, bound, err := b.aead(name)
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(fileHeader)+g.NonceSize(), overhead+len(data))
	nonce := out[copy(out, fileHeader):]
	rand.Read(nonce) // crypto/rand.Read never fails
	return g.Seal(out, nonce, data, bound), nil
}

// Open gives back what Seal was given for that path.
func (b *Box) Open(path string, raw []byte) ([]byte, error) {
	if b == nil {
		return raw, nil
	}
	rest, sealed := bytes.CutPrefix(raw, []byte(fileHeader))
	if !sealed {
		if b.lenient {
			return raw, nil
		}
		return nil, fmt.Errorf("%s %w", path, ErrPlain)
	}
	name, err := b.name(path)
	if err != nil {
		return nil, err
	}
	g, bound, err := b.aead(name)
	if err != nil {
		return nil, err
	}
	if len(rest) < g.NonceSize() {
		return nil, fmt.Errorf("%s %w", path, ErrSealed)
	}
	data, err := g.Open(nil, rest[:g.NonceSize()], rest[g.NonceSize():], bound)
	if err != nil {
		return nil, fmt.Errorf("%s %w", path, ErrSealed)
	}
	return data, nil
}

// ReadFile reads a file of at most limit bytes, before it was sealed.
func (b *Box) ReadFile(path string, limit int) ([]byte, error) {
	raw, err := readAll(path, limit+overhead)
	if err != nil {
		return nil, err
	}
	data, err := b.Open(path, raw)
	if err == nil && len(data) > limit {
		err = fmt.Errorf("%s %w", path, ErrTooLarge)
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// Replace puts data in place of what is at path, if anything: a crash leaves
// one or the other.
func (b *Box) Replace(path string, data []byte) error {
	raw, err := b.Seal(path, data)
	if err != nil {
		return err
	}
	return durable.Replace(path, raw)
}

// WriteNew writes data to path, which must not exist.
func (b *Box) WriteNew(path string, data []byte) error {
	raw, err := b.Seal(path, data)
	if err != nil {
		return err
	}
	return durable.WriteNew(path, raw, 0o600)
}

// SealFile seals the plain file at path where it lies; one that is sealed, or
// not there, stays as it is.
func (b *Box) SealFile(path string, limit int) error {
	raw, err := readAll(path, limit+overhead)
	if errors.Is(err, fs.ErrNotExist) || err == nil && bytes.HasPrefix(raw, []byte(fileHeader)) {
		return nil
	}
	if err != nil {
		return err
	}
	return b.Replace(path, raw)
}

// IsSealed tells whether the file at path is sealed; one that is not there is
// not.
func IsSealed(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, len(fileHeader))
	if _, err := io.ReadFull(f, head); err != nil {
		return false, nil // shorter than a header
	}
	return string(head) == fileHeader, nil
}

// readAll reads a regular file of at most limit bytes.
func readAll(path string, limit int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > limit {
		return nil, fmt.Errorf("%s %w", path, ErrTooLarge)
	}
	return raw, nil
}
