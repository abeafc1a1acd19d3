// SPDX-License-Identifier: MPL-2.0

package depot

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/zeebo/blake3"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
)

// HeaderSize is the block in front of every shard's body, in bytes. One page,
// so that the body starts aligned.
const HeaderSize = 4096

// The header block, all numbers little-endian. docs/formats.md describes it
// for people; change both.
const (
	headerMagic   = "PRZSHARD"
	headerVersion = 1
	headerContext = "preezm/v1/shard-header"

	maxLeaves = peers.MaxShard / erasure.LeafSize

	offVersion  = 8    // u32
	offCount    = 12   // u32: number of leaves
	offID       = 16   // 32 bytes
	offOwner    = 48   // 32 bytes
	offRoot     = 80   // 32 bytes
	offSize     = 112  // u64: bytes of the body
	offStored   = 120  // u64: Unix seconds
	offLeaves   = 128  // up to 64 x 32 bytes, rest zero
	offChecksum = 4064 // 32 bytes: BLAKE3 (derive-key) of everything before it
)

// Header is what a shard file says of its body.
type Header struct {
	ID     peers.ShardID
	Owner  peers.DeviceID
	Root   erasure.Root // of the body's hash tree
	Size   int64        // of the body, bytes
	Stored int64        // when it came, Unix seconds
	// Leaves are the hashes of the body's 64 KiB leaves: a range can be
	// checked, and an audit answered, without reading the whole shard.
	Leaves [][32]byte
}

// checkSize tells whether a shard may have this size.
func checkSize(size int64) error {
	if size < 1 || size > peers.MaxShard {
		return fmt.Errorf("shard of %d bytes, allowed are 1 to %d", size, peers.MaxShard)
	}
	return nil
}

// checkers lends BLAKE3 states, 11 KiB each, for the checksum of the block.
var checkers = sync.Pool{New: func() any { return blake3.NewDeriveKey(headerContext) }}

func checksum(block *[HeaderSize]byte) (sum [32]byte) {
	h := checkers.Get().(*blake3.Hasher)
	defer checkers.Put(h)
	h.Reset()
	h.Write(block[:offChecksum])
	h.Sum(sum[:0])
	return sum
}

// Encode writes the block. It fails when the header contradicts itself, which
// only a mistake in this program can cause.
func (h *Header) Encode(block *[HeaderSize]byte) error {
	if err := h.check(); err != nil {
		return err
	}
	clear(block[:])
	copy(block[:], headerMagic)
	binary.LittleEndian.PutUint32(block[offVersion:], headerVersion)
	binary.LittleEndian.PutUint32(block[offCount:], uint32(len(h.Leaves)))
	copy(block[offID:], h.ID[:])
	copy(block[offOwner:], h.Owner[:])
	copy(block[offRoot:], h.Root[:])
	binary.LittleEndian.PutUint64(block[offSize:], uint64(h.Size))
	binary.LittleEndian.PutUint64(block[offStored:], uint64(h.Stored))
	for i := range h.Leaves {
		copy(block[offLeaves+32*i:], h.Leaves[i][:])
	}
	sum := checksum(block)
	copy(block[offChecksum:], sum[:])
	return nil
}

// DecodeHeader reads a block strictly: there is exactly one block for each
// header, and any changed bit is peers.ErrDamaged. A sound block of a later
// version is ErrNewer; every version keeps magic, version and checksum where
// they are.
func DecodeHeader(block *[HeaderSize]byte) (*Header, error) {
	if string(block[:len(headerMagic)]) != headerMagic {
		return nil, fmt.Errorf("shard header: no magic: %w", peers.ErrDamaged)
	}
	if checksum(block) != [32]byte(block[offChecksum:]) {
		return nil, fmt.Errorf("shard header: checksum: %w", peers.ErrDamaged)
	}
	switch v := binary.LittleEndian.Uint32(block[offVersion:]); {
	case v > headerVersion:
		return nil, fmt.Errorf("shard header: version %d: %w", v, ErrNewer)
	case v != headerVersion:
		return nil, fmt.Errorf("shard header: version %d: %w", v, peers.ErrDamaged)
	}
	h := &Header{
		ID:     peers.ShardID(block[offID:]),
		Owner:  peers.DeviceID(block[offOwner:]),
		Root:   erasure.Root(block[offRoot:]),
		Size:   int64(binary.LittleEndian.Uint64(block[offSize:])),
		Stored: int64(binary.LittleEndian.Uint64(block[offStored:])),
	}
	n := binary.LittleEndian.Uint32(block[offCount:])
	if n > maxLeaves {
		return nil, fmt.Errorf("shard header: %d leaves: %w", n, peers.ErrDamaged)
	}
	h.Leaves = make([][32]byte, n)
	for i := range h.Leaves {
		h.Leaves[i] = [32]byte(block[offLeaves+32*i:])
	}
	for _, b := range block[offLeaves+32*n : offChecksum] {
		if b != 0 {
			return nil, fmt.Errorf("shard header: padding: %w", peers.ErrDamaged)
		}
	}
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("shard header: %w: %w", err, peers.ErrDamaged)
	}
	return h, nil
}

// check looks for contradictions between the fields.
func (h *Header) check() error {
	if err := checkSize(h.Size); err != nil {
		return err
	}
	if h.Stored < 0 {
		return fmt.Errorf("stored at %d", h.Stored)
	}
	if len(h.Leaves) != erasure.LeafCount(h.Size) {
		return fmt.Errorf("%d leaves for %d bytes", len(h.Leaves), h.Size)
	}
	if erasure.RootOfLeaves(h.Size, h.Leaves) != h.Root {
		return fmt.Errorf("leaves do not lead to the root")
	}
	return nil
}
