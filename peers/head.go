// SPDX-License-Identifier: MPL-2.0

package peers

import "errors"

// MaxHead is the largest head a keeper takes, in bytes.
const MaxHead = 16 << 10

// ErrStale: the other side has a newer one already.
var ErrStale = errors.New("has a newer one already")

// Locator is the name under which keepers hold the heads of one person's
// catalog backups. Only that person can know it.
type Locator [32]byte

// Head is the sealed head of a catalog backup as a keeper holds it: which of
// the person's machines wrote it, and its number among those of that machine.
type Head struct {
	Device DeviceID `cbor:"1,keyasint"`
	Number uint64   `cbor:"2,keyasint"`
	Sealed []byte   `cbor:"3,keyasint"`
	Oldest uint64   `cbor:"4,keyasint"` // the oldest number that is still held of that machine
}
