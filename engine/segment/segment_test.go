// SPDX-License-Identifier: MPL-2.0

package segment

import (
	"math/rand/v2"
	"testing"

	"github.com/preezm/preezm/peers"
)

func TestShardLen(t *testing.T) {
	for _, k := range []int{1, 2, 3, 4, 5, 6} {
		for _, data := range []int{1, 100, 4096, 12345, 1 << 20, 3 << 20, Capacity(k) - 1, Capacity(k)} {
			if data > Capacity(k) {
				continue
			}
			l := ShardLen(data, k)
			if l*k < data || l < MinShard || l > peers.MaxShard {
				t.Errorf("k %d, data %d: shard of %d bytes", k, data, l)
			}
			if share := (data + k - 1) / k; share >= MinShard && float64(l) > 1.0626*float64(share) {
				t.Errorf("k %d, data %d: padded by %.1f %%", k, data, 100*(float64(l)/float64(share)-1))
			}
		}
	}
}

// Values computed by hand from the paper's definition.
func TestPadme(t *testing.T) {
	for in, want := range map[int]int{0: 0, 1: 1, 8: 8, 9: 10, 129: 144, 1000: 1024, 4096: 4096, 4097: 4352, 1<<22 - 1: 1 << 22} {
		if got := Padme(in); got != want {
			t.Errorf("Padme(%d) = %d, want %d", in, got, want)
		}
	}
}

// Every wanted byte lies in exactly the columns of a unit that names its shard.
func TestUnitsCover(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		k := 1 + r.IntN(6)
		l := MinShard + r.IntN(1<<20)
		var ranges []Range
		for range 1 + r.IntN(5) {
			off := r.IntN(k * l)
			ranges = append(ranges, Range{off, 1 + r.IntN(min(k*l-off, 200000))})
		}
		units := Units(ranges, k, l)
		has := func(pos int) bool {
			for _, u := range units {
				for _, s := range u.Shards {
					if s == pos/l && u.Lo <= pos%l && pos%l < u.Hi {
						return true
					}
				}
			}
			return false
		}
		for _, u := range units {
			if u.Lo < 0 || u.Hi > l || u.Lo >= u.Hi {
				t.Fatalf("unit %+v outside of shards of %d", u, l)
			}
		}
		for _, g := range ranges {
			for _, pos := range []int{g.Off, g.Off + g.Len - 1, g.Off + g.Len/2} {
				if !has(pos) {
					t.Fatalf("byte %d of %+v is in no unit of %+v (k %d, shard %d)", pos, g, units, k, l)
				}
			}
		}
	}
}

func TestUnitsWholeWhenMostIsWanted(t *testing.T) {
	u := Units([]Range{{0, 40000}}, 3, 20000)
	if len(u) != 1 || len(u[0].Shards) != 3 || u[0].Hi != 20000 {
		t.Fatalf("got %+v, want one whole unit", u)
	}
}
