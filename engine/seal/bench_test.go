// SPDX-License-Identifier: MPL-2.0

package seal

import (
	"strconv"
	"testing"
)

var benchSizes = []int{10 << 10, 1 << 20}

func BenchmarkSeal(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(strconv.Itoa(n>>10)+"KiB", func(b *testing.B) {
			key, ad, plain := NewKey(), make([]byte, 48), make([]byte, n)
			dst := make([]byte, 0, SealedLen(n))
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				Seal(dst, key, ad, plain)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(strconv.Itoa(n>>10)+"KiB", func(b *testing.B) {
			key, ad := NewKey(), make([]byte, 48)
			sealed := Seal(nil, key, ad, make([]byte, n))
			dst := make([]byte, 0, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Open(dst, key, ad, sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCommit(b *testing.B) {
	key := NewKey()
	b.ReportAllocs()
	for b.Loop() {
		Commit(key)
	}
}
