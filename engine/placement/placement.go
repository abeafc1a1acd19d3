// SPDX-License-Identifier: MPL-2.0

// Package placement decides which machines of a circle hold the pieces of a
// segment: spread over houses and persons first, then where there is room,
// then where somebody is likely to be on. It also says how many machines may
// be lost, and which k and n fit a circle that grew or shrank. It computes and
// keeps nothing, so that the simulation decides with the same code as a node.
package placement

import (
	"math/bits"
	"slices"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
)

// Machine is a keeper as placement sees it.
type Machine struct {
	ID peers.DeviceID
	// Person and House group machines that fail together: all of one house
	// burn at once, all of one person are given up at once. Empty: nobody
	// else's.
	Person, House string
	Room          int64   // bytes it would still take; negative: not known
	Likely        float64 // the share of time that it is on, 0 to 1
	Takes         bool    // pieces may be sent there now
}

// Choose gives the machines, by their places in ms, for n more pieces of size
// bytes of a segment, of which held[i] pieces are on machine i already. A
// machine gets a second piece only when all that take some have one. turn,
// such as a segment's number, makes equals take turns. Fewer than n come back
// when nobody else has room.
func Choose(ms []Machine, held []int, n int, size int64, turn uint64) []int {
	held = slices.Clone(held)
	houses, persons := map[string]int{}, map[string]int{}
	for i, m := range ms {
		count(houses, m.House, held[i])
		count(persons, m.Person, held[i])
	}
	var takers, out []int
	for i, m := range ms {
		if m.Takes && (m.Room < 0 || m.Room >= size) {
			takers = append(takers, i)
		}
	}
	for range n {
		best := -1
		var rank [6]int
		for j := range takers {
			i := takers[(uint64(j)+turn)%uint64(len(takers))]
			m := &ms[i]
			r := [6]int{
				held[i], among(houses, m.House, held[i]), among(persons, m.Person, held[i]),
				roomRank(m.Room, size), -int(m.Likely*10 + 0.5), j,
			}
			if best < 0 || slices.Compare(r[:], rank[:]) < 0 {
				best, rank = i, r
			}
		}
		if best < 0 {
			break
		}
		out = append(out, best)
		held[best]++
		count(houses, ms[best].House, 1)
		count(persons, ms[best].Person, 1)
	}
	return out
}

func count(of map[string]int, name string, n int) {
	if name != "" {
		of[name] += n
	}
}

// among is what a machine's group holds; a machine without one is its own.
func among(of map[string]int, name string, own int) int {
	if name == "" {
		return own
	}
	return of[name]
}

// roomRank puts machines that are nearly full behind, and tells others apart
// only by powers of four: who has twice the room need not get everything.
func roomRank(room, size int64) int {
	if room < 0 || size <= 0 {
		return 0
	}
	return -min(bits.Len64(uint64(room/size))/2, 6)
}

// MayLose tells how many holders, whichever, may be lost before fewer than k
// pieces are left; -1 when there are fewer now. held are the pieces of each.
func MayLose(held []int, k int) int {
	total := 0
	sorted := slices.Clone(held)
	slices.Sort(sorted)
	for _, h := range sorted {
		total += h
	}
	if total < k {
		return -1
	}
	lost := 0
	for i := len(sorted) - 1; i >= 0 && sorted[i] > 0; i-- {
		if total -= sorted[i]; total < k {
			break
		}
		lost++
	}
	return lost
}

// Houses groups pieces by what fails together: machines of one house count as
// one holder.
func Houses(ms []Machine, held []int) []int {
	var out []int
	at := map[string]int{}
	for i, m := range ms {
		if j, ok := at[m.House]; ok && m.House != "" {
			out[j] += held[i]
			continue
		}
		at[m.House] = len(out)
		out = append(out, held[i])
	}
	return out
}

// Reach is the MayLose of n pieces spread evenly over some machines.
func Reach(k, n, machines int) int {
	if machines < 1 {
		return -1
	}
	held := make([]int, machines)
	for i := range n {
		held[i%machines]++
	}
	return MayLose(held, k)
}

// Target is the geometry that a segment of g should have in a circle of so
// many machines, g itself when that does as well. A larger k means that the
// segment is recoded. With the same k it gets more pieces, which needs no
// other one to be sent anew; it never takes more than twice the room of its
// data, which is what the smallest circles take anyway.
func Target(g erasure.Geometry, machines int) erasure.Geometry {
	want, err := erasure.ForCircle(machines)
	if err != nil {
		return g
	}
	need := want.N - want.K
	if machines < g.N {
		// A circle that shrank keeps its pieces, two on a machine. More are
		// made only where else no machine could be lost.
		need = min(need, 1)
	}
	switch {
	case Reach(g.K, g.N, machines) >= need:
		return g
	case want.K > g.K:
		return want
	}
	for n := g.N + 1; n <= 2*g.K; n++ {
		if Reach(g.K, n, machines) >= need {
			return erasure.Geometry{K: g.K, N: n}
		}
	}
	return g
}
