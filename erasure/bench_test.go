// SPDX-License-Identifier: MPL-2.0

package erasure

import (
	"testing"
)

const shard4M = 4 << 20

func BenchmarkShardRoot4M(b *testing.B) {
	shard := pseudo(1, shard4M)
	b.SetBytes(shard4M)
	b.ReportAllocs()
	for b.Loop() {
		ShardRoot(shard)
	}
}

func BenchmarkShardRoot64K(b *testing.B) {
	shard := pseudo(1, LeafSize)
	b.SetBytes(LeafSize)
	b.ReportAllocs()
	for b.Loop() {
		ShardRoot(shard)
	}
}

func BenchmarkTreeHasher4M(b *testing.B) {
	shard := pseudo(1, shard4M)
	h := NewTreeHasher()
	b.SetBytes(shard4M)
	b.ReportAllocs()
	for b.Loop() {
		h.Reset()
		for p := shard; len(p) > 0; p = p[256<<10:] {
			h.Write(p[:256<<10])
		}
		h.Sum()
	}
}

// Bytes are those of the segment: 3 x 4 MiB.
func BenchmarkEncode3of5(b *testing.B) {
	shards, c := benchSet(b)
	b.SetBytes(3 * shard4M)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Encode(shards); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReconstructData3of5(b *testing.B) {
	shards, c := benchSet(b)
	if err := c.Encode(shards); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(3 * shard4M)
	b.ReportAllocs()
	for b.Loop() {
		shards[0], shards[2] = shards[0][:0], shards[2][:0]
		if err := c.ReconstructData(shards); err != nil {
			b.Fatal(err)
		}
	}
}

func benchSet(b *testing.B) ([][]byte, *Codec) {
	b.Helper()
	c, err := New(Geometry{K: 3, N: 5})
	if err != nil {
		b.Fatal(err)
	}
	shards := make([][]byte, 5)
	for i := range shards {
		shards[i] = pseudo(uint64(i), shard4M)
	}
	return shards, c
}
