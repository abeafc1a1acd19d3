// SPDX-License-Identifier: MPL-2.0

package erasure

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/zeebo/blake3"
)

// specified computes a root word by word from docs/formats.md.
func specified(shard []byte) Root {
	material := binary.LittleEndian.AppendUint64(nil, uint64(len(shard)))
	for leaf := range slices.Chunk(shard, LeafSize) {
		sum := blake3.Sum256(leaf)
		material = append(material, sum[:]...)
	}
	var out Root
	blake3.DeriveKey("preezm/v1/shard-root", material, out[:])
	return out
}

var sizes = []int{0, 1, 1024, 1025, LeafSize - 1, LeafSize, LeafSize + 1, 3*LeafSize - 7, 3 * LeafSize, 1 << 20, 4<<20 - 1, 4 << 20}

func TestShardRoot(t *testing.T) {
	for _, n := range sizes {
		shard := pseudo(uint64(n), n)
		want := specified(shard)
		if got := ShardRoot(shard); got != want {
			t.Errorf("%d bytes: root %v, specified %v", n, got, want)
		}
		leaves := Leaves(nil, shard)
		if len(leaves) != LeafCount(int64(n)) {
			t.Errorf("%d bytes: %d leaves, LeafCount says %d", n, len(leaves), LeafCount(int64(n)))
		}
		if got := RootOfLeaves(int64(n), leaves); got != want {
			t.Errorf("%d bytes: root of the leaves %v, want %v", n, got, want)
		}
		if got := Leaves([][32]byte{{1}}, shard); got[0] != [32]byte{1} || !slices.Equal(got[1:], leaves) {
			t.Errorf("%d bytes: Leaves does not append", n)
		}
	}
}

func TestLeafCount(t *testing.T) {
	for size, want := range map[int64]int{-1: 0, 0: 0, 1: 1, LeafSize: 1, LeafSize + 1: 2, 4 << 20: 64} {
		if got := LeafCount(size); got != want {
			t.Errorf("LeafCount(%d) = %d, want %d", size, got, want)
		}
	}
}

func TestTreeHasherAnyPieces(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	h := NewTreeHasher()
	for _, n := range sizes {
		for _, step := range []int{LeafSize, 256 << 10, 70_000, 9000} {
			shard := pseudo(uint64(n), n)
			h.Reset()
			for left := shard; len(left) > 0; {
				m := min(len(left), step)
				if step == 9000 {
					m = rnd.IntN(m + 1) // at times nothing
				}
				if w, err := h.Write(left[:m]); w != m || err != nil {
					t.Fatalf("Write: %d, %v", w, err)
				}
				left = left[m:]
			}
			if h.Size() != int64(n) {
				t.Errorf("%d bytes counted as %d", n, h.Size())
			}
			root, leaves := h.Sum()
			if root != ShardRoot(shard) || !slices.Equal(leaves, Leaves(nil, shard)) {
				t.Errorf("%d bytes in steps of %d: wrong", n, step)
			}
		}
	}
}

func TestTreeHasherLeavesSurviveReset(t *testing.T) {
	h := NewTreeHasher()
	h.Write(pseudo(1, 3*LeafSize))
	_, leaves := h.Sum()
	before := slices.Clone(leaves)
	h.Reset()
	h.Write(pseudo(2, 3*LeafSize))
	h.Sum()
	if !slices.Equal(leaves, before) {
		t.Error("Reset changed leaves already handed out")
	}
}

// The root tells shards apart that have bytes or leaves in common.
func TestRootBindsBytesLengthAndOrder(t *testing.T) {
	shard := pseudo(1, 3*LeafSize)
	seen := map[Root]string{}
	add := func(name string, r Root) {
		t.Helper()
		if other, twice := seen[r]; twice {
			t.Errorf("%s has the root of %s", name, other)
		}
		seen[r] = name
	}
	add("the shard", ShardRoot(shard))
	add("without its last byte", ShardRoot(shard[:len(shard)-1]))
	add("without its last leaf", ShardRoot(shard[:2*LeafSize]))
	add("with a zero more", ShardRoot(append(bytes.Clone(shard), 0)))
	add("exchanged leaves", ShardRoot(slices.Concat(shard[LeafSize:2*LeafSize], shard[:LeafSize], shard[2*LeafSize:])))
	for _, at := range []int{0, LeafSize - 1, LeafSize, len(shard) - 1} {
		bad := bytes.Clone(shard)
		bad[at] ^= 1
		add("a changed byte", ShardRoot(bad))
	}
	leaves := Leaves(nil, shard)
	add("another length", RootOfLeaves(int64(len(shard))-1, leaves))
	add("a leaf less", RootOfLeaves(int64(len(shard)), leaves[:2]))
	add("a leaf more", RootOfLeaves(int64(len(shard)), append(slices.Clone(leaves), [32]byte{})))
	add("nothing", ShardRoot(nil))
	// A shard that consists of the material of a root is no second preimage.
	material := binary.LittleEndian.AppendUint64(nil, uint64(len(shard)))
	for _, l := range leaves {
		material = append(material, l[:]...)
	}
	add("the material", ShardRoot(material))
	add("a leaf of the material", Root(Leaves(nil, material)[0]))
}

func TestShardRootConcurrently(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			shard := pseudo(uint64(i), 100_000)
			want := specified(shard)
			for range 20 {
				if ShardRoot(shard) != want || RootOfLeaves(100_000, Leaves(nil, shard)) != want {
					t.Error("wrong root")
				}
			}
		})
	}
	wg.Wait()
}

func FuzzTreeHasher(f *testing.F) {
	f.Add(uint64(1), uint32(200_000), uint32(1000))
	f.Add(uint64(2), uint32(LeafSize), uint32(LeafSize))
	f.Fuzz(func(t *testing.T, seed uint64, size, step uint32) {
		shard := pseudo(seed, int(size%(1<<20)))
		h := NewTreeHasher()
		for piece := range slices.Chunk(shard, int(step%300_000)+1) {
			h.Write(piece)
		}
		if root, leaves := h.Sum(); root != specified(shard) || RootOfLeaves(int64(len(shard)), leaves) != root {
			t.Fatal("wrong root")
		}
	})
}
