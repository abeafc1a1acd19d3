// SPDX-License-Identifier: MPL-2.0

// Package repair decides what is to be done for a segment: nothing, wait, make
// pieces anew elsewhere, or give it another k and n. A machine that is away is
// waited for until a grace period has passed, and as long as a segment has
// pieces to spare; what is known to be lost is made anew at once. It decides
// only: engine does the work, and the simulation calls the same functions.
package repair

import (
	"slices"
	"time"

	"github.com/preezm/preezm/engine/placement"
	"github.com/preezm/preezm/erasure"
)

// DefaultGrace is how long a machine may be away before what it holds is made
// anew elsewhere.
const DefaultGrace = 72 * time.Hour

// Standing is what is thought of a machine.
type Standing uint8

// The standings.
const (
	Well    Standing = iota // answers
	Away                    // does not answer now
	Missing                 // has not answered for longer than the grace
	Failing                 // failed too many checks
	Leaving                 // is about to leave the circle
)

// counts: what the machine holds is relied on.
func (s Standing) counts() bool { return s == Well || s == Away }

// Machine is a keeper and its standing.
type Machine struct {
	placement.Machine
	Standing Standing
	// Shunned: another machine of the owner moved pieces away from it. It gets
	// none that others can take, or two machines that see a circle differently
	// would move pieces to and fro.
	Shunned bool
}

// State is what is known of a piece; as in the catalog.
type State uint8

// The states.
const (
	Owed  State = iota // never acknowledged
	There              // acknowledged
	Lost               // missing or damaged
)

// Piece is one piece of a segment.
type Piece struct {
	At    int // the machine's place in the list; -1: it is no longer of the circle
	State State
}

// Segment is what a decision is about.
type Segment struct {
	erasure.Geometry
	Size   int64  // of a piece, in bytes
	Turn   uint64 // its number: equals take turns by it
	Pinned bool   // others know its pieces by name: it is not recoded
	Pieces []Piece
}

// Policy is how eager repair is.
type Policy struct {
	// Margin is how many pieces more than k may be left before machines that
	// are missing or failing are replaced; negative: half of those a whole
	// segment has to spare.
	Margin int
	// Now: repair at once whatever is not as it should be, machines that are
	// only away included.
	Now bool
	// Fixed: nothing but missing pieces is made anew, in the geometry there is.
	// That is what a caretaker may do for an owner who is off.
	Fixed bool
}

// Move is a piece to be made anew: number Piece, on the machine To.
type Move struct{ Piece, To int }

// Plan is a decision. Recode, when not zero, comes instead of Moves: the whole
// segment gets that geometry. More, when not zero, is a larger n.
type Plan struct {
	Moves  []Move
	More   []int // machines for pieces beyond the present n
	Recode erasure.Geometry
	Homes  []int // with Recode: the machine of each new piece
	// Waiting are pieces that will be made anew when the grace is over or there
	// are too few to spare; Homeless ones, when somebody has room; Idle ones,
	// when somebody joins: on the machines there are they would make nothing
	// safer.
	Waiting, Homeless, Idle int
	// Spare is how many pieces more than k are relied on; negative: lost
	// unless machines come back.
	Spare int
}

// Nothing tells that there is nothing to do now.
func (p *Plan) Nothing() bool {
	return len(p.Moves) == 0 && len(p.More) == 0 && p.Recode == (erasure.Geometry{})
}

// Decide says what a segment needs.
func Decide(s *Segment, ms []Machine, pol Policy) Plan {
	held := make([]int, len(ms)) // of pieces that count
	var urgent, lazy []int
	for i, p := range s.Pieces {
		switch {
		case p.At < 0 || p.State != There:
			// On a machine that is only away: it may take what it is owed
			// when it is back, and a piece that it lost as well.
			if p.At >= 0 && ms[p.At].Standing == Away && !pol.Now {
				lazy = append(lazy, i)
			} else {
				urgent = append(urgent, i)
			}
		case ms[p.At].Standing == Leaving:
			urgent = append(urgent, i)
		case !ms[p.At].Standing.counts(), pol.Now && ms[p.At].Standing == Away:
			lazy = append(lazy, i)
		default:
			held[p.At]++
		}
	}
	sound := 0
	for _, h := range held {
		sound += h
	}
	plan := Plan{Spare: sound - s.K}
	if waiting := onlyAway(s, ms, lazy); !pol.Now {
		// Machines that are away now are no reason to send their part to
		// others, however few pieces are left: the grace is for them.
		lazy = slices.DeleteFunc(lazy, func(i int) bool { return slices.Contains(waiting, i) })
		plan.Waiting = len(waiting)
		if plan.Spare > margin(s.Geometry, pol) {
			plan.Waiting += len(lazy)
			lazy = nil
		}
	}
	todo := append(urgent, lazy...)
	slices.Sort(todo)
	takers, liked := takers(ms, true), takers(ms, false)
	if pol.Fixed {
		plan.fill(s, takers, liked, held, todo)
		return plan
	}
	if g := placement.Target(s.Geometry, members(ms)); g != s.Geometry && plan.Spare >= 0 && (g.K == s.K || !s.Pinned) {
		if plan.regroup(s, g, takers, held) {
			return plan
		}
	}
	plan.fill(s, takers, liked, held, todo)
	plan.level(s, liked, held)
	return plan
}

