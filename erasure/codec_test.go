// SPDX-License-Identifier: MPL-2.0

package erasure

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

var geometries = []Geometry{{1, 1}, {1, 2}, {2, 3}, {2, 4}, {3, 5}, {4, 6}, {5, 7}, {5, 9}, {6, 10}, {3, 3}, {17, 20}, {128, 256}}

func codec(t testing.TB, g Geometry) *Codec {
	t.Helper()
	c, err := New(g)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// encoded makes a full set of shards of size bytes.
func encoded(t testing.TB, c *Codec, size int) [][]byte {
	t.Helper()
	g := c.Geometry()
	shards := make([][]byte, g.N)
	for i := range shards {
		shards[i] = make([]byte, size)
		if i < g.K {
			copy(shards[i], pseudo(uint64(i), size))
		}
	}
	if err := c.Encode(shards); err != nil {
		t.Fatal(err)
	}
	return shards
}

func cloneSet(shards [][]byte) [][]byte {
	out := make([][]byte, len(shards))
	for i, s := range shards {
		out[i] = bytes.Clone(s)
	}
	return out
}

func TestForCircle(t *testing.T) {
	for keepers, want := range map[int]Geometry{
		1: {1, 1}, 2: {1, 2}, 3: {2, 3}, 4: {2, 4}, 5: {3, 5}, 6: {4, 6}, 7: {5, 7},
		8: {5, 8}, 9: {5, 9}, 10: {6, 10}, 11: {6, 10}, 5000: {6, 10},
	} {
		got, err := ForCircle(keepers)
		if err != nil || got != want {
			t.Errorf("%d keepers: %v, %v; want %v", keepers, got, err, want)
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%d keepers: %v", keepers, err)
		}
	}
	for _, keepers := range []int{0, -1} {
		if g, err := ForCircle(keepers); !errors.Is(err, ErrNoKeepers) {
			t.Errorf("%d keepers: %v, %v", keepers, g, err)
		}
	}
}

func TestGeometryValidate(t *testing.T) {
	for _, g := range []Geometry{{0, 0}, {0, 1}, {2, 1}, {-1, 3}, {1, 257}, {257, 257}, {1, -1}} {
		if err := g.Validate(); !errors.Is(err, ErrGeometry) {
			t.Errorf("%v: %v", g, err)
		}
		if _, err := New(g); !errors.Is(err, ErrGeometry) {
			t.Errorf("New(%v): %v", g, err)
		}
	}
}

// Every set of K shards brings all others back, for every small geometry.
func TestReconstructFromEverySubset(t *testing.T) {
	for _, g := range geometries {
		if g.N > 10 {
			continue
		}
		c := codec(t, g)
		full := encoded(t, c, 1000)
		for mask := uint(0); mask < 1<<g.N; mask++ {
			if bits.OnesCount(mask) != g.K {
				continue
			}
			have := cloneSet(full)
			for i := range have {
				if mask&(1<<i) == 0 {
					have[i] = nil
				}
			}
			required := slices.Repeat([]bool{true}, g.N)
			if err := c.Reconstruct(have, required); err != nil {
				t.Fatalf("%v from %b: %v", g, mask, err)
			}
			for i := range have {
				if !bytes.Equal(have[i], full[i]) {
					t.Fatalf("%v from %b: shard %d is wrong", g, mask, i)
				}
			}
		}
	}
}

func TestReconstructRandomLosses(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, g := range geometries {
		c := codec(t, g)
		for range 10 {
			full := encoded(t, c, 1+rnd.IntN(3000))
			have := cloneSet(full)
			required := make([]bool, g.N)
			for _, i := range rnd.Perm(g.N)[:rnd.IntN(g.N-g.K+1)] {
				have[i] = have[i][:0]
				required[i] = rnd.IntN(2) == 0
			}
			missing := make([]bool, g.N)
			for i := range have {
				missing[i] = len(have[i]) == 0
			}
			some := slices.Clone(have)
			if err := c.Reconstruct(some, required); err != nil {
				t.Fatalf("%v: %v", g, err)
			}
			for i := range some {
				if missing[i] && !required[i] {
					if len(some[i]) != 0 {
						t.Fatalf("%v: shard %d was not asked for", g, i)
					}
				} else if !bytes.Equal(some[i], full[i]) {
					t.Fatalf("%v: shard %d is wrong", g, i)
				}
			}
			data := slices.Clone(have)
			if err := c.ReconstructData(data); err != nil {
				t.Fatalf("%v: %v", g, err)
			}
			for i := range data {
				switch {
				case i < g.K && !bytes.Equal(data[i], full[i]):
					t.Fatalf("%v: data shard %d is wrong", g, i)
				case i >= g.K && missing[i] && len(data[i]) != 0:
					t.Fatalf("%v: parity shard %d came back", g, i)
				}
			}
		}
	}
}

func TestReconstructReusesCapacity(t *testing.T) {
	c := codec(t, Geometry{3, 5})
	full := encoded(t, c, 5000)
	have := cloneSet(full)
	room := have[1]
	have[1] = have[1][:0]
	if err := c.ReconstructData(have); err != nil {
		t.Fatal(err)
	}
	if &have[1][0] != &room[0] || !bytes.Equal(room, full[1]) {
		t.Error("the room offered was not used")
	}
}

// With one data shard all shards are copies: what a circle of two relies on.
func TestOneOfNIsCopies(t *testing.T) {
	for n := 1; n <= 4; n++ {
		for i, s := range encoded(t, codec(t, Geometry{1, n}), 777) {
			if !bytes.Equal(s, pseudo(0, 777)) {
				t.Errorf("1-of-%d: shard %d is not a copy", n, i)
			}
		}
	}
}

// A range of the data comes from the same range of other shards: what reading a
// video from the middle relies on.
func TestCodeIsBytewise(t *testing.T) {
	c := codec(t, Geometry{3, 5})
	full := encoded(t, c, 4096)
	part := make([][]byte, 5)
	for _, i := range []int{1, 3, 4} {
		part[i] = bytes.Clone(full[i][1000:1333])
	}
	if err := c.ReconstructData(part); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if !bytes.Equal(part[i], full[i][1000:1333]) {
			t.Errorf("the range of shard %d is wrong", i)
		}
	}
}

