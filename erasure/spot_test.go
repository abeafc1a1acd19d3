// SPDX-License-Identifier: MPL-2.0

package erasure

import (
	"testing"

	"github.com/zeebo/blake3"
)

func spotLeaf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func TestSpots(t *testing.T) {
	for _, n := range []int{1, 63, 64, 65, 1023, 1024, 1025, 2048, 3000, 5 * 1024, 33*1024 + 1, LeafSize - 1, LeafSize} {
		leaf := spotLeaf(n)
		want := blake3.Sum256(leaf)
		for i := range SpotCount(int64(n)) {
			_, leafLen, spot, length := SpotPlace(int64(n), i)
			data := leaf[i*SpotSize : i*SpotSize+length]
			proof := ProveSpot(leaf, i)
			if leafLen != n || spot != i || len(proof) != Siblings(n, i) || len(proof) > maxSiblings {
				t.Fatalf("%d bytes, spot %d: %d %d, %d hashes", n, i, leafLen, spot, len(proof))
			}
			if !CheckSpot(n, i, data, proof, want) {
				t.Fatalf("%d bytes, spot %d: refused", n, i)
			}
			bad := append([]byte(nil), data...)
			bad[len(bad)/2] ^= 1
			if CheckSpot(n, i, bad, proof, want) || CheckSpot(n, i+1, data, proof, want) || CheckSpot(n, i, data[:len(data)-1], proof, want) {
				t.Fatalf("%d bytes, spot %d: something false is taken", n, i)
			}
			if len(proof) > 0 {
				proof[0][3] ^= 1
				if CheckSpot(n, i, data, proof, want) || CheckSpot(n, i, data, proof[1:], want) {
					t.Fatalf("%d bytes, spot %d: a false proof is taken", n, i)
				}
			}
		}
	}
}

func TestSpotPlace(t *testing.T) {
	const size = LeafSize + 1500
	if n := SpotCount(size); n != 66 {
		t.Fatal(n)
	}
	if leaf, leafLen, spot, n := SpotPlace(size, 65); leaf != 1 || leafLen != 1500 || spot != 1 || n != 476 {
		t.Errorf("%d %d %d %d", leaf, leafLen, spot, n)
	}
	if SpotCount(0) != 0 {
		t.Error("an empty shard has spots")
	}
}

func FuzzCheckSpot(f *testing.F) {
	f.Add(3000, 1, []byte("x"), []byte("y"))
	f.Fuzz(func(t *testing.T, n, i int, data, hashes []byte) {
		var siblings [][32]byte
		for ; len(hashes) >= 32; hashes = hashes[32:] {
			siblings = append(siblings, [32]byte(hashes[:32]))
		}
		if n >= 0 && n <= LeafSize && CheckSpot(n, i, data, siblings, [32]byte{1}) {
			t.Error("a hash that nobody has was reached")
		}
	})
}

func BenchmarkProveSpot(b *testing.B) {
	leaf := spotLeaf(LeafSize)
	b.SetBytes(LeafSize)
	for b.Loop() {
		ProveSpot(leaf, 17)
	}
}
