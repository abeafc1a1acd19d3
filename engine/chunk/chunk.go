// SPDX-License-Identifier: MPL-2.0

// Package chunk cuts a file where its content says, names the pieces and
// squeezes them: three small tools the engine puts in a row.
//
// Cuts and names both depend on secrets of the owner. Unkeyed cuts would let a
// keeper recognise a known file by the lengths of its chunks, and unkeyed
// names would let it confirm a guess; keyed ones find duplicates among one
// owner's files and tell everybody else nothing.
//
// The package is pure: no disk, no network. docs/formats.md describes cuts and
// names, testdata/cuts.json pins them: if either changed, every file kept so
// far would be stored once more.
package chunk

import (
	"encoding/hex"
	"errors"
)

// The limits of a chunk in bytes. A file shorter than Min is one chunk, and
// the last chunk of a file may be shorter.
const (
	Min = 256 << 10
	Avg = 1 << 20
	// Max leaves room for the tags of a sealed chunk in a 4 MiB shard.
	Max = 4<<20 - 64<<10
)

// ErrCorrupt: compressed bytes that do not decompress to the length expected.
var ErrCorrupt = errors.New("chunk: corrupt compressed data")

// ID names a chunk among one owner's chunks.
type ID [32]byte

// String gives the ID in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }
