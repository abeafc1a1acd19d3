// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"encoding/binary"
	"errors"
	"slices"
)

// Part is a piece of a file: a chunk, or a run of zero bytes that is stored
// nowhere. Exactly one field is set.
type Part struct {
	Chunk int64 // row of the chunk
	Hole  int64 // bytes
}

// ChunkRows gives the rows of the chunks among parts, in order.
func ChunkRows(parts []Part) []int64 {
	rows := make([]int64, 0, len(parts))
	for _, p := range parts {
		if p.Chunk != 0 {
			rows = append(rows, p.Chunk)
		}
	}
	return rows
}

// partsVersion is the first byte of an encoded list that is not empty.
const partsVersion = 1

var errParts = errors.New("the list of a file's chunks is damaged in the catalog")

// encodeParts writes the list as a version byte, then for each part a varint:
// twice the chunk's row, or twice the hole's length plus one.
func encodeParts(parts []Part) []byte {
	if len(parts) == 0 {
		return []byte{}
	}
	b := make([]byte, 1, 1+4*len(parts))
	b[0] = partsVersion
	for _, p := range parts {
		if p.Hole > 0 {
			b = binary.AppendUvarint(b, uint64(p.Hole)<<1|1)
		} else {
			b = binary.AppendUvarint(b, uint64(p.Chunk)<<1)
		}
	}
	return b
}

func decodeParts(b []byte) ([]Part, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if b[0] != partsVersion {
		return nil, errParts
	}
	b = b[1:]
	var parts []Part
	for len(b) > 0 {
		v, n := binary.Uvarint(b)
		if n <= 0 || v < 2 {
			return nil, errParts
		}
		if v&1 == 1 {
			parts = append(parts, Part{Hole: int64(v >> 1)})
		} else {
			parts = append(parts, Part{Chunk: int64(v >> 1)})
		}
		b = b[n:]
	}
	return parts, nil
}

// SameParts tells whether two lists name the same content.
func SameParts(a, b []Part) bool { return slices.Equal(a, b) }
