// SPDX-License-Identifier: MPL-2.0

package main

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/preezm/preezm/engine/audit"
	"github.com/preezm/preezm/engine/placement"
	"github.com/preezm/preezm/engine/presence"
	"github.com/preezm/preezm/engine/repair"
	"github.com/preezm/preezm/erasure"
)

// parts is in how many groups an owner's data is followed: each stands for
// thousands of segments that lie alike.
const parts = 8

var epoch = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

// piece is a piece as it really is, beside what the owner's catalog says.
type piece struct {
	of    *machine
	state repair.State
	bad   bool // it is not there, or not right; the owner may not know
}

// part is one group of the owner's data.
type part struct {
	erasure.Geometry
	pieces []piece
	bytes  int64 // of each piece
}

// circle is one owner and the machines that keep for it.
type circle struct {
	*options
	tally   tally
	rng     *rand.Rand
	size    int
	owner   *machine
	ms      []*machine
	parts   []part
	joins   []int // hours at which somebody joins
	budget  int64 // bytes that repair may still move
	number  byte
	planned int // hour of the last decision
	dirty   bool
}

func newCircle(o *options, size int, seed, number uint64) *circle {
	c := &circle{options: o, size: size, rng: rand.New(rand.NewPCG(seed, number))}
	c.owner = &machine{habit: &habits[1+c.rng.IntN(2)]}
	for range size {
		c.join()
	}
	c.put()
	c.tally.circles = 1
	return c
}

func (c *circle) join() {
	c.number++
	m := newMachine(c.rng, c.number)
	if c.rng.IntN(4) == 0 && len(c.ms) > 0 {
		m.house = "h" // a second machine in somebody's house
	}
	c.ms = append(c.ms, m)
	c.dirty = true
}

// put keeps the owner's data anew, on everybody.
func (c *circle) put() {
	c.parts = make([]part, parts)
	for i := range c.parts {
		g, err := erasure.ForCircle(max(len(c.ms), 1))
		if err != nil || len(c.ms) == 0 {
			continue
		}
		p := part{Geometry: g, bytes: c.data / parts / int64(g.K)}
		places := make([]placement.Machine, len(c.ms))
		for j, m := range c.ms {
			places[j] = placement.Machine{ID: m.id, House: m.house, Room: -1, Likely: m.history.Likely(), Takes: true}
		}
		for _, at := range placement.Choose(places, make([]int, len(places)), g.N, p.bytes, uint64(i)) {
			p.pieces = append(p.pieces, piece{of: c.ms[at], state: repair.There})
		}
		c.parts[i] = p
	}
}

// live goes through the years, hour by hour.
func (c *circle) live() {
	end := c.years * int(hoursAYear)
	for h := range end {
		c.fate(h)
		c.owner.hour(c.rng, h, 0)
		if c.owner.on {
			c.look(h)
		}
		c.countLosses()
		if h%(24*30) == 0 {
			c.guess()
		}
	}
	c.tally.hours = int64(end)
}

// fate lives an hour of every machine.
func (c *circle) fate(h int) {
	for i := 0; i < len(c.joins); i++ {
		if c.joins[i] <= h {
			c.joins = slices.Delete(c.joins, i, i+1)
			i--
			c.join()
		}
	}
	for _, m := range c.ms {
		was := m.on
		died, disk, rot, out := m.hour(c.rng, h, c.harsh)
		c.dirty = c.dirty || m.on != was
		switch {
		case died:
			c.tally.machinesLost++
			c.spoil(m, 1)
		case disk:
			c.tally.disksLost++
			c.spoil(m, 1)
		case rot:
			c.spoil(m, 0.1+0.3*c.rng.Float64())
		case out && !m.leaving:
			c.tally.left++
			m.leaving = true
			c.joins = append(c.joins, h+24*(3+c.rng.IntN(60)))
		}
	}
}

