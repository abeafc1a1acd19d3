// SPDX-License-Identifier: MPL-2.0

// Package audit judges what keepers answer when they are asked to prove that
// they still hold what they were given, and says when to ask whom. It decides
// only: no network, no disk.
package audit

import (
	"fmt"
	"math"
	"time"
)

const (
	// Sample is how many pieces a keeper is asked for in a day.
	Sample = 20
	// Spots is how many places of each. Sixty places find a keeper that lost
	// a tenth of what it holds, wherever that lies, with 99.8 %.
	Spots = 3
	// Patience is how long an answer may take.
	Patience = 30 * time.Second

	// weight is how much one audit moves a score. A keeper that lost
	// everything falls below Bad in the first one; one that lost a piece of
	// twenty, never.
	weight = 0.3
	// Bad is the score below which a keeper's pieces are made anew elsewhere.
	Bad = 0.9
	// Forgive is how long after its last bad audit a keeper is given another
	// chance.
	Forgive = 30 * 24 * time.Hour
)

// Result is one audit of one keeper.
type Result struct {
	Asked   int `json:"asked"`
	Good    int `json:"good"`
	Lacking int `json:"lacking"` // it says that it does not have them
	Broken  int `json:"broken"`  // it found them damaged itself
	False   int `json:"false"`   // its proofs are of something else
}

// Bad tells whether anything was found.
func (r *Result) Bad() bool { return r.Good < r.Asked }

// Score moves a score by a result. A keeper begins with 1.
func Score(old float64, r *Result) float64 {
	if r.Asked == 0 {
		return old
	}
	score := old*(1-weight) + weight*float64(r.Good)/float64(r.Asked)
	return math.Round(score*1e6) / 1e6 // 0.9 is not below 0.9
}

// Words says what a result means, for both persons. A machine that loses
// things is taken for one with a failing disk: that is what it nearly always
// is, and proofs that do not fit look the same when a disk gives wrong bytes.
// Only who sends them again and again is said to do so. before is how many bad
// audits there were in a row.
func Words(r *Result, score float64, before int) string {
	if r.Asked == 0 {
		return "holds nothing yet that could be checked"
	}
	if !r.Bad() {
		return fmt.Sprintf("has all of the %d pieces it was asked for", r.Asked)
	}
	n := r.Asked - r.Good
	text := fmt.Sprintf("that machine's disk may be failing: %d of %d pieces did not pass the check; they are made anew", n, r.Asked)
	switch {
	case r.False > 0 && before >= 2:
		text = fmt.Sprintf("%d of %d pieces did not pass the check, for the %s time in a row, and its answers do not fit what it was given: ask its owner to look at the machine", n, r.Asked, ordinal(before+1))
	case score < Bad:
		text += ". Until it does better, everything it holds is made anew elsewhere"
	}
	return text
}

func ordinal(n int) string {
	switch {
	case n%100 >= 11 && n%100 <= 13:
	case n%10 == 1:
		return fmt.Sprintf("%dst", n)
	case n%10 == 2:
		return fmt.Sprintf("%dnd", n)
	case n%10 == 3:
		return fmt.Sprintf("%drd", n)
	}
	return fmt.Sprintf("%dth", n)
}

// The hours in which machines are asked by themselves, local time: people
// rarely wait for them then. One that is never on at night is asked when a
// day and a half have passed.
const (
	firstHour, lastHour = 1, 6
	day                 = 24 * time.Hour
)

// Due tells whether a keeper should be asked now: once a day, at a minute of
// the night that chance, from 0 to 1, draws for it and that day.
func Due(now, last time.Time, chance float64) bool {
	since := now.Sub(last)
	if since < 0 { // the clock went back: begin anew from here
		return true
	}
	if since >= day+day/2 {
		return true
	}
	start := time.Date(now.Year(), now.Month(), now.Day(), firstHour, 0, 0, 0, now.Location())
	at := start.Add(time.Duration(chance * float64(lastHour-firstHour) * float64(time.Hour)))
	return since >= day/2 && !now.Before(at) && now.Hour() < lastHour+1
}
