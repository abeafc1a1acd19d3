// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// One transaction of a put of small files: a segment, its chunks and their
// versions.
func BenchmarkCommit(b *testing.B) {
	key := make([]byte, 32)
	rand.Read(key)
	c, err := OpenSealed(b.Context(), filepath.Join(b.TempDir(), "catalog.db"), key)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	const files = 1024
	segment := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		segment++
		ids, versions := make([]int64, files), make([]*Version, files)
		for i := range ids {
			ids[i] = segment*files + int64(i)
			versions[i] = file(fmt.Sprintf("folder/%03d/%08d", i/100, ids[i]), ids[i])
		}
		fill(b, c, segment, ids, versions...)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/files, "ns/file")
}

// A chunk that is written together with versions that need it is counted once
// for each of them, also where one of them is replaced at once.
func TestCommitCountsChunksOfItsOwn(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "catalog.db"))
	fill(t, c, 1, []int64{1, 2}, file("old", 1), file("twice", 1, 1))
	var ids []int64
	for i := range int64(2*chunksPerInsert + 3) {
		ids = append(ids, 10+i)
	}
	fill(t, c, 2, ids, file("a", 10, 11, 10), file("b", 10, 2), file("old", 12), file("old", 12, 13), file("old", 12, 13), file("d/e/f", 42))
	want := map[int64]int{1: 3, 2: 1, 10: 3, 11: 1, 12: 2, 13: 1, 42: 1}
	for _, id := range append(ids, 1, 2) {
		var refs int
		if err := c.r.QueryRow("SELECT refs FROM chunks WHERE id = ?", id).Scan(&refs); err != nil || refs != want[id] {
			t.Errorf("chunk %d is needed %d times, not %d (%v)", id, refs, want[id], err)
		}
	}
	if v, err := c.Version(t.Context(), "old"); err != nil || v.Number != 3 {
		t.Errorf("old is version %d, %v", v.Number, err)
	}
}

// A put asks for chunks all the while it commits others. The log must begin anew
// now and then all the same.
func TestCommitsBesideAFinderKeepTheLogShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c := open(t, path)
	f, err := c.NewFinder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	find := func() {
		if _, err := f.Find([32]byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	most := int64(0)
	for segment := range int64(40) {
		ids, versions := make([]int64, 1024), make([]*Version, 1024)
		for i := range ids {
			ids[i] = 1 + segment*1024 + int64(i)
			versions[i] = file(fmt.Sprintf("folder/%08d", ids[i]), ids[i])
		}
		find()
		if err := f.Hold(false); err != nil {
			t.Fatal(err)
		}
		find()
		fill(t, c, 1+segment, ids, versions...)
		if err := f.Hold(true); err != nil {
			t.Fatal(err)
		}
		find()
		fi, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, fi.Size())
	}
	if most > 2*logPages*4096 {
		t.Errorf("the log grew to %d MiB", most>>20)
	}
}
