// SPDX-License-Identifier: MPL-2.0

package depot_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/depot"
)

func TestQuotaUnderConcurrentPuts(t *testing.T) {
	const size, fits = 100_000, 7
	for name, o := range map[string]depot.Options{
		"quota": {Quota: func(peers.DeviceID) int64 { return fits*depot.Cost(size) + depot.Cost(size) - 1 }},
		"offer": {Offer: fits * depot.Cost(size)},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, t.TempDir(), o)
			var stored, refused atomic.Int64
			var wg sync.WaitGroup
			for i := range uint64(40) {
				wg.Go(func() {
					switch err := put(d, laptop, id(i), body(i, size)); {
					case err == nil:
						stored.Add(1)
					case errors.Is(err, peers.ErrQuota):
						refused.Add(1)
					default:
						t.Error(err)
					}
					if u, err := d.Usage(ctx, laptop); err != nil || u.Used > u.Quota || u.Free < 0 {
						t.Errorf("usage %+v, %v", u, err)
					}
				})
			}
			wg.Wait()
			if stored.Load() != fits || refused.Load() != 40-fits {
				t.Errorf("%d stored and %d refused, want %d and %d", stored.Load(), refused.Load(), fits, 40-fits)
			}
			u, err := d.Usage(ctx, laptop)
			if err != nil || u.Used != fits*depot.Cost(size) || u.Shards != fits {
				t.Errorf("usage %+v, %v", u, err)
			}
		})
	}
}

func TestReservedBeforeTheBodyIsRead(t *testing.T) {
	room := depot.Cost(1 << 20)
	d := open(t, t.TempDir(), depot.Options{Quota: func(peers.DeviceID) int64 { return room }})
	b := body(1, 1<<20)
	h := newHalf(b)
	errs := make(chan error)
	go func() { errs <- d.Put(ctx, laptop, id(1), erasure.ShardRoot(b), int64(len(b)), h) }()
	<-h.reached
	if err := d.Put(ctx, laptop, id(2), erasure.Root{}, 1, noRead{t}); !errors.Is(err, peers.ErrQuota) {
		t.Errorf("put beside one in flight: %v, want ErrQuota", err)
	}
	if u, err := d.Usage(ctx, laptop); err != nil || u.Free != 0 || u.Used != 0 {
		t.Errorf("usage %+v, %v", u, err)
	}
	mustPut(t, d, tower, id(3), body(3, 100)) // his own promise is untouched
	close(h.goOn)
	if err := <-errs; err != nil {
		t.Error(err)
	}
}

func TestQuotaRules(t *testing.T) {
	one := depot.Cost(1)
	for name, c := range map[string]struct {
		quota, offer int64
		room         int64 // for one-byte shards
	}{
		"no own quota is the offer":      {0, 3 * one, 3},
		"a quota below the offer":        {2 * one, 3 * one, 2},
		"a quota above the offer":        {9 * one, 3 * one, 3},
		"a negative quota is nothing":    {-1, 3 * one, 0},
		"a negative offer is nothing":    {2 * one, -1, 0},
		"a byte too few for the second":  {2*one - 1, 3 * one, 1},
		"an own quota and a tight offer": {2 * one, 2*one - 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, t.TempDir(), depot.Options{Offer: c.offer, Quota: func(peers.DeviceID) int64 { return c.quota }})
			for i := range c.room {
				mustPut(t, d, laptop, id(uint64(i)), body(uint64(i), 1))
			}
			if err := d.Put(ctx, laptop, id(99), erasure.Root{}, 1, noRead{t}); !errors.Is(err, peers.ErrQuota) {
				t.Errorf("put: %v, want ErrQuota", err)
			}
			u, err := d.Total(ctx)
			if err != nil || u.Used != c.room*one || u.Shards != c.room || u.Quota != max(c.offer, 0) {
				t.Errorf("total %+v, %v", u, err)
			}
		})
	}
}

func TestSetOffer(t *testing.T) {
	d := open(t, t.TempDir(), depot.Options{Offer: depot.Cost(1)})
	mustPut(t, d, laptop, id(1), body(1, 1))
	if err := put(d, laptop, id(2), body(2, 1)); !errors.Is(err, peers.ErrQuota) {
		t.Fatalf("put: %v, want ErrQuota", err)
	}
	d.SetOffer(2 * depot.Cost(1))
	mustPut(t, d, laptop, id(2), body(2, 1))
	d.SetOffer(0)
	if err := put(d, laptop, id(3), body(3, 1)); !errors.Is(err, peers.ErrQuota) {
		t.Fatalf("put: %v, want ErrQuota", err)
	}
	want(t, d, laptop, id(2), body(2, 1)) // less room deletes nothing
	if u, err := d.Usage(ctx, laptop); err != nil || u.Free != 0 || u.Quota != 0 {
		t.Errorf("usage %+v, %v", u, err)
	}
	if err := d.Delete(ctx, laptop, []peers.ShardID{id(1), id(2)}); err != nil {
		t.Fatal(err)
	}
	d.SetOffer(depot.Cost(1))
	mustPut(t, d, tower, id(3), body(3, 1)) // deleted room is room again
}

// small is a Storage that says how much room it has.
type small struct {
	depot.Storage
	space depot.Space
}

func (s small) Space(context.Context) (depot.Space, error) { return s.space, nil }

func TestFloorOfTheDisk(t *testing.T) {
	disk := func(t *testing.T, free int64) depot.Storage {
		return small{newDisk(t, t.TempDir()), depot.Space{Free: free, Total: 40 << 20}}
	}
	one := depot.Cost(1000)
	t.Run("kept free", func(t *testing.T) {
		d := open(t, t.TempDir(), depot.Options{MinFree: 10 << 20, Storage: disk(t, 10<<20+one-1)})
		if err := d.Put(ctx, laptop, id(1), erasure.Root{}, 1000, noRead{t}); !errors.Is(err, peers.ErrDiskFull) {
			t.Errorf("put: %v, want ErrDiskFull", err)
		}
	})
	t.Run("enough", func(t *testing.T) {
		d := open(t, t.TempDir(), depot.Options{MinFree: 10 << 20, Storage: disk(t, 10<<20+one)})
		if u, err := d.Usage(ctx, laptop); err != nil || u.Free != one {
			t.Errorf("usage %+v, %v, want %d free", u, err, one)
		}
		mustPut(t, d, laptop, id(1), body(1, 1000))
	})
	t.Run("by default 5 %", func(t *testing.T) {
		d := open(t, t.TempDir(), depot.Options{MinFree: -1, Storage: disk(t, 3<<20)})
		if u, err := d.Total(ctx); err != nil || u.Free != 1<<20 {
			t.Errorf("total %+v, %v, want 1 MiB free above the 2 MiB", u, err)
		}
	})
}

func newDisk(t testing.TB, dir string) *depot.Disk {
	t.Helper()
	d, err := depot.OpenDisk(dir, nopLogger)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
