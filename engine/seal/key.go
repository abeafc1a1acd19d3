// SPDX-License-Identifier: MPL-2.0

// Package seal encrypts one message (a chunk, a manifest) under a key of its
// own, in frames of 64 KiB that can be opened from the middle.
//
// The cipher is AES-256-GCM with STREAM nonces. GCM by itself does not commit
// to its key: a crafted ciphertext can open under two keys to two different
// texts. So the cipher's key and a 32-byte Commitment are both derived from the
// message key, for formats that give one message to several receivers; Open has
// none to compare with. No format of this program needs one yet: a grant signs
// a manifest and a key for one company.
//
// The package is pure and safe for concurrent use. docs/formats.md describes
// the format, testdata/seal.json has vectors for other implementations.
package seal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
)

// KeySize is the length of a Key in bytes.
const KeySize = 32

const (
	labelKey    = "preezm/v1/chunk/key"
	labelCommit = "preezm/v1/chunk/commit"
)

// Key opens one sealed message. It is 32 uniformly random bytes and prints as
// a placeholder, so that no log ever holds one.
type Key [KeySize]byte

// NewKey makes a key from the system's random numbers. It cannot fail: the
// program ends when there are none.
func NewKey() Key {
	var k Key
	rand.Read(k[:])
	return k
}

const hidden = "seal.Key(hidden)"

// Format prints a placeholder, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, hidden) }

// LogValue logs a placeholder.
func (Key) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON refuses: a key goes into no JSON view, log or report.
func (Key) MarshalJSON() ([]byte, error) { return nil, errors.New("seal: a key has no JSON form") }

// Commitment binds a message to its key without telling it: nobody can find
// two keys with the same commitment.
type Commitment [32]byte

// Commit computes the commitment to a key.
func Commit(key Key) Commitment { return Commitment(expand(&key, labelCommit)) }
