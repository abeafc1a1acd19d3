// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/peers"
)

// That the newest backup says all there is is known until the first change, also
// after the catalog was opened anew.
func TestMarkBackedUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c := open(t, path)
	ctx := t.Context()
	fill(t, c, 1, []int64{1}, file("a", 1))
	notes := [32]byte{7}
	changes := func() int64 {
		t.Helper()
		n, err := c.Changes(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	mark := func(seen int64) {
		t.Helper()
		if err := c.MarkBackedUp(ctx, 3, notes, seen); err != nil {
			t.Fatal(err)
		}
	}
	want := func(want bool, after string) {
		t.Helper()
		if is, err := c.BackedUp(ctx, &Backup{Number: 3}, notes); err != nil || is != want {
			t.Errorf("after %s: backed up %v, want %v (%v)", after, is, want, err)
		}
	}
	want(false, "nothing")
	before := changes()
	fill(t, c, 2, []int64{2}, file("b", 2))
	mark(before)
	want(false, "a change between the look and the mark")
	mark(changes())
	want(true, "the mark")
	for _, other := range []struct {
		number uint64
		notes  [32]byte
	}{{4, notes}, {3, [32]byte{8}}} {
		if is, err := c.BackedUp(ctx, &Backup{Number: other.number}, other.notes); err != nil || is {
			t.Errorf("%v is taken for backed up (%v)", other, err)
		}
	}

	var d peers.DeviceID
	d[0] = 9
	for _, err := range []error{
		c.SavePresence(ctx, map[peers.DeviceID][]byte{d: {1}}),
		c.AckHead(ctx, HeadAck{Keeper: d, Number: 3}),
		c.Did(ctx, "tidy", c.now()),
		c.Abandon(ctx), // which finds nothing
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want(true, "what is no reason for a backup")
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if err := c.SetLeaving(stopped, d, Leave{Name: "attic"}); err == nil {
		t.Error("written although it was stopped")
	}
	want(true, "what was not written")

	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = open(t, path)
	want(true, "another start")
	if err := c.SetLeaving(ctx, d, Leave{Name: "attic"}); err != nil {
		t.Fatal(err)
	}
	want(false, "a change")
	mark(changes())
	fill(t, c, 3, []int64{3}, file("c", 3))
	want(false, "another file")
}
