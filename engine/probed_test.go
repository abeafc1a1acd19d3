// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"path/filepath"
	"testing"
)

// A status asks who answers, and a listing soon after goes by that. Whoever came
// into the circle or came back since then counts, or what was just kept would be
// listed as lost.
func TestListAfterAnOlderProbe(t *testing.T) {
	c := newCircle(t, 3)
	all := c.keepers
	c.keepers = nil
	safe := func(what string, want int) {
		t.Helper()
		list, err := c.List(t.Context(), ListOptions{Recursive: true, Health: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if e.MayLose != want {
				t.Errorf("%s: %s may lose %d, want %d", what, e.Path, e.MayLose, want)
			}
		}
	}
	probe := func() {
		t.Helper()
		if _, err := c.Status(t.Context(), StatusOptions{Probe: true}); err != nil {
			t.Fatal(err)
		}
	}
	probe()
	c.keepers = all
	dir := filepath.Join(t.TempDir(), "d")
	write(t, filepath.Join(dir, "f"), data(1, 100_000))
	c.put(dir)
	safe("they came after the probe", 1)
	all[0].down.Store(true)
	probe()
	safe("one does not answer", 0)
	all[0].down.Store(false)
	safe("nobody has seen it yet", 0)
	c.Seen(all[0].Device())
	safe("it is back", 1)
}
