// SPDX-License-Identifier: MPL-2.0

package depot_test

import (
	"log/slog"
	"testing"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/depot"
	"github.com/preezm/preezm/peers/depot/storagetest"
)

func TestDiskKeepsTheRulesOfStorage(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storagetest.Reopen {
		dir := t.TempDir()
		return func() depot.Storage {
			d, err := depot.OpenDisk(dir, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
	})
}

// TestDepotOnAnotherStorage: nothing in a depot relies on a disk.
func TestDepotOnAnotherStorage(t *testing.T) {
	dir, m := t.TempDir(), &storagetest.Memory{}
	d := open(t, dir, depot.Options{Storage: m})
	mustPut(t, d, laptop, id(1), body(1, 300_000))
	mustPut(t, d, laptop, id(2), body(2, 10))
	closeDepot(t, d)
	for range 2 { // with its index, then with an empty one
		d = open(t, dir, depot.Options{Storage: m})
		want(t, d, laptop, id(1), body(1, 300_000))
		wantMissing(t, d, tower, id(1))
		wantUsed(t, d, laptop, 300_000, 10)
		closeDepot(t, d)
		dir = t.TempDir()
	}
	d = open(t, dir, depot.Options{Storage: m})
	if err := d.Delete(ctx, laptop, []peers.ShardID{id(1)}); err != nil {
		t.Fatal(err)
	}
	wantMissing(t, d, laptop, id(1))
	wantUsed(t, d, laptop, 10)
}
