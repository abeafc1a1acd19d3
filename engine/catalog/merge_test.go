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
