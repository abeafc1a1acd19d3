// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Merges of a catalog with 20,000 segments that the other machine all recoded:
// the one that hears of it, and the next, to which none of it is new.
func BenchmarkMergeRecoded(b *testing.B) {
	const segments = 20_000
	dir := b.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	c, err := Open(b.Context(), at("mine.db"))
	if err != nil {
		b.Fatal(err)
	}
	batch := &Batch{}
	for i := range int64(segments) {
		s := &Segment{ID: i + 1, K: 3, N: 5, ShardLen: 4096, DataLen: 9000, Shards: make([]Shard, 5)}
		for j := range s.Shards {
			s.Shards[j] = Shard{Keeper: devices[j], State: There}
		}
		batch.Segments = append(batch.Segments, s)
		k := Chunk{ID: i + 1, Segment: i + 1, Sealed: 100, Plain: 84}
		k.Name[0], k.Name[1], k.Name[2] = byte(i), byte(i>>8), byte(i>>16)
		batch.Chunks = append(batch.Chunks, k)
		batch.Versions = append(batch.Versions, file(fmt.Sprint("f", i), i+1))
	}
	if err := c.Intend(b.Context(), batch.Segments, 1000); err != nil {
		b.Fatal(err)
	}
	if err := c.Commit(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
	if err := c.Close(); err != nil {
		b.Fatal(err)
	}
	another := func(name string) *Catalog {
		raw, err := os.ReadFile(at("mine.db"))
		if err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(at(name), raw, 0o600); err != nil {
			b.Fatal(err)
		}
		return open(b, at(name))
	}
	theirs := another("theirs.db")
	for _, q := range []string{
		"UPDATE segments SET recoded = 1, coding = randomblob(8), k = 4, shard_len = 3000",
		"UPDATE shards SET shard = randomblob(32), root = randomblob(32)",
	} {
		if _, err := theirs.w.ExecContext(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
	merge := func(b *testing.B, c *Catalog) {
		if _, err := c.Merge(b.Context(), MergeOrder{Theirs: theirs, Device: devices[1], Name: "other", Number: 1}); err != nil {
			b.Fatal(err)
		}
	}
	times := 0
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			times++
			c := another(fmt.Sprint(times, ".db"))
			b.StartTimer()
			merge(b, c)
		}
	})
	b.Run("known", func(b *testing.B) {
		c := another("known.db")
		merge(b, c)
		for b.Loop() {
			merge(b, c)
		}
	})
}
