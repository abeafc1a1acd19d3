// SPDX-License-Identifier: MPL-2.0

package depot_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/depot"
)

// manyPuts stores n shards of 4 MiB with the given number of writers. Every
// shard has the same body, which a depot does not care about.
func manyPuts(t testing.TB, d *depot.Depot, b []byte, first uint64, writers, n int) {
	root := erasure.ShardRoot(b)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			r := bytes.NewReader(b)
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				r.Reset(b)
				if err := d.Put(ctx, laptop, spread(first+uint64(i)), root, int64(len(b)), r); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// spread gives IDs over all folders without the cost of random ones.
func spread(i uint64) (id peers.ShardID) {
	binary.LittleEndian.PutUint64(id[:], i)
	return id
}

// TestMemoryStaysFlat: eight puts at once, then as many again; neither the
// heap in use nor what is allocated for each may grow with the shards.
func TestMemoryStaysFlat(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	d := open(t, t.TempDir(), depot.Options{})
	b := body(1, peers.MaxShard)
	manyPuts(t, d, b, 0, 8, 16) // fills the pools

	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const n = 32
	manyPuts(t, d, b, 1000, 8, n)
	runtime.ReadMemStats(&after)
	if each := int64(after.TotalAlloc-before.TotalAlloc) / n; each > 300<<10 {
		// A pool may be emptied by a collection, but not for every put.
		t.Errorf("%d bytes allocated for each put of 4 MiB", each)
	}
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 8<<20 {
		t.Errorf("heap grew by %d bytes", grown)
	}
	t.Logf("%d bytes allocated for each put, heap in use %d KiB", int64(after.TotalAlloc-before.TotalAlloc)/n, after.HeapInuse>>10)
}

// BenchmarkPut measures durable puts of 4 MiB.
func BenchmarkPut(b *testing.B) {
	for _, writers := range []int{1, 4, 8} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			d := open(b, b.TempDir(), depot.Options{})
			shard := body(1, peers.MaxShard)
			b.SetBytes(int64(len(shard)))
			b.ReportAllocs()
			start := cpuSeconds()
			b.ResetTimer()
			manyPuts(b, d, shard, 0, writers, b.N)
			b.StopTimer()
			b.ReportMetric((cpuSeconds()-start)/(float64(b.N)*float64(len(shard))/(1<<30)), "CPU-s/GiB")
		})
	}
}

// BenchmarkGet measures open, read and close of 4 MiB from the page cache.
func BenchmarkGet(b *testing.B) {
	d := open(b, b.TempDir(), depot.Options{})
	shard := body(1, peers.MaxShard)
	manyPuts(b, d, shard, 0, 1, 1)
	buf := make([]byte, 256<<10)
	b.SetBytes(int64(len(shard)))
	b.ReportAllocs()
	for b.Loop() {
		s, err := d.Get(ctx, laptop, spread(1))
		if err != nil {
			b.Fatal(err)
		}
		for off := int64(0); off < s.Size(); off += int64(len(buf)) {
			if _, err := s.ReadAt(buf, off); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStat measures a look at one shard among many in a request.
func BenchmarkStat(b *testing.B) {
	d := open(b, b.TempDir(), depot.Options{})
	ids := make([]peers.ShardID, 256)
	for i := range ids {
		ids[i] = id(uint64(i))
		mustPut(b, d, laptop, ids[i], body(1, 100))
	}
	for b.Loop() {
		if _, err := d.Stat(ctx, laptop, ids); err != nil {
			b.Fatal(err)
		}
	}
}
