// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/preezm/preezm/peers/vault"
)

// The files of a machine's own keys, in its home.
const (
	SignFile = "device.sign"
	KEMFile  = "device.kem"

	signHeader = "preezm device signing key 1"
	kemHeader  = "preezm device sealing key 1"
)

// Device are a machine's own keys, random and its alone: nothing that its owner
// holds leads to them. They are not its TLS key, which brands must not be able
// to link to a document.
type Device struct {
	Sign ed25519.PrivateKey // signs for the owner once certified, and a custodian's log
	KEM  hpke.PrivateKey    // X-Wing: what is sealed to this machine opens with it
}

// OpenDevice reads a machine's keys in box, in the home dir, and makes what is
// missing.
// The caller holds the home's lock. ErrFormat when a file is something else: it
// is not made anew, since documents name the key that was there.
func OpenDevice(box *vault.Box, dir string) (Device, error) {
	var d Device
	seed, err := deviceSeed(box, filepath.Join(dir, SignFile), signHeader)
	if err != nil {
		return d, err
	}
	d.Sign = ed25519.NewKeyFromSeed(seed)
	if seed, err = deviceSeed(box, filepath.Join(dir, KEMFile), kemHeader); err != nil {
		return d, err
	}
	if d.KEM, err = hpke.MLKEM768X25519().NewPrivateKey(seed); err != nil {
		return d, fmt.Errorf("device keys: %w", err)
	}
	return d, nil
}

// deviceSeed reads 32 bytes, or draws and writes them.
func deviceSeed(box *vault.Box, path, head string) ([]byte, error) {
	b, err := box.ReadFile(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		seed := make([]byte, 32)
		rand.Read(seed) // crypto/rand.Read never fails
		text := head + "\n" + hex.EncodeToString(seed) + "\n"
		if err := box.Replace(path, []byte(text)); err != nil {
			return nil, fmt.Errorf("write device keys: %w", err)
		}
		return seed, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read device keys: %w", err)
	}
	first, rest, ok := strings.Cut(string(b), "\n")
	seed, err := hex.DecodeString(strings.TrimSuffix(rest, "\n"))
	// The decoder's own error would quote a character of the secret.
	if !ok || first != head || err != nil || len(seed) != 32 {
		return nil, fmt.Errorf("%s: not a device key this program can read: %w", path, ErrFormat)
	}
	return seed, nil
}
