// SPDX-License-Identifier: MPL-2.0

package peers

import (
	"context"
	"encoding/binary"

	"github.com/zeebo/blake3"

	"github.com/preezm/preezm/erasure"
)

// Limits of one audit.
const (
	MaxAudited = 64 // shards
	MaxSpots   = 8  // of each
)

// Nonce makes the spots of an audit unforeseeable.
type Nonce [16]byte

// Finding is what a keeper says of a shard that it is asked to prove.
type Finding uint8

// The findings.
const (
	Proven  Finding = iota // the proof follows
	Lacking                // it does not have the shard
	Broken                 // it has it and found it damaged
)

// Proof is a keeper's answer for one shard: the hashes of all its leaves, and
// for each spot asked for its bytes and the hashes that lead to its leaf's.
type Proof struct {
	Finding Finding
	Leaves  [][32]byte
	Spots   []SpotProof
}

// SpotProof is one spot of a shard.
type SpotProof struct {
	Data     []byte
	Siblings [][32]byte
}

// Auditee is a keeper that can be asked to prove what it holds.
type Auditee interface {
	// AuditShards asks for spots places of each shard, which follow from the
	// nonce. It gives one proof for each shard, not yet checked.
	AuditShards(ctx context.Context, nonce Nonce, ids []ShardID, sizes []int64, spots int) ([]Proof, error)
}

// SpotAt gives the place of the j-th spot asked for of a shard of size bytes.
// Only who knows the nonce can tell it before.
func SpotAt(nonce Nonce, id ShardID, j int, size int64) int {
	h := blake3.NewDeriveKey("preezm/v1/audit")
	h.Write(nonce[:])
	h.Write(id[:])
	h.Write([]byte{byte(j)})
	var sum [32]byte
	h.Sum(sum[:0])
	return int(binary.LittleEndian.Uint64(sum[:]) % uint64(erasure.SpotCount(size)))
}

// Check tells whether a proof shows that its sender has the shard.
func (p *Proof) Check(nonce Nonce, id ShardID, size int64, root Root, spots int) bool {
	if p.Finding != Proven || len(p.Leaves) != erasure.LeafCount(size) || len(p.Spots) != spots || erasure.RootOfLeaves(size, p.Leaves) != root {
		return false
	}
	for j := range p.Spots {
		leaf, leafLen, spot, _ := erasure.SpotPlace(size, SpotAt(nonce, id, j, size))
		if !erasure.CheckSpot(leafLen, spot, p.Spots[j].Data, p.Spots[j].Siblings, p.Leaves[leaf]) {
			return false
		}
	}
	return true
}
