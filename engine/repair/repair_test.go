// SPDX-License-Identifier: MPL-2.0

package repair

import (
	"math/rand/v2"
	"testing"

	"github.com/preezm/preezm/engine/placement"
	"github.com/preezm/preezm/erasure"
)

func circleOf(standings ...Standing) []Machine {
	out := make([]Machine, len(standings))
	for i, s := range standings {
		out[i] = Machine{Machine: placement.Machine{Room: -1, Likely: 0.5, Takes: true}, Standing: s}
		out[i].ID[0] = byte(i + 1)
	}
	return out
}

func whole(k, n int) *Segment {
	s := &Segment{Geometry: erasure.Geometry{K: k, N: n}, Size: 1}
	for i := range n {
		s.Pieces = append(s.Pieces, Piece{i, There})
	}
	return s
}

var auto = Policy{Margin: -1}

func TestNothingToDo(t *testing.T) {
	p := Decide(whole(3, 5), circleOf(Well, Well, Well, Well, Well), auto)
	if !p.Nothing() || p.Spare != 2 || p.Waiting != 0 {
		t.Errorf("%+v", p)
	}
}

func TestAwayIsWaitedFor(t *testing.T) {
	ms := circleOf(Well, Well, Well, Away, Away)
	if p := Decide(whole(3, 5), ms, auto); !p.Nothing() {
		t.Errorf("%+v", p)
	}
	p := Decide(whole(3, 5), ms, Policy{Margin: -1, Now: true})
	if len(p.Moves) != 2 {
		t.Errorf("told to repair: %+v", p)
	}
}

func TestMissingWithinTheMargin(t *testing.T) {
	ms := circleOf(Well, Well, Well, Well, Well, Well, Well, Well, Well, Missing)
	if p := Decide(whole(6, 10), ms, auto); !p.Nothing() || p.Waiting != 1 {
		t.Errorf("one of ten: %+v", p)
	}
	ms[0].Standing = Missing
	if p := Decide(whole(6, 10), ms, auto); len(p.Moves) != 2 {
		t.Errorf("two of ten: %+v", p)
	}
}

func TestLostIsMadeAnewWhereItWas(t *testing.T) {
	s := whole(3, 5)
	s.Pieces[2].State = Lost
	p := Decide(s, circleOf(Well, Well, Well, Well, Well), auto)
	if len(p.Moves) != 1 || p.Moves[0] != (Move{2, 2}) {
		t.Errorf("%+v", p)
	}
}

func TestGoneFromTheCircle(t *testing.T) {
	s := whole(3, 5)
	s.Pieces[3].At, s.Pieces[4].At = -1, -1
	p := Decide(s, circleOf(Well, Well, Well), auto)
	if len(p.Moves) != 2 {
		t.Fatalf("%+v", p)
	}
	held := apply(s, p, 3)
	if placement.MayLose(held, 3) != 1 {
		t.Errorf("%v", held)
	}
	if again := Decide(s, circleOf(Well, Well, Well), auto); !again.Nothing() {
		t.Errorf("it never ends: %+v", again)
	}
	// When others join, the second pieces move there.
	p = Decide(s, circleOf(Well, Well, Well, Well, Well), auto)
	if held = apply(s, p, 5); placement.MayLose(held, 3) != 2 {
		t.Errorf("%v %+v", held, p)
	}
}

// apply carries a plan out and gives what each machine holds.
func apply(s *Segment, p Plan, machines int) []int {
	for _, m := range p.Moves {
		s.Pieces[m.Piece] = Piece{m.To, There}
	}
	for _, to := range p.More {
		s.Pieces = append(s.Pieces, Piece{to, There})
		s.N++
	}
	if p.Recode.N > 0 {
		s.Geometry, s.Pieces = p.Recode, nil
		for _, h := range p.Homes {
			s.Pieces = append(s.Pieces, Piece{h, There})
		}
	}
	held := make([]int, machines)
	for _, x := range s.Pieces {
		if x.At >= 0 && x.State == There {
			held[x.At]++
		}
	}
	return held
}

func TestLeavingIsEmptied(t *testing.T) {
	s := whole(2, 3)
	ms := circleOf(Well, Well, Leaving)
	for range 5 {
		p := Decide(s, ms, auto)
		if p.Nothing() {
			break
		}
		apply(s, p, 3)
	}
	held := apply(s, Plan{}, 3)
	if held[2] != 0 || placement.MayLose(held[:2], 2) != 1 {
		t.Errorf("%v, %s", held, s.Geometry)
	}
}

func TestCirclesGrow(t *testing.T) {
	s := whole(1, 1)
	for n := 2; n <= 12; n++ {
		ms := circleOf(make([]Standing, n)...)
		for range 5 {
			p := Decide(s, ms, auto)
			if p.Nothing() {
				break
			}
			apply(s, p, n)
		}
		g, err := erasure.ForCircle(n)
		if err != nil {
			t.Fatal(err)
		}
		if got := placement.MayLose(apply(s, Plan{}, n), s.K); got < g.N-g.K {
			t.Errorf("%d machines: %s, %d may be lost, want %d", n, s.Geometry, got, g.N-g.K)
		}
	}
}

// Whatever a circle looks like, decisions end, and never make anything worse.
func TestDecisionsEnd(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 3000 {
		n := 1 + rng.IntN(12)
		g, err := erasure.ForCircle(n)
		if err != nil {
			t.Fatal(err)
		}
		s := &Segment{Geometry: g, Size: 1, Turn: rng.Uint64()}
		for i := range g.N {
			s.Pieces = append(s.Pieces, Piece{i, State(1 + rng.IntN(2)*rng.IntN(2))})
			if rng.IntN(6) == 0 {
				s.Pieces[i].At = -1
			}
		}
		ms := make([]Machine, n+rng.IntN(3))
		for i := range ms {
			ms[i] = circleOf(Standing(max(0, rng.IntN(8)-3)))[0]
			if rng.IntN(4) == 0 {
				ms[i].House = "one"
			}
		}
		relied := func() int {
			held := make([]int, len(ms))
			for _, p := range s.Pieces {
				if p.At >= 0 && p.State == There && ms[p.At].Standing.counts() {
					held[p.At]++
				}
			}
			return placement.MayLose(held, s.K)
		}
		before := relied()
		steps := 0
		for ; steps < 30; steps++ {
			p := Decide(s, ms, auto)
			if p.Nothing() {
				break
			}
			if p.Spare < 0 && p.Recode.N > 0 {
				t.Fatalf("round %d: recodes what it cannot read", round)
			}
			apply(s, p, len(ms))
			if after := relied(); after < before {
				t.Fatalf("round %d: %d may be lost, before it was %d: %+v", round, after, before, p)
			} else {
				before = after
			}
		}
		if steps == 30 {
			t.Fatalf("round %d: no end: %s %+v", round, s.Geometry, s.Pieces)
		}
	}
}
