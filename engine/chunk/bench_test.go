// SPDX-License-Identifier: MPL-2.0

package chunk

import (
	"bytes"
	"io"
	"testing"
)

func BenchmarkSplit64M(b *testing.B) { split(b, 64<<20, func(*Splitter) {}) }

// split measures cuts of data of this size; each is called after each chunk.
func split(b *testing.B, size int, each func(*Splitter)) {
	data := pseudo(1, size)
	s, err := NewSplitter([32]byte{1})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		s.Reset(bytes.NewReader(data))
		for {
			if _, err := s.Next(); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
			each(s)
		}
	}
}

func BenchmarkName(b *testing.B) {
	for _, bm := range []struct {
		name string
		size int
	}{{"10KiB", 10 << 10}, {"1MiB", 1 << 20}} {
		b.Run(bm.name, func(b *testing.B) {
			data := pseudo(1, bm.size)
			n := NewNamer([32]byte{1})
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				n.Name(data)
			}
		})
	}
}

func BenchmarkCompress(b *testing.B) {
	for _, bm := range []struct {
		name string
		data []byte
	}{
		{"random1MiB", pseudo(1, 1<<20)},
		{"prose10KiB", prose(1, 10<<10)},
		{"prose1MiB", prose(1, 1<<20)},
		{"prose4MiB", prose(1, 4<<20)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			var dst []byte
			b.SetBytes(int64(len(bm.data)))
			b.ReportAllocs()
			for b.Loop() {
				dst, _ = compress(dst[:0], bm.data)
			}
			b.ReportMetric(float64(len(dst))/float64(len(bm.data)), "ratio")
		})
	}
}

func BenchmarkDecompress1M(b *testing.B) {
	plain := prose(1, 1<<20)
	packed, ok := compress(nil, plain)
	if !ok {
		b.Fatal("did not shrink")
	}
	dst := make([]byte, 0, len(plain))
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decompress(dst, packed, len(plain)); err != nil {
			b.Fatal(err)
		}
	}
}

// A file of which nothing is known any more: the dearest case, of which a put
// tries sixteen chunks.
func BenchmarkSooner16M(b *testing.B) {
	split(b, 16<<20, func(s *Splitter) { s.Sooner(func([]byte) bool { return false }) })
}
