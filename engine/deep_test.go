// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A tree of many nested folders, each with a file, comes back in a time
// that grows with its size, not with the square of its depth.
func TestDeepTree(t *testing.T) {
	const depth = 400
	c := newCircle(t, 1)
	dir := filepath.Join(t.TempDir(), "deep")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range depth {
		if err := root.Mkdir("d", 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := root.OpenRoot("d")
		if err != nil {
			t.Fatal(err)
		}
		root.Close()
		root = next
		if err := root.WriteFile("f", []byte{1}, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root.Close()
	started := time.Now()
	c.put(dir)
	t.Logf("put: %v", time.Since(started))
	started = time.Now()
	to := c.get("deep")
	took := time.Since(started)
	t.Logf("get: %v", took)
	sameTree(t, dir, filepath.Join(to, "deep"))
	if took > 60*time.Second {
		t.Errorf("it took %v", took)
	}
}
