// SPDX-License-Identifier: MPL-2.0

package vault

import (
	"encoding/base64"
	"errors"

	"github.com/zalando/go-keyring"

	"github.com/preezm/preezm/peers/said"
)

// ErrNoKeychain: the system offers no keychain to this program.
var ErrNoKeychain = said.Error("no-keychain", "this machine offers no keychain here: use a passphrase or a key file")

// Keychain keeps small secrets for a user who is logged in.
type Keychain interface {
	Get(ref string) ([]byte, error)
	Set(ref string, key []byte) error
	Delete(ref string) error // none there is no error
}

// service is the name under which people find our entries in their keychain.
const service = "Preezm"

// System is the system's keychain: Keychain on macOS, Credential Manager on
// Windows, the Secret Service elsewhere.
type System struct{}

// Get reads a key. Text, since not every keychain takes bytes.
func (System) Get(ref string) ([]byte, error) {
	if !reachable() {
		return nil, ErrNoKeychain
	}
	text, err := keyring.Get(service, ref)
	if errors.Is(err, keyring.ErrNotFound) {
		return nil, ErrKeyGone
	}
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != keySize {
		return nil, ErrKeyGone
	}
	return key, nil
}

// Set keeps a key.
func (System) Set(ref string, key []byte) error {
	if !reachable() {
		return ErrNoKeychain
	}
	return keyring.Set(service, ref, base64.StdEncoding.EncodeToString(key))
}

// Delete forgets a key.
func (System) Delete(ref string) error {
	if !reachable() {
		return ErrNoKeychain
	}
	err := keyring.Delete(service, ref)
	if errors.Is(err, keyring.ErrNotFound) {
		return nil
	}
	return err
}

// Works tells whether a keychain keeps what it is given: some take it and do
// not, and many machines have none.
func Works(k Keychain) bool {
	if k == nil {
		return false
	}
	const ref = "trial"
	key := make([]byte, keySize)
	if err := k.Set(ref, key); err != nil {
		return false
	}
	_, err := k.Get(ref)
	return errors.Join(err, k.Delete(ref)) == nil
}
