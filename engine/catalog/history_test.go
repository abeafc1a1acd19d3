// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// at makes a version of a path that was kept at a time.
func at(kept int64, path string, chunks ...int64) *Version {
	v := file(path, chunks...)
	v.Kept, v.ModTime = kept, kept
	return v
}

func commit(t *testing.T, c *Catalog, vs ...*Version) {
	t.Helper()
	if err := c.Commit(t.Context(), &Batch{Versions: vs}); err != nil {
		t.Fatal(err)
	}
}

// refs gives each chunk's count, by row.
func refs(t *testing.T, c *Catalog) string {
	t.Helper()
	got, err := collect(t.Context(), c.r, func(rows *sql.Rows) (s string, err error) {
		var id, n int64
		err = rows.Scan(&id, &n)
		return fmt.Sprintf("%d:%d", id, n), err
	}, "SELECT id, refs FROM chunks ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(got, " ")
}

func wantRefs(t *testing.T, c *Catalog, want string) {
	t.Helper()
	if got := refs(t, c); got != want {
		t.Errorf("counts %s, want %s", got, want)
	}
}

func history(t *testing.T, c *Catalog, path string) string {
	t.Helper()
	vs, err := c.History(t.Context(), path)
	if errors.Is(err, ErrNotFound) {
		return ""
	} else if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, v := range vs {
		s := fmt.Sprintf("%d@%d-%d", v.Number, v.Kept, v.Until)
		if v.Removed {
			s += "x"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestEveryChangeIsAVersion(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	fill(t, c, 1, []int64{1, 2, 3})
	commit(t, c, at(10, "d/f", 1, 2))
	commit(t, c, at(20, "d/f", 1, 3))
	same := at(30, "d/f", 1, 3)
	same.ModTime = 20
	same.Source = Source{1, 2, 3}
	commit(t, c, same)                // seen again as it was
	commit(t, c, at(15, "d/f", 1, 2)) // by a clock that was set back
	if got := history(t, c, "d/f"); got != "1@10-20 2@20-21 3@21-0" {
		t.Error(got)
	}
	wantRefs(t, c, "1:3 2:2 3:1")
	if v, err := c.Numbered(t.Context(), "d/f", 2); err != nil || v.Parts[1].Chunk != 3 {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := c.Numbered(t.Context(), "d/f", 9); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	// A folder has no versions: it is since it first was.
	commit(t, c, &Version{Path: "e", Kind: Folder, Kept: 5, Mode: 0o700})
	commit(t, c, &Version{Path: "e", Kind: Folder, Kept: 50, Mode: 0o755, ModTime: 7})
	if v, err := c.Version(t.Context(), "e"); err != nil || v.Kept != 5 || v.Mode != 0o755 || v.ModTime != 7 || history(t, c, "e") != "1@5-0" {
		t.Errorf("%+v, %v", v, err)
	}
}

func listing(t *testing.T, v View, folder string) string {
	t.Helper()
	var out []string
	err := v.Below(t.Context(), folder, func(v *Version) error {
		out = append(out, fmt.Sprintf("%s=%d", v.Path, v.Number))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = v.EachChild(t.Context(), folder, func(child *Version) error {
		if !slices.Contains(out, fmt.Sprintf("%s=%d", child.Path, child.Number)) {
			t.Errorf("%s is a child and not below", child.Path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := v.SumBelow(t.Context(), folder)
	if err != nil || s.Files+s.Folders != int64(len(out)) {
		t.Errorf("sum %+v of %d, %v", s, len(out), err)
	}
	return strings.Join(out, " ")
}

func TestThePastIsAsItWas(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	ctx := t.Context()
	fill(t, c, 1, []int64{1, 2})
	d := folder("d")
	d.Kept = 10
	commit(t, c, d, at(10, "d/a", 1), at(10, "d/b", 1))
	commit(t, c, at(20, "d/a", 2), at(20, "d-x", 1))
	gone, err := c.Trash(ctx, []string{"d"}, devices[0])
	if err != nil || len(gone) != 1 || gone[0].Files != 2 || gone[0].Folders != 1 {
		t.Fatalf("%+v, %v", gone, err)
	}
	now := time.Now().UnixNano()
	for _, tc := range []struct {
		t    int64
		want string
	}{{5, ""}, {10, "d/a=1 d/b=1 d=1"}, {20, "d-x=1 d/a=2 d/b=1 d=1"}, {now, "d-x=1"}} {
		got := strings.Fields(listing(t, c.At(tc.t), ""))
		slices.Sort(got)
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("at %d: %q, want %q", tc.t, s, tc.want)
		}
	}
	if got := listing(t, c, ""); got != "d-x=1" {
		t.Error(got)
	}
	// Pruned, the version before stands in for the one of that moment.
	if p, err := c.Prune(ctx, Retention{}, time.UTC, true); err != nil || p.Versions != 1 || p.Kept != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	if v, err := c.At(15).Version(ctx, "d/a"); err != nil || v.Number != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	wantRefs(t, c, "1:3 2:1")
}

func TestTrashComesBackOrGoes(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	ctx := t.Context()
	fill(t, c, 1, []int64{1, 2, 3})
	commit(t, c, folder("d"), at(10, "d/a", 1), at(10, "d/b", 2))
	commit(t, c, at(20, "d/a", 3))
	if _, err := c.Trash(ctx, []string{"d/a", "d/none"}, devices[0]); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	if list, err := c.ListTrash(ctx); err != nil || len(list) != 0 {
		t.Fatalf("half of it was removed: %v, %v", list, err)
	}
	var ids [][16]byte
	for _, p := range []string{"d/a", "d"} {
		r, err := c.Trash(ctx, []string{p}, devices[0])
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r[0].ID)
	}
	wantRefs(t, c, "1:1 2:1 3:1")
	// The newer removal took the folder: taking the older one back makes it.
	if r, err := c.Untrash(ctx, ids[:1]); err != nil || r.Files != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if v, err := c.Version(ctx, "d/a"); err != nil || v.Number != 3 || v.Parts[0].Chunk != 3 {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := c.Untrash(ctx, ids[:1]); !errors.Is(err, ErrGone) && err == nil {
		t.Error("it came back twice")
	}
	if r, err := c.Untrash(ctx, ids[1:]); err != nil || r.Files != 1 || r.Folders != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	wantRefs(t, c, "1:1 2:2 3:2")
	// What is there again is not overwritten.
	r, err := c.Trash(ctx, []string{"d/b"}, devices[0])
	if err != nil {
		t.Fatal(err)
	}
	commit(t, c, at(30, "d/b", 1))
	if _, err := c.Untrash(ctx, [][16]byte{r[0].ID}); !errors.Is(err, ErrOccupied) {
		t.Error(err)
	}
	// Emptied, all of the path up to the removal goes, and nothing after it.
	if _, err := c.EmptyTrash(ctx, [][16]byte{r[0].ID}); err != nil {
		t.Fatal(err)
	}
	if got := history(t, c, "d/b"); strings.Contains(got, " ") {
		t.Error(got)
	}
	wantRefs(t, c, "1:2 2:0 3:2")
	if _, err := c.Forget(ctx, []string{"d"}); err != nil {
		t.Fatal(err)
	}
	wantRefs(t, c, "1:0 2:0 3:0")
	if _, err := c.Forget(ctx, []string{"d/a"}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestForgetReachesTheTrash(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	fill(t, c, 1, []int64{1}, file("x", 1))
	if _, err := c.Trash(t.Context(), []string{"x"}, devices[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Forget(t.Context(), []string{"x"}); err != nil {
		t.Fatal(err)
	}
	if list, err := c.ListTrash(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	wantRefs(t, c, "1:0")
}

func TestPruneKeepsWhatAnyRuleWants(t *testing.T) {
	day := func(s string) int64 {
		d, err := time.Parse("2006-01-02 15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return d.UnixNano()
	}
	kept := []string{
		"2026-01-31 10:00", "2026-02-01 10:00", "2026-02-28 10:00", // 1 to 3
		"2026-03-02 10:00", "2026-03-08 10:00", // 4 5: one week, from Monday to Sunday
		"2026-03-09 10:00", "2026-03-09 11:00", "2026-03-10 09:00", "2026-03-10 10:00", // 6 to 9
	}
	for _, tc := range []struct {
		r    Retention
		want string
	}{
		{Retention{}, "9"},
		{Retention{Last: 3}, "7 8 9"},
		{Retention{Daily: 2}, "7 9"},
		{Retention{Daily: 99}, "1 2 3 4 5 7 9"},
		{Retention{Weekly: 2}, "5 9"},
		{Retention{Monthly: 3}, "1 3 9"},
		{Retention{Monthly: 2, Daily: 1, Last: 1}, "3 9"},
		{DefaultRetention, "1 2 3 4 5 6 7 8 9"},
	} {
		c := open(t, filepath.Join(t.TempDir(), "c.db"))
		fill(t, c, 1, []int64{1, 2})
		for i, k := range kept {
			commit(t, c, at(day(k), "f", int64(1+i%2)))
		}
		if p, err := c.Prune(t.Context(), tc.r, time.UTC, false); err != nil || int(p.Versions+p.Kept) != len(kept)-1 {
			t.Fatalf("%+v, %v", p, err)
		}
		var left []string
		vs, err := c.History(t.Context(), "f")
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range vs {
			left = append(left, fmt.Sprint(v.Number))
		}
		if got := strings.Join(left, " "); got != tc.want {
			t.Errorf("%+v leaves %s, want %s", tc.r, got, tc.want)
		}
	}
}

func TestRetentionIsRemembered(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	if r, err := c.Retention(t.Context()); err != nil || r != DefaultRetention {
		t.Fatalf("%+v, %v", r, err)
	}
	want := Retention{1, 2, 3, 4, 5}
	if err := c.SetRetention(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Retention(t.Context()); err != nil || r != want {
		t.Fatalf("%+v, %v", r, err)
	}
}

// A catalog of a program that had no history yet opens with everything in it.
func TestAnOldCatalogGetsAHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range append(slices.Clone(migrations[:2]), "PRAGMA user_version = 2", `
		INSERT INTO keepers VALUES(1, zeroblob(32));
		INSERT INTO segments VALUES(1, 1, 1, 4096, 100, 1, 1);
		INSERT INTO shards VALUES(1, 0, 1, zeroblob(32), zeroblob(32), 1);
		INSERT INTO chunks VALUES(1, zeroblob(32), 1, 0, 100, 84, 0, zeroblob(32), 1);
		INSERT INTO versions VALUES(x'', x'64', 2, 0, 493, 1, x'', 0, 0, 0, 7, 0, x'');
		INSERT INTO versions VALUES(x'64', x'66', 1, 84, 420, 1, x'', 2, 3, 4, 7, 0, x'0102');`) {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	c := open(t, path)
	v, err := c.Version(t.Context(), "d/f")
	if err != nil || v.Number != 1 || v.GID == [16]byte{} || v.Kept != 7 || v.Source != (Source{2, 3, 4}) || len(v.Parts) != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	commit(t, c, at(20, "d/f"))
	if got := history(t, c, "d/f"); got != "1@7-20 2@20-0" {
		t.Error(got)
	}
	wantRefs(t, c, "1:1")
	if got := listing(t, c.At(10), ""); got != "d=1 d/f=1" {
		t.Error(got)
	}
}

// Looking a present path up stays one probe of the primary key, whatever the
// history holds.
func TestPresentLookupIsOneProbe(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	plan, err := collect(t.Context(), c.r, func(rows *sql.Rows) (s string, err error) {
		var a, b, d int
		err = rows.Scan(&a, &b, &d, &s)
		return s, err
	}, "EXPLAIN QUERY PLAN SELECT "+versionColumns+" FROM versions WHERE parent = ? AND name = ?", []byte("d"), []byte("f"))
	if err != nil || len(plan) != 1 || plan[0] != "SEARCH versions USING PRIMARY KEY (parent=? AND name=?)" {
		t.Errorf("%q, %v", plan, err)
	}
}
