// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/peers"
)

// unhold ends all holds, as a backup does that enough keepers have.
func unhold(t *testing.T, c *Catalog) {
	t.Helper()
	held, err := c.Held(t.Context())
	if err == nil {
		_, err = c.Unhold(t.Context(), &Backup{Held: held})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What was there and lost its place is needed until a backup of later is where
// the words find it; what was lost anyway is not.
func TestHold(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	fill(t, c, 1, []int64{1}, file("x", 1))
	ctx := t.Context()
	deletions := func(k peers.DeviceID) int {
		t.Helper()
		ids, err := c.Deletions(ctx, k, 10)
		if err != nil {
			t.Fatal(err)
		}
		return len(ids)
	}
	move := func(idx int, id byte, state ShardState) (old Shard) {
		t.Helper()
		s, err := c.Segment(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		old = s.Shards[idx]
		now := Shard{Keeper: devices[4], ID: peers.ShardID{id}, Root: old.Root, State: state}
		if err := c.SetShard(ctx, 1, idx, old.ID, now); err != nil {
			t.Fatal(err)
		}
		return old
	}
	held := func() int64 {
		t.Helper()
		n, err := c.Held(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before, err := c.Takes(ctx, devices[2])
	if err != nil {
		t.Fatal(err)
	}
	old := move(2, 1, There)
	first := held()
	if first == 0 || deletions(old.Keeper) != 0 {
		t.Fatalf("hold %d, %d may go", first, deletions(old.Keeper))
	}
	if now, err := c.Takes(ctx, old.Keeper); err != nil || now != before {
		t.Errorf("what is held takes %d, it took %d before (%v)", now, before, err)
	}
	if b, err := c.KnownShards(ctx, old.Keeper); err != nil || b == nil {
		t.Fatal(err)
	}
	for _, b := range []struct {
		held int64
		want int64
	}{{first - 1, 0}, {first, 1}, {first, 0}} {
		if n, err := c.Unhold(ctx, &Backup{Held: b.held}); err != nil || n != b.want {
			t.Fatalf("a backup of %d let go of %d, want %d (%v)", b.held, n, b.want, err)
		}
	}
	if deletions(old.Keeper) != 1 || held() != 0 {
		t.Fatalf("hold %d, %d may go", held(), deletions(old.Keeper))
	}
	// The backup that let go of the first knows nothing of the second.
	if err := c.Deleted(ctx, old.Keeper, []peers.ShardID{old.ID}); err != nil {
		t.Fatal(err)
	}
	second := move(1, 2, Lost)
	if n, err := c.Unhold(ctx, &Backup{Held: first}); err != nil || n != 0 || deletions(second.Keeper) != 0 {
		t.Fatalf("let go of %d (%v)", n, err)
	}
	unhold(t, c)
	// That one was lost: who comes by an older backup misses nothing.
	if third := move(1, 3, There); held() != 0 || deletions(third.Keeper) != 1 {
		t.Errorf("hold %d, %d may go", held(), deletions(third.Keeper))
	}
}
