// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/peers"
)

// What cannot be read of the other machine's catalog is not what it lacks.
func TestMergeStopsAtWhatItCannotRead(t *testing.T) {
	ctx := t.Context()
	mine, theirs := open(t, filepath.Join(t.TempDir(), "c.db")), open(t, filepath.Join(t.TempDir(), "c.db"))
	put := func(c *Catalog, v Version) {
		t.Helper()
		if err := c.Commit(ctx, &Batch{Versions: []*Version{&v}}); err != nil {
			t.Fatal(err)
		}
	}
	old := Version{Path: "a", Kind: Symlink, Target: "old", GID: [16]byte{1}, Kept: 1}
	put(mine, old)
	put(theirs, old)
	put(theirs, Version{Path: "a", Kind: Symlink, Target: "new", GID: [16]byte{2}, Kept: 2})
	if _, err := theirs.w.ExecContext(ctx, "ALTER TABLE conflicts RENAME TO elsewhere"); err != nil {
		t.Fatal(err)
	}
	o := MergeOrder{Theirs: theirs, Device: devices[1], Name: "other", Number: 1}
	if out, err := mine.Merge(ctx, o); err == nil {
		t.Errorf("merged what could not be read: %+v", out)
	}
	if v, err := mine.Version(ctx, "a"); err != nil || v.Target != "old" {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := theirs.w.ExecContext(ctx, "ALTER TABLE elsewhere RENAME TO conflicts"); err != nil {
		t.Fatal(err)
	}
	if out, err := mine.Merge(ctx, o); err != nil || out != (Merged{Replaced: 1}) {
		t.Errorf("%+v, %v", out, err)
	}
}

// A segment that was emptied here, and let go of but for another machine, is the
// one that this machine needs again when that one uses it anew. Had it two rows,
// the end of the one would delete what the other needs.
func TestSegmentTakenBackIsNotTwo(t *testing.T) {
	ctx := t.Context()
	all := copies(t, 2)
	a, b := all[0], all[1]
	a.SetTogether(devices[0], []peers.DeviceID{devices[1]})
	meet := func(number uint64) {
		t.Helper()
		if _, err := a.Merge(ctx, MergeOrder{Theirs: b, Device: devices[1], Name: "other", Number: number, Knew: 5}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Collect(ctx, 0); err != nil {
			t.Fatal(err)
		}
	}
	meet(1)
	chunks, err := a.Chunks(ctx, []int64{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, a, 3, nil)
	if err := a.Commit(ctx, &Batch{Moved: []Moved{
		{Chunk: Chunk{ID: 1, Segment: 3, Off: chunks[1].Off}, From: 1}, {Chunk: Chunk{ID: 2, Segment: 3, Off: chunks[2].Off}, From: 1},
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Forget(ctx, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	meet(2)
	if _, err := a.Segment(ctx, 3); !errors.Is(err, ErrGone) {
		t.Fatalf("what was moved and is not needed is still here: %v", err)
	}
	if err := b.Commit(ctx, &Batch{Versions: []*Version{file("again", 1, 2)}}); err != nil {
		t.Fatal(err)
	}
	meet(3)
	meet(4)
	want, err := b.Segment(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := collect(ctx, a.r, scanBlob, "SELECT shard FROM deletions")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range gone {
		for i, sh := range want.Shards {
			if sh.ID == peers.ShardID(g) {
				t.Errorf("shard %d is to be deleted and needed", i)
			}
		}
	}
	v, err := a.Version(ctx, "again")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := a.Chunks(ctx, ChunkRows(v.Parts))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range rows {
		if k.Segment != 1 {
			t.Errorf("a chunk lies in segment %d", k.Segment)
		}
	}
}

// Links that lead elsewhere on each machine are two versions, also when both are
// of the same time.
func TestLinksOfOneTimeAreNotTheSame(t *testing.T) {
	ctx := t.Context()
	mine, theirs := open(t, filepath.Join(t.TempDir(), "c.db")), open(t, filepath.Join(t.TempDir(), "c.db"))
	for i, c := range []*Catalog{mine, theirs} {
		v := Version{Path: "a", Kind: Symlink, Target: []string{"one", "two"}[i], ModTime: 1, Kept: int64(i + 1)}
		if err := c.Commit(ctx, &Batch{Versions: []*Version{&v}}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := mine.Merge(ctx, MergeOrder{Theirs: theirs, Device: devices[1], Name: "other", Number: 1})
	if err != nil || out != (Merged{Conflicts: 1}) {
		t.Errorf("%+v, %v", out, err)
	}
	if v, err := mine.Version(ctx, "a"); err != nil || v.Target != "two" {
		t.Errorf("%+v, %v", v, err)
	}
}
