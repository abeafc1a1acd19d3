// SPDX-License-Identifier: MPL-2.0

package presence

import (
	"math"
	"time"
)

// Holder is somebody who holds pieces of a segment, for an estimate.
type Holder struct {
	Pieces int
	Likely float64 // the share of time that it is on
	// Wait is how long it would be waited for before it is missed; less than
	// the grace counts as the grace.
	Wait time.Duration
}

const (
	year = 365.25 * 24 * time.Hour
	// leaves is the assumed chance that a machine which is always on is gone
	// for good within a year; rarely adds to it for one that is never on.
	leaves, rarely = 0.05, 0.25
	// sending is the assumed time that a repair takes once it has begun and
	// enough machines are on.
	sending = 6 * time.Hour
	// together is the share of losses that take a second machine along: one
	// house, one person who gives up, one bad series of disks, one that fails
	// unseen when another is looked after. Such shares are a few per cent where
	// people have counted; make simulate is told of none of these causes and
	// finds as much, from failures that nobody notices for a while.
	together = 0.02
)

// Leaves is the assumed yearly chance that a machine is lost for good: 5 %
// for one that is always on, up to 30 % for one that nearly never is, since
// what is rarely switched on is the first to be given up.
func Leaves(likely float64) float64 { return leaves + rarely*(1-clamp(likely)) }

// YearlyLoss estimates the chance that fewer than k of the holders' pieces are
// left at some time within a year, when machines are lost independently and
// what they held is made anew after they were waited for. docs/care.md derives it.
func YearlyLoss(holders []Holder, k int, grace time.Duration) float64 {
	if len(holders) == 0 {
		return 0
	}
	// Until a loss is repaired: the waiting, the sending, and on average one
	// wait of a day divided by how often enough machines are on.
	on := max(AtLeast(holders, k), 0.01)
	wait := 0.0
	for _, h := range holders {
		wait += float64(max(grace, h.Wait)) / float64(len(holders))
	}
	window := wait + float64(sending) + float64(24*time.Hour)*(1/on-1)
	windows := float64(year) / window
	gone := make([]Holder, len(holders))
	for i, h := range holders {
		rate := -math.Log(1 - Leaves(h.Likely)) // a year
		stays := math.Exp(-rate / windows)
		gone[i] = Holder{Pieces: h.Pieces, Likely: stays}
	}
	fewer := below(gone, k)
	// 1-(1-p)^n without losing small p, and the losses of two at once, of which
	// the others do not make the first known in time.
	return clamp(-math.Expm1(windows*math.Log1p(-min(fewer, 1-1e-12)) - pairs(holders, gone, k)))
}

// pairs is how often a year two machines are lost at once and too little is left
// with those that stay.
func pairs(holders, gone []Holder, k int) (rate float64) {
	n := len(holders)
	for i := range n {
		for j := range n {
			if i == j {
				continue
			}
			left := make([]Holder, 0, n)
			for x := range gone {
				if x != i && x != j {
					left = append(left, gone[x])
				}
			}
			rate += -math.Log(1-Leaves(holders[i].Likely)) * together / float64(n-1) * below(left, k)
		}
	}
	return rate
}

// AtLeast is the chance that machines which hold at least k pieces are on at
// the same moment.
func AtLeast(holders []Holder, k int) float64 { return clamp(1 - below(holders, k)) }

// below is the chance that fewer than k pieces are on holders that are on,
// each with the chance Likely, independently.
func below(holders []Holder, k int) float64 {
	total := 0
	for _, h := range holders {
		total += h.Pieces
	}
	dist := make([]float64, total+1)
	dist[0] = 1
	for _, h := range holders {
		p := clamp(h.Likely)
		for i := total; i >= 0; i-- {
			v := dist[i] * (1 - p)
			if i >= h.Pieces {
				v += dist[i-h.Pieces] * p
			}
			dist[i] = v
		}
	}
	sum := 0.0
	for i := 0; i < min(k, total+1); i++ {
		sum += dist[i]
	}
	return sum
}

func clamp(p float64) float64 { return min(max(p, 0), 1) }
