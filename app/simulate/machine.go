// SPDX-License-Identifier: MPL-2.0

package main

import (
	"math/rand/v2"

	"github.com/preezm/preezm/engine/audit"
	"github.com/preezm/preezm/engine/presence"
	"github.com/preezm/preezm/peers"
)

// habit is how a machine is used: when it is on, and what becomes of it. Rates
// are per year. They are assumptions, chosen after what is published about
// home machines and disks (a few per cent of disks fail a year), on the sad
// side for machines of friends, who lose interest.
type habit struct {
	name      string
	share     float64 // of all machines
	from, to  int     // hours of the day in which it is on
	days      float64 // the chance of a day on which it is
	dies      float64 // and nobody tells
	leaves    float64 // and its owner says so before
	diskFails float64 // everything on it is lost, and it goes on
	rots      float64 // a part of it
	holidays  float64 // times that it is off for one to three weeks
	hiccups   float64 // times that it is off for hours
}

var habits = []habit{
	{name: "nas", share: 0.35, from: 0, to: 24, days: 1, dies: 0.05, leaves: 0.04, diskFails: 0.02, rots: 0.02, holidays: 0.2, hiccups: 20},
	{name: "desktop", share: 0.35, from: 17, to: 23, days: 0.8, dies: 0.10, leaves: 0.08, diskFails: 0.02, rots: 0.02, holidays: 2, hiccups: 5},
	{name: "laptop", share: 0.2, from: 9, to: 19, days: 0.7, dies: 0.15, leaves: 0.10, diskFails: 0.02, rots: 0.01, holidays: 2, hiccups: 10},
	{name: "seldom", share: 0.1, from: 19, to: 22, days: 0.25, dies: 0.25, leaves: 0.10, diskFails: 0.02, rots: 0.02, holidays: 4},
}

// machine is one machine of a circle, as it is and as the owner sees it.
type machine struct {
	*habit
	id       peers.DeviceID
	house    string
	today    bool // on today, in its hours
	awayTill int  // hour until which it is off anyway
	dead     bool
	leaving  bool
	on       bool

	// What the owner knows.
	history presence.History
	score   float64
	audited int // hour of the last audit
	badAt   int

	suspected bool // replaced although it is well
}

func newMachine(rng *rand.Rand, number byte) *machine {
	x := rng.Float64()
	i := 0
	for ; i < len(habits)-1 && x >= habits[i].share; i++ {
		x -= habits[i].share
	}
	m := &machine{habit: &habits[i], score: 1, badAt: -1 << 30}
	m.id[0], m.id[1] = number, byte(rng.UintN(256))
	return m
}

const hoursAYear = 365.25 * 24

// hour lives one hour: fate strikes, and the machine is on or not.
func (m *machine) hour(rng *rand.Rand, h int, harsh float64) (died, lostDisk, rotted, wantsOut bool) {
	if m.dead {
		m.on = false
		return
	}
	strikes := func(rate float64) bool { return rng.Float64() < rate*harsh/hoursAYear }
	switch {
	case strikes(m.dies):
		m.dead, m.on = true, false
		return true, false, false, false
	case strikes(m.diskFails):
		lostDisk = true
	case strikes(m.rots):
		rotted = true
	case strikes(m.leaves):
		wantsOut = true
	case strikes(m.holidays):
		m.awayTill = max(m.awayTill, h+24*(7+rng.IntN(15)))
	case strikes(m.hiccups):
		m.awayTill = max(m.awayTill, h+1+rng.IntN(20))
	}
	if h%24 == 0 {
		m.today = rng.Float64() < m.days
	}
	clock := h % 24
	m.on = m.today && clock >= m.from && clock < m.to && h >= m.awayTill
	return
}

// audits does the night's check when its time has come: of some pieces, of
// which a share is bad.
func (m *machine) audits(rng *rand.Rand, h int, pieces, bad int) (found bool) {
	if pieces == 0 || h-m.audited < 24 {
		return false
	}
	m.audited = h
	r := audit.Result{Asked: min(pieces, audit.Sample)}
	for range r.Asked {
		if rng.IntN(pieces) >= bad {
			r.Good++
		}
	}
	m.score = audit.Score(m.score, &r)
	if r.Bad() {
		m.badAt = h
	}
	return r.Bad()
}
