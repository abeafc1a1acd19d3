// SPDX-License-Identifier: MPL-2.0

package placement

import (
	"slices"
	"testing"

	"github.com/preezm/preezm/erasure"
)

func machines(n int) []Machine {
	out := make([]Machine, n)
	for i := range out {
		out[i] = Machine{Room: -1, Likely: 0.5, Takes: true}
		out[i].ID[0] = byte(i + 1)
	}
	return out
}

func TestMayLose(t *testing.T) {
	for _, c := range []struct {
		held []int
		k    int
		want int
	}{
		{nil, 1, -1}, {[]int{1}, 1, 0}, {[]int{1, 1}, 1, 1}, {[]int{1, 1, 1, 1, 1}, 3, 2}, {[]int{2, 2, 1}, 3, 1},
		{[]int{2, 1}, 2, 0}, {[]int{2, 2}, 2, 1}, {[]int{1, 1, 0}, 3, -1}, {[]int{0, 5, 0}, 3, 0}, {[]int{3, 1, 1}, 3, 0},
	} {
		if got := MayLose(c.held, c.k); got != c.want {
			t.Errorf("%v with k %d: %d, want %d", c.held, c.k, got, c.want)
		}
	}
}

func TestTarget(t *testing.T) {
	for _, c := range []struct{ k, n, machines, wantK, wantN int }{
		{1, 1, 1, 1, 1}, {1, 1, 2, 1, 2}, {1, 2, 3, 1, 2}, {1, 2, 4, 2, 4}, {1, 1, 5, 3, 5},
		{2, 3, 4, 2, 4}, {2, 4, 5, 2, 4}, {3, 5, 8, 5, 8}, {5, 7, 9, 5, 9}, {6, 10, 40, 6, 10},
		// Circles that shrank.
		{3, 5, 3, 3, 5}, {2, 3, 2, 2, 4}, {2, 3, 1, 2, 3}, {4, 6, 5, 4, 6}, {6, 10, 9, 6, 10}, {3, 5, 0, 3, 5},
	} {
		got := Target(erasure.Geometry{K: c.k, N: c.n}, c.machines)
		if got.K != c.wantK || got.N != c.wantN {
			t.Errorf("%d of %d with %d machines: %s, want %d-of-%d", c.k, c.n, c.machines, got, c.wantK, c.wantN)
		}
		if again := Target(got, c.machines); again != got {
			t.Errorf("%d of %d with %d machines: never ends, %s then %s", c.k, c.n, c.machines, got, again)
		}
	}
}

func TestChooseSpreads(t *testing.T) {
	ms := machines(6)
	ms[0].House, ms[1].House, ms[2].House = "home", "home", "home"
	got := Choose(ms, make([]int, 6), 4, 1, 0)
	inHome := 0
	for _, i := range got {
		if ms[i].House == "home" {
			inHome++
		}
	}
	if len(got) != 4 || inHome != 1 {
		t.Errorf("%v: %d of one house", got, inHome)
	}
	// All six are needed: each gets one.
	got = Choose(ms, make([]int, 6), 6, 1, 3)
	slices.Sort(got)
	if !slices.Equal(got, []int{0, 1, 2, 3, 4, 5}) {
		t.Errorf("%v", got)
	}
	ms = machines(4)
	ms[0].Person, ms[1].Person = "anna", "anna"
	if got := Choose(ms, []int{1, 0, 0, 0}, 2, 1, 1); slices.Contains(got, 1) {
		t.Errorf("%v: both of anna's before the others", got)
	}
}

func TestChoosePrefers(t *testing.T) {
	ms := machines(4)
	ms[0].Takes = false
	ms[1].Room = 10
	ms[2].Likely = 0.9
	if got := Choose(ms, make([]int, 4), 1, 100, 0); !slices.Equal(got, []int{2}) {
		t.Errorf("%v: not the one that is on", got)
	}
	if got := Choose(ms, make([]int, 4), 3, 100, 0); len(got) != 3 || slices.Contains(got, 0) || slices.Contains(got, 1) {
		t.Errorf("%v: without room, or not taking", got)
	}
	ms[2].Room, ms[3].Room = 200, 1<<30
	if got := Choose(ms, make([]int, 4), 1, 100, 0); !slices.Equal(got, []int{3}) {
		t.Errorf("%v: the nearly full one", got)
	}
	if got := Choose(nil, nil, 2, 1, 5); len(got) != 0 {
		t.Errorf("%v from nobody", got)
	}
}

func TestChooseTakesTurns(t *testing.T) {
	ms := machines(20)
	got := make([]int, 20)
	for turn := range uint64(200) {
		for _, i := range Choose(ms, make([]int, 20), 10, 1, turn) {
			got[i]++
		}
	}
	for i, n := range got {
		if n < 90 || n > 110 {
			t.Errorf("machine %d got %d of 2,000 pieces", i, n)
		}
	}
}

// Those that do not take anything now give their turns to all others alike.
func TestTurnsOfTakers(t *testing.T) {
	ms := machines(5)
	ms[3].Takes, ms[4].Takes = false, false
	got := make([]int, 5)
	for turn := range uint64(300) {
		for _, i := range Choose(ms, []int{1, 1, 1, 1, 1}, 2, 10, turn) {
			got[i]++
		}
	}
	for i, n := range got[:3] {
		if n != 200 {
			t.Errorf("machine %d got %d of 600", i, n)
		}
	}
}

func TestHouses(t *testing.T) {
	ms := machines(4)
	ms[1].House, ms[3].House = "a", "a"
	if got := Houses(ms, []int{1, 1, 1, 1}); !slices.Equal(got, []int{1, 2, 1}) {
		t.Errorf("%v", got)
	}
}