// spoil makes a share of what a machine holds bad.
func (c *circle) spoil(m *machine, share float64) {
	for i := range c.parts {
		for j := range c.parts[i].pieces {
			p := &c.parts[i].pieces[j]
			if p.of == m && c.rng.Float64() < share {
				p.bad = true
			}
		}
	}
}

// look is what the owner's node does in an hour in which it runs.
func (c *circle) look(h int) {
	now := epoch.Add(time.Duration(h) * time.Hour)
	for _, m := range c.ms {
		m.history.Mark(now, m.on)
		if m.on {
			c.check(m, h)
		}
	}
	c.tally.asked++
	if c.canRead() {
		c.tally.readable++
	}
	c.budget = min(c.budget+c.rate*3600, max(c.rate*3600, 2*c.data/parts))
	if !c.dirty && h-c.planned < 24 {
		return
	}
	c.planned, c.dirty = h, false
	ms := c.crew(now, h)
	for i := range c.parts {
		// A part may need several steps: more pieces, then a move.
		for range 4 {
			if !c.mend(&c.parts[i], ms, uint64(i)) {
				break
			}
		}
	}
	c.dismiss(ms, h)
}

// check audits a machine, and tells the catalog what was found.
func (c *circle) check(m *machine, h int) {
	pieces, bad := 0, 0
	for i := range c.parts {
		for _, p := range c.parts[i].pieces {
			if p.of == m && p.state == repair.There {
				pieces++
				if p.bad {
					bad++
				}
			}
		}
	}
	if !m.audits(c.rng, h, pieces, bad) {
		return
	}
	c.dirty = true
	// Each group stands for many segments: where some are bad, all that are
	// found before the week is out are.
	for i := range c.parts {
		for j := range c.parts[i].pieces {
			if p := &c.parts[i].pieces[j]; p.of == m && p.bad && c.rng.IntN(2) == 0 {
				p.state = repair.Lost
			}
		}
	}
}

// crew is the circle as decisions see it, by what the owner knows.
func (c *circle) crew(now time.Time, h int) []repair.Machine {
	out := make([]repair.Machine, len(c.ms))
	for i, m := range c.ms {
		s := repair.Well
		switch {
		case m.leaving:
			s = repair.Leaving
		case m.score < audit.Bad && h-m.badAt < int(audit.Forgive/time.Hour):
			s = repair.Failing
		case m.history.Missed(now, c.grace):
			s = repair.Missing
		case !m.on:
			s = repair.Away
		}
		out[i] = repair.Machine{
			Machine:  placement.Machine{ID: m.id, House: m.house, Room: -1, Likely: m.history.Likely(), Takes: m.on},
			Standing: s,
		}
	}
	return out
}

// mend does for a part what is decided, as far as the hour's bytes reach.
func (c *circle) mend(p *part, ms []repair.Machine, turn uint64) bool {
	seg := &repair.Segment{Geometry: p.Geometry, Size: p.bytes, Turn: turn}
	for _, x := range p.pieces {
		seg.Pieces = append(seg.Pieces, repair.Piece{At: slices.Index(c.ms, x.of), State: x.state})
	}
	plan := repair.Decide(seg, ms, repair.Policy{Margin: c.margin})
	moves := len(plan.Moves) + len(plan.More)
	if plan.Nothing() || c.budget <= 0 || !p.readableNow() {
		return false
	}
	before := p.relied(c.ms, ms)
	read, sent := int64(p.K)*p.bytes, int64(moves)*p.bytes
	if plan.Recode.N > 0 {
		size := p.bytes * int64(p.K) / int64(plan.Recode.K)
		sent = size * int64(plan.Recode.N)
		*p = part{Geometry: plan.Recode, bytes: size}
		for _, at := range plan.Homes {
			p.pieces = append(p.pieces, piece{of: c.ms[at], state: repair.There})
		}
	}
	for _, mv := range plan.Moves {
		p.pieces[mv.Piece] = piece{of: c.ms[mv.To], state: repair.There}
	}
	for _, at := range plan.More {
		p.pieces = append(p.pieces, piece{of: c.ms[at], state: repair.There})
		p.N++
	}
	c.budget -= read + sent
	c.tally.read += read / 1000
	c.tally.sent += sent / 1000
	c.tally.repaired += int64(max(moves, plan.Recode.N))
	if p.relied(c.ms, ms) < before {
		c.tally.worse++
	}
	return true
}