func TestMalformedSets(t *testing.T) {
	for _, g := range []Geometry{{3, 5}, {3, 3}} {
		c := codec(t, g)
		all := slices.Repeat([]bool{true}, g.N)
		set := func(lens ...int) [][]byte {
			out := make([][]byte, len(lens))
			for i, n := range lens {
				out[i] = make([]byte, n)
			}
			return out
		}
		lens := func(n int, change func([]int)) []int {
			out := slices.Repeat([]int{n}, g.N)
			change(out)
			return out
		}
		for _, tc := range []struct {
			name   string
			shards [][]byte
			want   error // of Reconstruct; Encode always gives ErrShards
		}{
			{"none", nil, ErrShards},
			{"one too few", set(lens(8, func([]int) {})[1:]...), ErrShards},
			{"one too many", set(append(lens(8, func([]int) {}), 8)...), ErrShards},
			{"all empty", set(lens(0, func([]int) {})...), ErrShards},
			{"lengths differ", set(lens(8, func(l []int) { l[2] = 9 })...), ErrShards},
			{"first differs", set(lens(8, func(l []int) { l[0] = 9 })...), ErrShards},
			{"two left", set(lens(0, func(l []int) { l[0], l[1] = 8, 8 })...), ErrTooFewShards},
		} {
			if err := c.Encode(tc.shards); !errors.Is(err, ErrShards) {
				t.Errorf("%v %s: Encode: %v", g, tc.name, err)
			}
			if err := c.ReconstructData(tc.shards); !errors.Is(err, tc.want) {
				t.Errorf("%v %s: ReconstructData: %v", g, tc.name, err)
			}
			if err := c.Reconstruct(tc.shards, all); !errors.Is(err, tc.want) {
				t.Errorf("%v %s: Reconstruct: %v", g, tc.name, err)
			}
		}
		ok := set(lens(8, func([]int) {})...)
		for _, marks := range [][]bool{nil, all[1:], append(slices.Clone(all), true)} {
			if err := c.Reconstruct(ok, marks); !errors.Is(err, ErrShards) {
				t.Errorf("%v, %d marks: %v", g, len(marks), err)
			}
		}
		if err := c.Encode(ok); err != nil {
			t.Errorf("%v: a good set: %v", g, err)
		}
	}
}

func TestCodecConcurrently(t *testing.T) {
	c := codec(t, Geometry{3, 5})
	full := encoded(t, c, 10_000)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 0))
			for range 30 {
				have := cloneSet(full)
				for _, i := range rnd.Perm(5)[:2] {
					have[i] = nil
				}
				if err := c.ReconstructData(have); err != nil {
					t.Error(err)
					return
				}
				if err := c.Encode(fill(have, 10_000)); err != nil {
					t.Error(err)
					return
				}
				for i := range have {
					if !bytes.Equal(have[i], full[i]) {
						t.Errorf("shard %d is wrong", i)
					}
				}
			}
		})
	}
	wg.Wait()
}

// fill gives the missing shards room.
func fill(shards [][]byte, size int) [][]byte {
	for i := range shards {
		if len(shards[i]) == 0 {
			shards[i] = make([]byte, size)
		}
	}
	return shards
}

func FuzzReconstruct(f *testing.F) {
	f.Add(uint8(3), uint8(5), uint16(100), uint64(0b11010))
	f.Add(uint8(1), uint8(2), uint16(1), uint64(2))
	f.Fuzz(func(t *testing.T, k, n uint8, size uint16, have uint64) {
		g := Geometry{int(k % 20), int(n % 40)}
		if g.Validate() != nil || size == 0 {
			return
		}
		c := codec(t, g)
		full := encoded(t, c, int(size))
		part := cloneSet(full)
		present := 0
		for i := range part {
			if have&(1<<i) == 0 {
				part[i] = nil
			} else {
				present++
			}
		}
		err := c.Reconstruct(part, slices.Repeat([]bool{true}, g.N))
		switch {
		case present == 0:
			if !errors.Is(err, ErrShards) {
				t.Fatal(err)
			}
		case present < g.K:
			if !errors.Is(err, ErrTooFewShards) {
				t.Fatal(err)
			}
		case err != nil:
			t.Fatal(err)
		default:
			if fmt.Sprint(part) != fmt.Sprint(full) {
				t.Fatal("wrong shards")
			}
		}
	})
}
