// SPDX-License-Identifier: MPL-2.0

// Package vaulttest lets tests look into a home that a key file opens, and
// stands in for the system's keychain.
package vaulttest

import (
	"sync"
	"testing"

	"github.com/preezm/preezm/peers/vault"
)

// Boxes opens both parts of the home in dir.
func Boxes(t testing.TB, dir string) map[vault.Part]*vault.Box {
	t.Helper()
	v, err := vault.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	boxes, err := v.Unlock(nil, vault.Parts...)
	if err != nil {
		t.Fatal(err)
	}
	return boxes
}

// Keychain is a keychain in memory.
type Keychain struct {
	mu   sync.Mutex
	keys map[string][]byte
	// Err, when set, is what every call fails with.
	Err error
}

// Get reads a key.
func (k *Keychain) Get(ref string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.Err != nil {
		return nil, k.Err
	}
	key, ok := k.keys[ref]
	if !ok {
		return nil, vault.ErrKeyGone
	}
	return append([]byte(nil), key...), nil
}

// Set keeps a key.
func (k *Keychain) Set(ref string, key []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.Err != nil {
		return k.Err
	}
	if k.keys == nil {
		k.keys = map[string][]byte{}
	}
	k.keys[ref] = append([]byte(nil), key...)
	return nil
}

// Delete forgets a key.
func (k *Keychain) Delete(ref string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.keys, ref)
	return k.Err
}

// Len is how many keys it keeps.
func (k *Keychain) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.keys)
}
