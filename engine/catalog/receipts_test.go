// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"path/filepath"
	"testing"
	"time"
)

// What takes room at a keeper is what all machines of the owner stored there,
// each shard once.
func TestTakesOfAllMachines(t *testing.T) {
	ctx := t.Context()
	mine, theirs := open(t, filepath.Join(t.TempDir(), "c.db")), open(t, filepath.Join(t.TempDir(), "c.db"))
	const one = 2 * 4096 // a shard of 4 KiB and its header
	takes := func(when string, shards int64) {
		t.Helper()
		for _, d := range devices {
			if n, err := mine.Takes(ctx, d); err != nil || n != shards*one {
				t.Errorf("%s: %d bytes, %v, want %d", when, n, err, shards*one)
			}
		}
	}
	number := uint64(0)
	merge := func(as int) {
		t.Helper()
		number++
		if _, err := mine.Merge(ctx, MergeOrder{Theirs: theirs, Device: devices[as], Name: "other", Number: number}); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, mine, 1, []int64{1}, file("a", 1))
	takes("alone", 1)
	fill(t, theirs, 1, []int64{1}, file("b", 1))
	fill(t, theirs, 2, []int64{2}) // as a backup or a former version has
	takes("before a merge", 1)
	merge(1)
	takes("after a merge", 3)
	merge(1)
	takes("after the same again", 3)
	merge(2)
	takes("when two others know the same", 3)
	if err := theirs.Commit(ctx, &Batch{Versions: []*Version{file("c", 2)}}); err != nil {
		t.Fatal(err)
	}
	merge(1)
	takes("when this one knows it too", 3)

	fill(t, theirs, 3, []int64{3})
	merge(1)
	merge(2)
	takes("with one more", 4)
	if _, err := theirs.Collect(ctx, time.Now().UnixNano()); err != nil {
		t.Fatal(err)
	}
	merge(1)
	takes("while one of two still knows it", 4)
	merge(2)
	takes("when nobody knows it any more", 3)
}

// The newest receipts of both machines are there after a merge.
func TestReceiptsMerge(t *testing.T) {
	ctx := t.Context()
	mine, theirs := open(t, filepath.Join(t.TempDir(), "c.db")), open(t, filepath.Join(t.TempDir(), "c.db"))
	taker, other := [32]byte{8}, [32]byte{9}
	add := func(c *Catalog, giver int, taker [32]byte, seq uint64, doc string) {
		t.Helper()
		if err := c.AddReceipt(ctx, devices[giver], taker, seq, []byte(doc), 3); err != nil {
			t.Fatal(err)
		}
	}
	add(mine, 0, taker, 4, "mine 4")
	add(theirs, 0, taker, 5, "theirs 5")
	add(mine, 1, taker, 9, "mine 9")
	add(theirs, 1, taker, 7, "theirs 7")
	add(theirs, 2, taker, 1, "theirs 1")
	add(theirs, 0, other, 2, "of another")
	if _, err := mine.Merge(ctx, MergeOrder{Theirs: theirs, Device: devices[1], Name: "other", Number: 1}); err != nil {
		t.Fatal(err)
	}
	got, err := mine.ReceiptsOf(ctx, taker)
	if err != nil || len(got) != 3 {
		t.Fatalf("%q, %v", got, err)
	}
	for i, want := range []string{"theirs 5", "mine 9", "theirs 1"} {
		if string(got[devices[i]]) != want {
			t.Errorf("%d: %q, want %q", i, got[devices[i]], want)
		}
	}
	for seq := uint64(6); seq < 10; seq++ {
		add(mine, 0, taker, seq, "more")
	}
	if all, err := mine.Receipts(ctx, devices[0], taker, 100); err != nil || len(all) != 3 {
		t.Errorf("%d stay, %v", len(all), err)
	}
}
