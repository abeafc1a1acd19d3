// SPDX-License-Identifier: MPL-2.0

package depot_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/depot"
)

// What lies beside the shards shares their room, with many at once too.
func TestRoomBesideShards(t *testing.T) {
	const size, fits = 100_000, 8
	d := open(t, t.TempDir(), depot.Options{Offer: fits * depot.Cost(size)})
	var taken, stored atomic.Int64
	var all sync.WaitGroup
	for i := range uint64(40) {
		all.Go(func() {
			var err error
			n := &taken
			if i%2 == 0 {
				err = d.Take(ctx, laptop, depot.Cost(size))
			} else {
				n, err = &stored, put(d, laptop, id(i), body(i, size))
			}
			switch {
			case err == nil:
				n.Add(1)
			case !errors.Is(err, peers.ErrQuota):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if taken.Load()+stored.Load() != fits {
		t.Errorf("%d and %d, want %d together", taken.Load(), stored.Load(), fits)
	}
	u, err := d.Usage(ctx, laptop)
	if err != nil || u.Used != stored.Load()*depot.Cost(size) || u.Free != 0 {
		t.Errorf("%+v, %v", u, err)
	}
	if total, err := d.Total(ctx); err != nil || total.Free != 0 {
		t.Errorf("%+v, %v", total, err)
	}
	d.Hold(laptop, -taken.Load()*depot.Cost(size))
	if u, err = d.Usage(ctx, laptop); err != nil || u.Free != taken.Load()*depot.Cost(size) {
		t.Errorf("%d were given back: %+v, %v", taken.Load(), u, err)
	}
	// What is there counts, whatever room there is.
	d.Hold(laptop, 1<<40)
	if err := d.Take(ctx, tower, 1); !errors.Is(err, peers.ErrQuota) {
		t.Errorf("beyond the offer: %v", err)
	}
}

func TestRoomBesideRules(t *testing.T) {
	for name, c := range map[string]struct {
		o    depot.Options
		room int64
	}{
		"an offer":            {depot.Options{Offer: 9000}, 9000},
		"a quota":             {depot.Options{Offer: 9000, Quota: func(peers.DeviceID) int64 { return 500 }}, 500},
		"nothing offered":     {depot.Options{}, depot.BesideNoOffer},
		"a quota of nothing":  {depot.Options{Quota: func(peers.DeviceID) int64 { return 500 }}, 500},
		"not in the circle":   {depot.Options{Quota: func(peers.DeviceID) int64 { return -1 }}, 0},
		"no room on the disk": {depot.Options{Offer: 1 << 50, MinFree: 1 << 50}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := depot.Open(ctx, t.TempDir(), c.o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			})
			if c.room > 0 {
				if err := d.Take(ctx, laptop, c.room); err != nil {
					t.Fatal(err)
				}
			}
			want := peers.ErrQuota
			if c.o.MinFree > 0 {
				want = peers.ErrDiskFull
			}
			if err := d.Take(ctx, laptop, 1); !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
			if c.o.Offer == 0 {
				if u, err := d.Usage(ctx, laptop); err != nil || u.Free != 0 {
					t.Errorf("pieces have room where nothing is offered: %+v, %v", u, err)
				}
			}
		})
	}
}

// Who keeps what it has and offers nothing more has that little room all the same.
func TestRoomBesideWhenTheOfferEnded(t *testing.T) {
	d := open(t, t.TempDir(), depot.Options{Offer: 1 << 20})
	mustPut(t, d, laptop, id(1), body(1, 100_000))
	d.SetOffer(0)
	if err := d.Take(ctx, laptop, depot.BesideNoOffer); err != nil {
		t.Error(err)
	}
}
