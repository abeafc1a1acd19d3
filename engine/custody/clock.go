// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"fmt"
	"slices"
)

const (
	clockLeeway  = 600       // seconds that honest clocks may differ
	aloneForward = 2 * 86400 // seconds a clock may advance without peers
)

// Verdict is a custodian's judgement of its clock. With a Doubt it neither
// releases nor forgets.
type Verdict struct {
	Now   int64  // Unix seconds to decide by
	Doubt string // why the clock is not trusted; empty: it is
}

// Clock is what a custodian remembers about time: the latest second that it
// believed, which must survive a restart. Zero means nothing is known yet; the
// time of the appointment, which the owner signed, is the first value.
type Clock struct {
	High int64
}

// Judge compares the machine's clock with those of peers, given as offsets in
// seconds (theirs less ours), and with what was believed before. It returns
// the clock to keep. Only peers of the owner's choosing may be heard here, each
// once. A custodian in doubt abstains; since k of n must agree, moving one clock
// moves nothing.
func (c Clock) Judge(own int64, offsets []int64) (Verdict, Clock) {
	doubt := func(format string, args ...any) (Verdict, Clock) {
		return Verdict{Now: own, Doubt: fmt.Sprintf(format, args...)}, c
	}
	if !goodTime(own) {
		return doubt("the clock shows no possible time")
	}
	if lo, hi := middle(offsets); lo < -clockLeeway || hi > clockLeeway {
		return doubt("the clock differs from the median of %d clocks by %d s", len(offsets)+1, max(-lo, hi))
	}
	switch {
	case own < c.High-clockLeeway:
		return doubt("the clock went back by %d s", c.High-own)
	case len(offsets) == 0 && c.High == 0:
		return doubt("no other clock was heard yet")
	case len(offsets) == 0 && own-c.High > aloneForward:
		return doubt("the clock went forward by %d s and no other was heard", own-c.High)
	}
	// Small steps back are what time services do; time stands still meanwhile,
	// so that no grant comes back to life.
	now := max(own, c.High)
	return Verdict{Now: now}, Clock{High: now}
}

// middle gives the lower and the upper median of the offsets and our own clock
// (0). Our own counts, so that among three one wrong clock is outvoted; both
// middles count, so that two halves that disagree lead to a doubt.
func middle(offsets []int64) (lo, hi int64) {
	s := append(slices.Clone(offsets), 0)
	for i := range s {
		s[i] = min(max(s[i], -maxTime), maxTime) // their sign can be turned safely
	}
	slices.Sort(s)
	return s[(len(s)-1)/2], s[len(s)/2]
}
