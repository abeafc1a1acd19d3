// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

// keep fills a catalog with n files of one chunk each, chunks 1 to n.
func keep(t testing.TB, c *Catalog, n int) (ids []int64) {
	t.Helper()
	var files []*Version
	for i := range n {
		ids = append(ids, int64(i+1))
		files = append(files, file(fmt.Sprintf("a/%06d", i), int64(i+1)))
	}
	fill(t, c, 1, ids, files...)
	return ids
}

func TestChunksManyAtOnce(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "catalog.db"))
	ids := keep(t, c, 2*chunksPerQuery+5)
	for _, n := range []int{0, 1, 2, chunksPerQuery, chunksPerQuery + 1, len(ids)} {
		ask := append(slices.Clone(ids[:n]), ids[:n]...) // one twice is one
		got, err := c.Chunks(t.Context(), ask)
		if err != nil || len(got) != n {
			t.Fatalf("%d chunks: %d came, %v", n, len(got), err)
		}
		for _, id := range ids[:n] {
			if got[id].ID != id || got[id].Segment != 1 {
				t.Fatalf("chunk %d is %+v", id, got[id])
			}
		}
	}
	for _, at := range []int{0, chunksPerQuery, len(ids)} {
		if _, err := c.Chunks(t.Context(), slices.Insert(slices.Clone(ids), at, 1<<40)); !errors.Is(err, ErrGone) {
			t.Errorf("a chunk that is not there, at %d: %v", at, err)
		}
	}
}

func BenchmarkChunks(b *testing.B) {
	c := open(b, filepath.Join(b.TempDir(), "catalog.db"))
	ids := keep(b, c, 1024)
	for _, n := range []int{1, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Chunks(b.Context(), ids[:n]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBelow(b *testing.B) {
	c := open(b, filepath.Join(b.TempDir(), "catalog.db"))
	const files = 10_000
	keep(b, c, files)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if err := c.Below(b.Context(), "a", func(*Version) error { n++; return nil }); err != nil || n != files {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/files, "ns/file")
}

func BenchmarkFind(b *testing.B) {
	c := open(b, filepath.Join(b.TempDir(), "catalog.db"))
	ids := keep(b, c, 1024)
	rows, err := c.Chunks(b.Context(), ids)
	if err != nil {
		b.Fatal(err)
	}
	f, err := c.NewFinder(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for _, hold := range []bool{false, true} {
		b.Run(fmt.Sprint("hold=", hold), func(b *testing.B) {
			if err := f.Hold(hold); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if id, err := f.Find(rows[ids[i%len(ids)]].Name); err != nil || id == 0 {
					b.Fatal(id, err)
				}
				i++
			}
		})
	}
}