// dismiss lets machines go that hold nothing any more and will not come back,
// and asks somebody else in.
func (c *circle) dismiss(ms []repair.Machine, h int) {
	for i := len(c.ms) - 1; i >= 0; i-- {
		m := c.ms[i]
		s := ms[i].Standing
		if s == repair.Missing && !m.dead {
			if !m.suspected {
				m.suspected = true
				c.tally.falselySuspected++
			}
			continue // nobody takes a friend's machine out for a holiday
		}
		m.suspected = false
		if s != repair.Leaving && s != repair.Missing || c.holds(m) {
			continue
		}
		if !m.leaving {
			c.joins = append(c.joins, h+24*(3+c.rng.IntN(60)))
		}
		c.ms = slices.Delete(c.ms, i, i+1)
		c.dirty = true
	}
}

func (c *circle) holds(m *machine) bool {
	for i := range c.parts {
		if slices.ContainsFunc(c.parts[i].pieces, func(p piece) bool { return p.of == m }) {
			return true
		}
	}
	return false
}

// readableNow: k true pieces are on machines that are on.
func (p *part) readableNow() bool {
	n := 0
	for _, x := range p.pieces {
		if x.of.on && !x.bad {
			n++
		}
	}
	return n >= p.K
}

// relied is how many machines may be lost, of those that are relied on and by
// what is there in truth.
func (p *part) relied(on []*machine, ms []repair.Machine) int {
	held := make([]int, len(on))
	for _, x := range p.pieces {
		at := slices.Index(on, x.of)
		if at >= 0 && !x.bad && !x.of.dead && (ms[at].Standing == repair.Well || ms[at].Standing == repair.Away) {
			held[at]++
		}
	}
	return placement.MayLose(held, p.K)
}

func (c *circle) canRead() bool {
	for i := range c.parts {
		if !c.parts[i].readableNow() {
			return false
		}
	}
	return true
}

// countLosses begins anew after a loss.
func (c *circle) countLosses() {
	for i := range c.parts {
		good := 0
		for _, x := range c.parts[i].pieces {
			if !x.bad {
				good++
			}
		}
		if good < c.parts[i].K {
			c.tally.losses++
			for j := len(c.ms) - 1; j >= 0; j-- {
				if c.ms[j].dead || c.ms[j].leaving {
					c.ms = slices.Delete(c.ms, j, j+1)
				}
			}
			for len(c.ms) < c.size {
				c.join()
			}
			c.joins = nil
			c.put()
			return
		}
	}
}

// guess asks for the estimate that status would give.
func (c *circle) guess() {
	safe := 1.0
	seen := map[string]bool{}
	for i := range c.parts {
		p := &c.parts[i]
		held := map[*machine]int{}
		var order []*machine
		key := ""
		for _, x := range p.pieces {
			if x.state == repair.There {
				if held[x.of] == 0 {
					order = append(order, x.of)
				}
				held[x.of]++
			}
		}
		slices.SortFunc(order, func(a, b *machine) int { return slices.Compare(a.id[:], b.id[:]) })
		var holders []presence.Holder
		for _, m := range order {
			holders = append(holders, presence.Holder{Pieces: held[m], Likely: m.history.Likely(), Wait: m.history.Patience(c.grace)})
			key += string(m.id[:2]) + string(rune('0'+held[m]))
		}
		if !seen[key] {
			seen[key] = true
			safe *= 1 - presence.YearlyLoss(holders, p.K, c.grace)
		}
	}
	c.tally.estimate += int64(1e9 * (1 - safe))
	c.tally.estimates++
}
