// SPDX-License-Identifier: MPL-2.0

package erasure

import (
	"encoding/binary"
	"math/bits"
)

// SpotSize is how much of a shard a spot check asks for, in bytes. BLAKE3
// itself is a tree over pieces of this length, so that a leaf's hash proves
// one of them with at most six hashes: 1.2 KiB travel in place of a leaf's
// 64 KiB, and nothing more is stored.
const SpotSize = 1024

// maxSiblings is the height of a leaf's tree.
const maxSiblings = 6

// SpotCount is the number of spots in a shard of size bytes.
func SpotCount(size int64) int {
	if size <= 0 {
		return 0
	}
	return int((size-1)/SpotSize + 1)
}

// SpotPlace tells where spot i of a shard of size bytes is: in which leaf, the
// leaf's length, which spot of the leaf, and the spot's length.
func SpotPlace(size int64, i int) (leaf, leafLen, spot, spotLen int) {
	leaf = i / (LeafSize / SpotSize)
	leafLen = int(min(LeafSize, size-int64(leaf)*LeafSize))
	spot = i % (LeafSize / SpotSize)
	return leaf, leafLen, spot, min(SpotSize, leafLen-spot*SpotSize)
}

// Siblings is how many hashes prove one spot of a leaf of leafLen bytes.
func Siblings(leafLen, spot int) int {
	n := SpotCount(int64(leafLen))
	height := 0
	for lo, hi := 0, n; hi-lo > 1; height++ {
		if mid := lo + leftOf(hi-lo); spot < mid {
			hi = mid
		} else {
			lo = mid
		}
	}
	return height
}

// ProveSpot gives the hashes that lead from a spot of a leaf to the leaf's
// hash, the nearest first.
func ProveSpot(leaf []byte, spot int) [][32]byte {
	var out [][32]byte
	var walk func(lo, hi int)
	walk = func(lo, hi int) {
		if hi-lo <= 1 {
			return
		}
		mid := lo + leftOf(hi-lo)
		if spot < mid {
			walk(lo, mid)
			out = append(out, subtree(leaf, mid, hi))
			return
		}
		walk(mid, hi)
		out = append(out, subtree(leaf, lo, mid))
	}
	walk(0, SpotCount(int64(len(leaf))))
	return out
}

// CheckSpot tells whether data is the given spot of the leaf with that length
// and hash.
func CheckSpot(leafLen, spot int, data []byte, siblings [][32]byte, leaf [32]byte) bool {
	n := SpotCount(int64(leafLen))
	if spot < 0 || spot >= n || len(data) != min(SpotSize, leafLen-spot*SpotSize) || len(siblings) != Siblings(leafLen, spot) {
		return false
	}
	if n == 1 {
		return chunkValue(data, 0, flagRoot) == leaf
	}
	// From the top down: on which side the spot is.
	var right [maxSiblings + 1]bool
	depth := 0
	for lo, hi := 0, n; hi-lo > 1; depth++ {
		if mid := lo + leftOf(hi-lo); spot < mid {
			hi = mid
		} else {
			lo, right[depth] = mid, true
		}
	}
	v := chunkValue(data, uint64(spot), 0)
	for i, s := range siblings {
		level := depth - 1 - i
		flags := uint32(0)
		if level == 0 {
			flags = flagRoot
		}
		if right[level] {
			v = parentValue(s, v, flags)
		} else {
			v = parentValue(v, s, flags)
		}
	}
	return v == leaf
}

// leftOf is the number of chunks in the left part of a tree of n: the largest
// power of two below n.
func leftOf(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

// subtree is the chaining value of some chunks of a leaf, which are not all.
func subtree(leaf []byte, lo, hi int) [32]byte {
	if hi-lo == 1 {
		return chunkValue(leaf[lo*SpotSize:min(len(leaf), hi*SpotSize)], uint64(lo), 0)
	}
	mid := lo + leftOf(hi-lo)
	return parentValue(subtree(leaf, lo, mid), subtree(leaf, mid, hi), 0)
}

// The rest is BLAKE3's compression function, as its paper has it (2020, section
// 2.2): the libraries in use do not give out the values inside the tree. It
// is used for spot checks only; a test holds it against the library.
const (
	flagChunkStart = 1 << iota
	flagChunkEnd
	flagParent
	flagRoot

	blockLen = 64
)

var initial = [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}

func chunkValue(data []byte, counter uint64, flags uint32) [32]byte {
	cv := initial
	for at := 0; ; at += blockLen {
		var block [blockLen]byte
		n := copy(block[:], data[at:])
		f := uint32(0)
		if at == 0 {
			f |= flagChunkStart
		}
		last := at+blockLen >= len(data)
		if last {
			f |= flagChunkEnd | flags
		}
		cv = compress(&cv, &block, counter, uint32(n), f)
		if last {
			return bytesOf(&cv)
		}
	}
}

func parentValue(left, right [32]byte, flags uint32) [32]byte {
	var block [blockLen]byte
	copy(block[:32], left[:])
	copy(block[32:], right[:])
	cv := compress(&initial, &block, 0, blockLen, flagParent|flags)
	return bytesOf(&cv)
}

func bytesOf(cv *[8]uint32) (out [32]byte) {
	for i, w := range cv {
		binary.LittleEndian.PutUint32(out[4*i:], w)
	}
	return out
}

func compress(cv *[8]uint32, block *[blockLen]byte, counter uint64, length, flags uint32) [8]uint32 {
	var m [16]uint32
	for i := range m {
		m[i] = binary.LittleEndian.Uint32(block[4*i:])
	}
	v := [16]uint32{
		cv[0], cv[1], cv[2], cv[3], cv[4], cv[5], cv[6], cv[7],
		initial[0], initial[1], initial[2], initial[3], uint32(counter), uint32(counter >> 32), length, flags,
	}
	g := func(a, b, c, d int, x, y uint32) {
		v[a] += v[b] + x
		v[d] = bits.RotateLeft32(v[d]^v[a], -16)
		v[c] += v[d]
		v[b] = bits.RotateLeft32(v[b]^v[c], -12)
		v[a] += v[b] + y
		v[d] = bits.RotateLeft32(v[d]^v[a], -8)
		v[c] += v[d]
		v[b] = bits.RotateLeft32(v[b]^v[c], -7)
	}
	for round := 0; ; round++ {
		g(0, 4, 8, 12, m[0], m[1])
		g(1, 5, 9, 13, m[2], m[3])
		g(2, 6, 10, 14, m[4], m[5])
		g(3, 7, 11, 15, m[6], m[7])
		g(0, 5, 10, 15, m[8], m[9])
		g(1, 6, 11, 12, m[10], m[11])
		g(2, 7, 8, 13, m[12], m[13])
		g(3, 4, 9, 14, m[14], m[15])
		if round == 6 {
			break
		}
		m = [16]uint32{m[2], m[6], m[3], m[10], m[7], m[0], m[4], m[13], m[1], m[11], m[12], m[5], m[9], m[14], m[15], m[8]}
	}
	var out [8]uint32
	for i := range out {
		out[i] = v[i] ^ v[i+8]
	}
	return out
}
