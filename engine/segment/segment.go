// SPDX-License-Identifier: MPL-2.0

// Package segment is the geometry of a segment: sealed chunks lie side by
// side in its data area, which is cut into k equal data shards. It says how
// long a shard must be, and which columns of which shards hold a range of the
// data. A column is a run of bytes at the same place in every shard, the unit
// in which erasure coding can rebuild.
package segment

import (
	"math/bits"
	"slices"

	"github.com/preezm/preezm/peers"
)

// MinShard is the shortest shard, in bytes: the padding rule starts there.
const MinShard = 4 << 10

// Capacity is how many bytes of sealed chunks a segment of k data shards
// takes.
func Capacity(k int) int { return k * peers.MaxShard }

// ShardLen is the length of each shard for dataLen bytes over k data shards:
// the even share, padded by Padmé (Nikitin et al., Reducing Metadata Leakage
// from Encrypted Files and Communication with PURBs, 2019) so that it tells
// little of the size, at a cost of 6.25 % at most; at least MinShard, at most
// peers.MaxShard.
func ShardLen(dataLen, k int) int {
	share := (dataLen + k - 1) / k
	return min(Padme(max(share, MinShard)), max(share, peers.MaxShard))
}

// Padme rounds n up to the next size whose binary form has only as many
// significant bits as the length of its exponent.
func Padme(n int) int {
	if n < 2 {
		return n
	}
	e := bits.Len(uint(n)) - 1
	s := bits.Len(uint(e))
	mask := 1<<(e-s) - 1
	return (n + mask) &^ mask
}

// Range is a run of bytes in a segment's data area.
type Range struct{ Off, Len int }

// Unit is a run of columns [Lo, Hi) and the data shards needed there.
type Unit struct {
	Lo, Hi int
	Shards []int
}

// Whole is the unit of a full read.
func Whole(k, shardLen int) Unit {
	u := Unit{0, shardLen, make([]int, k)}
	for i := range u.Shards {
		u.Shards[i] = i
	}
	return u
}

// joinGap: two wanted runs of one shard nearer than this, in bytes, are read
// together, since a request costs more than the bytes between.
const joinGap = 32 << 10

// Units covers the ranges with as few reads as makes sense. When most of the
// segment is wanted it is read whole.
func Units(ranges []Range, k, shardLen int) []Unit {
	wanted := 0
	type piece struct{ shard, lo, hi int }
	var pieces []piece
	for _, r := range ranges {
		wanted += r.Len
		for off, end := r.Off, r.Off+r.Len; off < end; {
			j := off / shardLen
			stop := min(end, (j+1)*shardLen)
			pieces = append(pieces, piece{j, off - j*shardLen, stop - j*shardLen})
			off = stop
		}
	}
	if wanted > k*shardLen/2 {
		return []Unit{Whole(k, shardLen)}
	}
	slices.SortFunc(pieces, func(a, b piece) int {
		if a.shard != b.shard {
			return a.shard - b.shard
		}
		return a.lo - b.lo
	})
	var units []Unit
	for _, p := range pieces {
		if n := len(units); n > 0 && units[n-1].Shards[0] == p.shard && p.lo <= units[n-1].Hi+joinGap {
			units[n-1].Hi = max(units[n-1].Hi, p.hi)
			continue
		}
		units = append(units, Unit{p.lo, p.hi, []int{p.shard}})
	}
	return units
}
