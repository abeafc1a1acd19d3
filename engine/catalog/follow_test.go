// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/preezm/preezm/peers"
)

// Machines that move, add and recode shards of the same segments at the same time
// hold the same ones once all have heard of each other, in whatever order, and
// none of those is to be deleted.
func TestMachinesAgreeWhereShardsAre(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := mrand.New(mrand.NewPCG(seed, 1))
			all := copies(t, 3)
			for round := range 1 + rng.IntN(3) {
				for range 1 + rng.IntN(8) {
					change(t, rng, all[rng.IntN(len(all))])
				}
				if round == 0 { // some hear of some of it before they go on
					meetOne(t, rng, all)
				}
			}
			for range 2 {
				for _, i := range rng.Perm(len(all)) {
					for _, j := range rng.Perm(len(all)) {
						if i != j {
							learn(t, all[i], all[j], j)
						}
					}
				}
			}
			want := placesOf(t, all[0])
			for i, c := range all {
				got := placesOf(t, c)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("machine %d has other places than machine 0:\n%+v\n%+v", i, got, want)
				}
				gone, err := collect(t.Context(), c.r, scanBlob, "SELECT shard FROM deletions")
				if err != nil {
					t.Fatal(err)
				}
				for _, g := range gone {
					for _, s := range want {
						for _, sh := range s.Shards {
							if sh.ID == peers.ShardID(g) {
								t.Errorf("machine %d has a shard deleted that segment %d needs", i, s.ID)
							}
						}
					}
				}
			}
		})
	}
}

// copies gives machines with the same two segments.
func copies(t *testing.T, n int) (out []*Catalog) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "first.db")
	c, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, c, 1, []int64{1, 2}, file("a", 1, 2))
	fill(t, c, 2, []int64{3}, file("b", 3))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		p := filepath.Join(dir, fmt.Sprint(i, ".db"))
		if err := os.WriteFile(p, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		out = append(out, open(t, p))
	}
	return out
}

// change does to one segment what a repair does.
func change(t *testing.T, rng *mrand.Rand, c *Catalog) {
	t.Helper()
	ctx := t.Context()
	s, err := c.Segment(ctx, 1+rng.Int64N(2))
	if err != nil {
		t.Fatal(err)
	}
	fresh := func(sh Shard) Shard {
		sh.Keeper, sh.State = devices[rng.IntN(len(devices))], There
		if sh.ID, err = c.BeginMove(ctx, sh.Keeper); err != nil {
			t.Fatal(err)
		}
		return sh
	}
	now := *s
	now.Shards = append([]Shard{}, s.Shards...)
	switch rng.IntN(4) {
	case 0: // one more; the code says what is in it
		if s.N < 8 {
			sh := fresh(Shard{})
			sh.Root = peers.Root{byte(s.ID), byte(s.K), byte(s.N), byte(s.ShardLen), s.Shards[0].Root[0]}
			now.N++
			now.Shards = append(now.Shards, sh)
		}
	case 1: // another k, with other bytes behind the data
		now.K = 2 + rng.IntN(2)
		now.ShardLen = 9000/now.K + 10
		for i := range now.Shards {
			sh := fresh(Shard{})
			rand.Read(sh.Root[:])
			now.Shards[i] = sh
		}
	default: // one to another keeper
		i := rng.IntN(s.N)
		if err := c.SetShard(ctx, s.ID, i, s.Shards[i].ID, fresh(s.Shards[i])); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := c.Replace(ctx, s, &now); err != nil {
		t.Fatal(err)
	}
}

func learn(t *testing.T, c, from *Catalog, who int) {
	t.Helper()
	if _, err := c.Merge(t.Context(), MergeOrder{Theirs: from, Device: devices[who], Name: "other", Number: 1}); err != nil {
		t.Fatal(err)
	}
}

func meetOne(t *testing.T, rng *mrand.Rand, all []*Catalog) {
	t.Helper()
	i := rng.IntN(len(all))
	j := (i + 1 + rng.IntN(len(all)-1)) % len(all)
	learn(t, all[i], all[j], j)
}

func placesOf(t *testing.T, c *Catalog) (out []*Segment) {
	t.Helper()
	for id := range int64(2) {
		s, err := c.Segment(t.Context(), id+1)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}
