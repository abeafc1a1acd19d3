// SPDX-License-Identifier: MPL-2.0

package depot_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/depot"
)

// Two devices store apart, then turn out to be one person's.
func TestOneAccountForSeveralDevices(t *testing.T) {
	var one atomic.Bool
	quota := 4 * depot.Cost(1000)
	o := depot.Options{
		Offer: 1 << 30,
		Quota: func(peers.DeviceID) int64 { return quota },
		Account: func(d peers.DeviceID) peers.DeviceID {
			if one.Load() && d == tower {
				return laptop
			}
			return d
		},
	}
	dir := t.TempDir()
	d := open(t, dir, o)
	mustPut(t, d, laptop, id(1), body(1, 1000))
	mustPut(t, d, tower, id(2), body(2, 1000))
	wantMissing(t, d, tower, id(1))
	one.Store(true)
	for _, who := range []peers.DeviceID{laptop, tower} {
		want(t, d, who, id(1), body(1, 1000))
		want(t, d, who, id(2), body(2, 1000))
		if u, err := d.Usage(ctx, who); err != nil || u.Used != 2*depot.Cost(1000) || u.Shards != 2 {
			t.Errorf("usage %+v, %v", u, err)
		}
	}
	// One promise for both together.
	mustPut(t, d, tower, id(3), body(3, 1000))
	mustPut(t, d, laptop, id(4), body(4, 1000))
	if err := put(d, tower, id(5), body(5, 1000)); !errors.Is(err, peers.ErrQuota) {
		t.Errorf("beyond the quota: %v", err)
	}
	// Either deletes what the other stored, and the sums stay right.
	if err := d.Delete(ctx, laptop, []peers.ShardID{id(2), id(3)}); err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(ctx, tower, []peers.ShardID{id(1)}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if u, err := d.Usage(ctx, tower); err != nil || u.Used != depot.Cost(1000) || u.Shards != 1 {
			t.Errorf("usage %+v, %v", u, err)
		}
		closeDepot(t, d)
		d = open(t, dir, o)
	}
	want(t, d, tower, id(4), body(4, 1000))
}
