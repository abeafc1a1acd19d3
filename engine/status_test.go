// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"path/filepath"
	"testing"
)

// What a walk through all files gave is used again until something changes, and
// no longer.
func TestStatusSeesWhatChanges(t *testing.T) {
	c := newCircle(t, 5)
	src := t.TempDir()
	write(t, filepath.Join(src, "a"), data(1, 5000))
	c.put(src)
	status := func(files int64, mayLose int) *tally {
		t.Helper()
		s, err := c.Status(t.Context(), StatusOptions{Probe: true})
		if err != nil {
			t.Fatal(err)
		}
		var counted int64
		for _, h := range s.Health {
			counted += h.Files
		}
		if s.Files != files || counted != files || s.MayLose != mayLose {
			t.Errorf("%d files, %+v, may lose %d; want %d and %d", s.Files, s.Health, s.MayLose, files, mayLose)
		}
		return c.tallied.Load()
	}
	first := status(1, 2)
	c.keepers[0].down.Store(true)
	again := status(1, 1)
	c.keepers[0].down.Store(false)
	if again != first || status(1, 2) != first {
		t.Error("no file has changed, and all were looked at again")
	}
	write(t, filepath.Join(src, "b"), data(2, 5000))
	c.put(src)
	status(2, 2)
	if _, err := c.Remove(t.Context(), []Path{Path(filepath.Base(src) + "/a")}); err != nil {
		t.Fatal(err)
	}
	status(1, 2)
}
