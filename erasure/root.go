// SPDX-License-Identifier: MPL-2.0

package erasure

import (
	"encoding/binary"
	"encoding/hex"
	"sync"

	"github.com/zeebo/blake3"
)

// LeafSize is the length in bytes of a leaf of a shard's hash tree; the last
// one may be shorter. A range read and its check touch whole leaves, an audit
// fetches one.
const LeafSize = 64 << 10

// rootContext separates the hash of the leaves from every other hash in use:
// a root can never be taken for a leaf or for a chunk name.
const rootContext = "preezm/v1/shard-root"

// Root is the top of a shard's hash tree. It binds every byte of the shard
// and its length.
type Root [32]byte

// String gives the root in hexadecimal.
func (r Root) String() string { return hex.EncodeToString(r[:]) }

// LeafCount is the number of leaves of a shard of size bytes; an empty shard
// has none.
func LeafCount(size int64) int {
	if size <= 0 {
		return 0
	}
	return int((size-1)/LeafSize + 1)
}

// ShardRoot computes the root of a shard that is in memory.
func ShardRoot(shard []byte) Root {
	h := hashers.Get().(*hasherPair)
	defer hashers.Put(h)
	h.begin(int64(len(shard)))
	for len(shard) > 0 {
		n := min(len(shard), LeafSize)
		leaf := h.leafOf(shard[:n])
		h.root.Write(leaf[:])
		shard = shard[n:]
	}
	return h.end()
}

// Leaves appends the hashes of the leaves of a shard to dst.
func Leaves(dst [][32]byte, shard []byte) [][32]byte {
	h := hashers.Get().(*hasherPair)
	defer hashers.Put(h)
	for len(shard) > 0 {
		n := min(len(shard), LeafSize)
		dst = append(dst, h.leafOf(shard[:n]))
		shard = shard[n:]
	}
	return dst
}

// RootOfLeaves computes the root of a shard of size bytes from the hashes of
// its leaves. A root is only reached with LeafCount(size) of them: whoever
// takes leaves from a stranger compares the result with a root from the
// catalog, and then knows all of them to be right.
func RootOfLeaves(size int64, leaves [][32]byte) Root {
	h := hashers.Get().(*hasherPair)
	defer hashers.Put(h)
	h.begin(size)
	for i := range leaves {
		h.root.Write(leaves[i][:])
	}
	return h.end()
}

// hasherPair is the working memory of one computation: two BLAKE3 states of
// 11 KiB each, too big to make anew for every shard.
type hasherPair struct {
	leaf *blake3.Hasher
	root *blake3.Hasher
	sum  [32]byte
}

var hashers = sync.Pool{New: func() any { return newHasherPair() }}

func newHasherPair() *hasherPair {
	return &hasherPair{leaf: blake3.New(), root: blake3.NewDeriveKey(rootContext)}
}

func (h *hasherPair) begin(size int64) {
	h.root.Reset()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(size))
	h.root.Write(b[:])
}

func (h *hasherPair) end() Root {
	h.root.Sum(h.sum[:0])
	return Root(h.sum)
}

func (h *hasherPair) leafOf(b []byte) [32]byte {
	h.leaf.Reset()
	h.leaf.Write(b)
	h.leaf.Sum(h.sum[:0])
	return h.sum
}

// TreeHasher computes the leaves and the root of a shard that comes in
// pieces. It is an io.Writer that never fails, for one goroutine. Writes that
// are multiples of LeafSize are hashed where they are, without a copy.
type TreeHasher struct {
	h      *hasherPair
	size   int64
	fill   int // bytes in the leaf begun
	leaves [][32]byte
}

// NewTreeHasher makes a TreeHasher; it may be used again after Reset.
func NewTreeHasher() *TreeHasher { return &TreeHasher{h: newHasherPair()} }

// Reset forgets everything written. Leaves handed out by Sum stay valid.
func (t *TreeHasher) Reset() {
	t.size, t.fill, t.leaves = 0, 0, nil
	t.h.leaf.Reset()
}

// Size is the number of bytes written since Reset.
func (t *TreeHasher) Size() int64 { return t.size }

// Write adds p to the shard. It always returns len(p), nil.
func (t *TreeHasher) Write(p []byte) (int, error) {
	total := len(p)
	t.size += int64(total)
	for len(p) > 0 {
		n := min(len(p), LeafSize-t.fill)
		t.h.leaf.Write(p[:n])
		p = p[n:]
		if t.fill += n; t.fill == LeafSize {
			t.closeLeaf()
		}
	}
	return total, nil
}

func (t *TreeHasher) closeLeaf() {
	t.h.leaf.Sum(t.h.sum[:0])
	t.leaves = append(t.leaves, t.h.sum)
	t.h.leaf.Reset()
	t.fill = 0
}

// Sum ends the shard and returns its root and the hashes of its leaves. Only
// Reset may follow.
func (t *TreeHasher) Sum() (Root, [][32]byte) {
	if t.fill > 0 {
		t.closeLeaf()
	}
	t.h.begin(t.size)
	for i := range t.leaves {
		t.h.root.Write(t.leaves[i][:])
	}
	return t.h.end(), t.leaves
}
