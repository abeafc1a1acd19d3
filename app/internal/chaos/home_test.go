// SPDX-License-Identifier: MPL-2.0

//go:build unix

package chaos

import (
	"os"
	"path/filepath"
	"testing"
)

// TestCatalogGone takes the catalog away. A home that has a circle must not
// look as if nothing had ever been kept, and must stay as it is.
func TestCatalogGone(t *testing.T) {
	r := newRig(t, 2, "1GB", nil)
	file := filepath.Join(r.dir, "file")
	r.write(file, 10_000)
	r.must(nil, "put", file)
	name := filepath.Join(r.Owner.Dir, "catalog.db")
	saved, err := os.ReadFile(name)
	r.check(err)
	for what, spoil := range map[string]func() error{
		"missing":   func() error { return os.Remove(name) },
		"empty":     func() error { return os.Truncate(name, 0) },
		"truncated": func() error { return os.Truncate(name, 5000) },
		"garbage":   func() error { return os.WriteFile(name, make([]byte, 9000), 0o600) },
	} {
		r.check(spoil())
		for _, args := range [][]string{{"ls"}, {"status"}, {"put", file}, {"get", "file", "--to", filepath.Join(r.dir, "no")}} {
			r.fails([]string{"catalog.db"}, args...)
		}
		r.check(os.WriteFile(name, saved, 0o600))
		t.Logf("%s: refused", what)
	}
	r.must(nil, "get", "file", "--to", filepath.Join(r.dir, "back"))
	r.check(os.Mkdir(filepath.Join(r.dir, "want"), 0o755))
	r.check(os.Rename(file, filepath.Join(r.dir, "want", "file")))
	r.same(filepath.Join(r.dir, "want"), filepath.Join(r.dir, "back"))
}
