// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/peers/sqlite"
)

// TestHostileCatalogWritesNothingElsewhere: what another machine of the owner put
// into the catalog, with a program of its own, stays in the folder that was named.
func TestHostileCatalogWritesNothingElsewhere(t *testing.T) {
	outside := t.TempDir()
	for what, change := range map[string][]any{
		"a name that climbs":                {"UPDATE versions SET name = ? WHERE name = ?", []byte("../../evil"), []byte("f")},
		"a folder that climbs":              {"UPDATE versions SET parent = ? WHERE name = ?", []byte("d/../.."), []byte("f")},
		"an absolute name":                  {"UPDATE versions SET name = ? WHERE name = ?", []byte(filepath.Join(outside, "evil")), []byte("f")},
		"a name with an end in it":          {"UPDATE versions SET name = ? WHERE name = ?", []byte("evil\x00.txt"), []byte("f")},
		"a folder that is a link elsewhere": {"UPDATE versions SET kind = 3, target = ? WHERE name = ?", []byte(outside), []byte("sub")},
		"a folder that is a link upwards":   {"UPDATE versions SET kind = 3, target = ? WHERE name = ?", []byte("../.."), []byte("sub")},
		"a file with more than permissions": {"UPDATE versions SET mode = ? WHERE name = ?", 0o6777, []byte("f")},
	} {
		c := newCircle(t, 3)
		dir := filepath.Join(t.TempDir(), "d")
		write(t, filepath.Join(dir, "sub", "f"), []byte("evil"))
		c.put(dir)
		if err := c.Engine.Close(); err != nil {
			t.Fatal(err)
		}
		db, err := sqlite.Open(filepath.Join(c.dir, "catalog.db"), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		res, err := db.Exec(change[0].(string), change[1:]...)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			t.Fatalf("%s: %d rows, %v", what, n, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		c.open()
		base := t.TempDir()
		to := filepath.Join(base, "in", "here")
		_, err = c.Get(t.Context(), GetOptions{Names: []Path{"d"}, To: to}, nil)
		if what == "a file with more than permissions" {
			fi, serr := os.Stat(filepath.Join(to, "d", "sub", "f"))
			if err != nil || serr != nil || fi.Mode()&(os.ModeSetuid|os.ModeSetgid|os.ModeSticky) != 0 {
				t.Errorf("%s: %v, %v, %v", what, err, serr, fi)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: brought back as if it were in order", what)
		}
		for _, place := range []string{outside, base, filepath.Join(base, "in")} {
			names, rerr := os.ReadDir(place)
			if rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
				t.Fatal(rerr)
			}
			for _, n := range names {
				if n.Name() != "in" && n.Name() != "here" {
					t.Errorf("%s: %q was written outside of the folder", what, n.Name())
				}
			}
		}
	}
}