// onlyAway picks the pieces whose machine may come back within the grace.
func onlyAway(s *Segment, ms []Machine, of []int) (out []int) {
	for _, i := range of {
		if at := s.Pieces[i].At; at >= 0 && ms[at].Standing == Away {
			out = append(out, i)
		}
	}
	return out
}

func margin(g erasure.Geometry, pol Policy) int {
	if pol.Margin >= 0 {
		return pol.Margin
	}
	return (g.N - g.K + 1) / 2
}

// takers are the machines as placement sees them, with only those taking
// pieces that can be relied on, and shunned ones only if wanted.
func takers(ms []Machine, shunned bool) []placement.Machine {
	out := make([]placement.Machine, len(ms))
	for i, m := range ms {
		out[i] = m.Machine
		out[i].Takes = m.Takes && m.Standing == Well && (shunned || !m.Shunned)
	}
	return out
}

// members counts the machines that the circle has for good, away or not.
func members(ms []Machine) (n int) {
	for _, m := range ms {
		if m.Standing.counts() {
			n++
		}
	}
	return n
}

// fill gives each piece of todo a home: the machine that it was meant for when
// that is well, else another, rather a liked one.
func (plan *Plan) fill(s *Segment, ms, liked []placement.Machine, held []int, todo []int) {
	var homeless []int
	for _, i := range todo {
		at := s.Pieces[i].At
		if at >= 0 && s.Pieces[i].State != There && ms[at].Takes && held[at] == 0 && (ms[at].Room < 0 || ms[at].Room >= s.Size) {
			plan.Moves = append(plan.Moves, Move{i, at})
			held[at]++
			continue
		}
		homeless = append(homeless, i)
	}
	homeless, _ = plan.settle(s, liked, held, homeless)
	homeless, idle := plan.settle(s, ms, held, homeless)
	plan.Idle += idle
	plan.Homeless += len(homeless) - idle
}

// settle gives pieces homes, and those back that have none, of them idle ones
// that machines would take.
func (plan *Plan) settle(s *Segment, ms []placement.Machine, held []int, pieces []int) (left []int, idle int) {
	homes := placement.Choose(ms, held, len(pieces), s.Size, s.Turn)
	for j, to := range homes {
		// A second piece on a machine is worth its room only where it lets
		// one more machine be lost.
		if held[to] > 0 && !gains(held, to, s.K) {
			return pieces[j:], len(homes) - j
		}
		plan.Moves = append(plan.Moves, Move{pieces[j], to})
		held[to]++
	}
	return pieces[len(homes):], 0
}

// gains tells whether a further piece on a machine makes anything safer: a
// machine more may be lost, or as many in more ways.
func gains(held []int, to, k int) bool {
	before := placement.MayLose(held, k)
	held[to]++
	after := placement.MayLose(held, k)
	held[to]--
	return after > before || after == before && held[to] < k
}

// level moves pieces from machines that hold several to ones that hold none,
// where that lets more machines be lost.
func (plan *Plan) level(s *Segment, ms []placement.Machine, held []int) {
	if len(plan.Moves) > 0 {
		return // at the next look
	}
	for i, p := range s.Pieces {
		if p.At < 0 || p.State != There || held[p.At] < 2 {
			continue
		}
		free := placement.Choose(ms, held, 1, s.Size, s.Turn)
		if len(free) == 0 || held[free[0]] > 0 {
			return
		}
		plan.Moves = append(plan.Moves, Move{i, free[0]})
		held[p.At]--
		held[free[0]]++
	}
}

// regroup plans another geometry; false when too few machines take part now.
func (plan *Plan) regroup(s *Segment, g erasure.Geometry, ms []placement.Machine, held []int) bool {
	if g.K == s.K {
		more := placement.Choose(ms, held, g.N-s.N, s.Size, s.Turn)
		if len(more) < g.N-s.N {
			return false
		}
		plan.More = more
		return true
	}
	size := s.Size * int64(s.K) / int64(g.K)
	homes := placement.Choose(ms, make([]int, len(ms)), g.N, size, s.Turn)
	if len(homes) < g.N {
		return false
	}
	seen := map[int]bool{}
	for _, h := range homes {
		if seen[h] {
			return false
		}
		seen[h] = true
	}
	plan.Recode, plan.Homes = g, homes
	return true
}
