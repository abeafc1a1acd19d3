// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"runtime/debug"
	"testing"
)

// Of several listings at once the last one that ends gives back what holds usually.
func TestSearchLeavesLittleGarbage(t *testing.T) {
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	now := func(want int) {
		t.Helper()
		if got := debug.SetGCPercent(want); got != want {
			t.Errorf("%d %% garbage, want %d", got, want)
		}
	}
	var g thrift
	g.during(func() { now(100) }) // the person's own choice
	g.limit(usualGarbage)
	now(usualGarbage)
	g.during(func() {
		g.during(func() { now(listingGarbage) })
		now(listingGarbage)
	})
	now(usualGarbage)
}
