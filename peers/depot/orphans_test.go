// SPDX-License-Identifier: MPL-2.0

package depot_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/depot"
)

// What a person left behind stays for so many days on which the machine runs,
// whatever its clock does, and not a piece of anybody else goes with it.
func TestOrphans(t *testing.T) {
	ctx := t.Context()
	now := time.Unix(1_800_000_000, 0)
	d, err := depot.Open(ctx, t.TempDir(), depot.Options{Offer: 1 << 30, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	left, stays := peers.DeviceID{1}, peers.DeviceID{2}
	data := []byte("some bytes")
	put := func(owner peers.DeviceID, n byte) peers.ShardID {
		id := peers.ShardID{n}
		if err := d.Put(ctx, owner, id, erasure.ShardRoot(data), int64(len(data)), bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		return id
	}
	a, b := put(left, 1), put(stays, 2)
	known := map[peers.DeviceID]bool{left: true, stays: true}
	look := func() []depot.Orphan {
		t.Helper()
		list, err := d.Orphans(ctx, func(d peers.DeviceID) bool { return known[d] })
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	has := func(owner peers.DeviceID, id peers.ShardID) bool {
		t.Helper()
		sizes, err := d.Stat(ctx, owner, []peers.ShardID{id})
		if err != nil {
			t.Fatal(err)
		}
		return sizes[0] >= 0
	}
	if list := look(); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	known[left] = false
	for range 10 * depot.OrphanDays { // looks within a day are one
		if list := look(); len(list) != 1 || list[0].Owner != left || list[0].Days != 1 || list[0].Usage.Shards != 1 {
			t.Fatalf("%+v", list)
		}
	}
	now = now.Add(10 * 365 * 24 * time.Hour) // the clock jumps
	if list := look(); len(list) != 1 || list[0].Days != 2 {
		t.Errorf("%+v", list)
	}
	for range 10 * depot.OrphanDays { // and is set back, again and again
		now = now.Add(-time.Minute)
		if list := look(); len(list) != 1 || list[0].Days != 2 {
			t.Fatalf("%+v", list)
		}
	}
	known[left] = true // and they are back
	look()
	known[left] = false
	for day := 1; day <= depot.OrphanDays; day++ {
		if list := look(); len(list) != 1 || list[0].Days != day || !has(left, a) {
			t.Fatalf("day %d: %+v", day, list)
		}
		now = now.Add(24 * time.Hour)
	}
	// On the last day they come back while it is looked.
	asked := 0
	if _, err := d.Orphans(ctx, func(d peers.DeviceID) bool {
		if d == left {
			asked++
		}
		return d != left || asked > 2
	}); err != nil || !has(left, a) {
		t.Errorf("%v after %d questions, %v", err, asked, has(left, a))
	}
	if list := look(); len(list) != 0 || has(left, a) || !has(stays, b) {
		t.Errorf("%+v, %v, %v", list, has(left, a), has(stays, b))
	}
}
