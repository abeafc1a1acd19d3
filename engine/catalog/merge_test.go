// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"path/filepath"
	"testing"
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

// A receipt is signed by the machine that took or gave. Whoever goes on with a copy
// of its catalog has another key, and begins with each pair anew.
func TestReceiptsStayWithTheirMachine(t *testing.T) {
	ctx := t.Context()
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	for _, giver := range []bool{true, false} {
		if err := c.AddReceipt(ctx, devices[1], giver, 1, []byte("signed"), 10); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Descend(ctx, devices[0], 3, 1); err != nil {
		t.Fatal(err)
	}
	for _, giver := range []bool{true, false} {
		if docs, err := c.Receipts(ctx, devices[1], giver, 10); err != nil || len(docs) > 0 {
			t.Errorf("giver %v: %d receipts, %v", giver, len(docs), err)
		}
	}
}
