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
	for seed := range uint64(24) {
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

// recode gives a segment other shards, as a repair does for a larger circle.
func recode(t *testing.T, c *Catalog, id int64, k int) {
	t.Helper()
	s, err := c.Segment(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	now := *s
	now.K, now.ShardLen, now.Shards = k, 9000/k+10, make([]Shard, s.N)
	for i := range now.Shards {
		sh := &now.Shards[i]
		sh.Keeper, sh.State = devices[i], There
		if sh.ID, err = c.BeginMove(t.Context(), sh.Keeper); err != nil {
			t.Fatal(err)
		}
		rand.Read(sh.Root[:])
	}
	if err := c.Replace(t.Context(), s, &now); err != nil {
		t.Fatal(err)
	}
}

// place puts a shard somewhere else, or only says what is known of it.
func place(t *testing.T, c *Catalog, idx int, move bool, state ShardState) {
	t.Helper()
	s, err := c.Segment(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	now := s.Shards[idx]
	if now.State = state; move {
		if now.ID, err = c.BeginMove(t.Context(), now.Keeper); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.SetShard(t.Context(), 1, idx, s.Shards[idx].ID, now); err != nil {
		t.Fatal(err)
	}
}

// Before they were counted two machines may each have made all shards of a segment
// anew: those of one hold, and never some of each.
func TestCodingsAreNotMixed(t *testing.T) {
	for name, ks := range map[string][2]int{"of the same k": {2, 2}, "of another k": {3, 2}} {
		t.Run(name, func(t *testing.T) {
			all := copies(t, 2)
			for i, c := range all {
				recode(t, c, 1, ks[i])
				for _, q := range []string{"UPDATE segments SET recoded = 0, coding = x''", "UPDATE shards SET moved = 0"} {
					if _, err := c.w.ExecContext(t.Context(), q); err != nil {
						t.Fatal(err)
					}
				}
				place(t, c, i, true, There)
			}
			before := [][]*Segment{placesOf(t, all[0]), placesOf(t, all[1])}
			learn(t, all[0], all[1], 1)
			learn(t, all[1], all[0], 0)
			got := placesOf(t, all[0])
			if !reflect.DeepEqual(got, placesOf(t, all[1])) {
				t.Error("they do not agree")
			}
			if !reflect.DeepEqual(got, before[0]) && !reflect.DeepEqual(got, before[1]) {
				t.Errorf("neither one's shards:\n%+v\n%+v", got[0], before)
			}
		})
	}
}

// A machine does not give up what is there for what is not.
func TestNothingGoodIsGivenUp(t *testing.T) {
	all := copies(t, 2)
	a, b := all[0], all[1]
	for idx := range 5 { // the names are random: of five one at least is larger there
		place(t, a, idx, true, There)
		place(t, b, idx, true, There)
		place(t, b, idx, false, Lost)
	}
	was := placesOf(t, a)
	learn(t, a, b, 1)
	if got := placesOf(t, a); !reflect.DeepEqual(got, was) {
		t.Errorf("shards that are there were given up: %+v", got[0].Shards)
	}
	for idx := range 5 {
		place(t, b, idx, true, There)
	}
	learn(t, a, b, 1)
	if got := placesOf(t, a); !reflect.DeepEqual(got, placesOf(t, b)) {
		t.Errorf("shards that were made anew are not followed: %+v", got[0].Shards)
	}

	recode(t, b, 1, 2)
	for i := range 4 {
		place(t, b, i, false, Lost)
	}
	was = placesOf(t, a)
	learn(t, a, b, 1)
	if got := placesOf(t, a); !reflect.DeepEqual(got, was) {
		t.Errorf("a segment that is there was given up: %+v", got[0])
	}
}
