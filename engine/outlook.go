// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/placement"
	"github.com/preezm/preezm/engine/presence"
	"github.com/preezm/preezm/engine/repair"
	"github.com/preezm/preezm/peers"
)

// Outlook is what is to be expected of everything kept, and what is being done
// for it. Pieces and segments are those of all versions.
type Outlook struct {
	Grace time.Duration `json:"grace_ns"`
	// Todo are pieces that are made anew as soon as the running node comes to
	// it, Waiting those whose machine is still waited for, Homeless those that
	// no machine has room for, Idle those that would make nothing safer in a
	// circle as small as this.
	Todo     int64 `json:"todo"`
	Waiting  int64 `json:"waiting"`
	Homeless int64 `json:"homeless"`
	Idle     int64 `json:"idle"`
	// Recode are segments that will get a k and n that fit the circle better,
	// Fit those that have it.
	Recode  int64   `json:"recode"`
	Fit     int64   `json:"fit"`
	Leaving []Leave `json:"leaving,omitempty"`
	// MayLoseHouses is MayLose with every house taken as one machine; Houses
	// says whether any machine has one.
	Houses        bool `json:"houses"`
	MayLoseHouses int  `json:"may_lose_houses"`
	// YearlyLoss estimates the chance that anything is lost within a year,
	// Readable the chance that everything can be brought back at some moment,
	// from the hours in which machines were seen on: of the one seen longest,
	// Hours. See docs/care.md.
	YearlyLoss float64 `json:"yearly_loss"`
	Readable   float64 `json:"readable"`
	Hours      int     `json:"hours"`
}

// mostPatterns bounds the different sets of holders that are computed for: a
// large circle has many, and they are much alike.
const mostPatterns = 2000

// outlook gathers an Outlook from a look at every segment.
type outlook struct {
	Outlook
	crew     *crew
	holders  []presence.Holder // of one piece each, by machine
	patterns map[string]struct{}
	safe     float64 // the chance that nothing is lost
}

func (e *Engine) newOutlook(w *crew, c *care) *outlook {
	o := &outlook{crew: w, patterns: map[string]struct{}{}, safe: 1}
	o.Grace, o.Readable, o.MayLoseHouses = c.grace, 1, noLimit
	for _, m := range w.ms {
		holder := presence.Holder{Pieces: 1, Likely: m.Likely}
		o.Houses = o.Houses || m.House != ""
		if h := c.history[m.ID]; h != nil {
			o.Hours = max(o.Hours, h.Known())
			holder.Wait = h.Patience(c.grace)
		}
		o.holders = append(o.holders, holder)
	}
	return o
}

func (o *outlook) look(s *catalog.Spread) {
	seg := o.crew.segment(s)
	plan := repair.Decide(seg, o.crew.ms, repair.Policy{Margin: -1})
	o.Todo += int64(len(plan.Moves) + len(plan.More))
	o.Waiting += int64(plan.Waiting)
	o.Homeless += int64(plan.Homeless)
	o.Idle += int64(plan.Idle)
	if plan.Recode.N > 0 || len(plan.More) > 0 {
		o.Recode++
	} else {
		o.Fit++
	}
	held := make([]int, len(o.crew.ms))
	for _, p := range seg.Pieces {
		if p.At >= 0 && p.State == repair.There {
			held[p.At]++
		}
	}
	key := make([]byte, 0, len(held)+1)
	key = append(key, byte(s.K))
	for _, h := range held {
		key = append(key, byte(h))
	}
	if _, ok := o.patterns[string(key)]; ok || len(o.patterns) >= mostPatterns {
		return
	}
	o.patterns[string(key)] = struct{}{}
	var machines []placement.Machine
	var holders []presence.Holder
	for i, h := range held {
		machines = append(machines, o.crew.ms[i].Machine)
		if h > 0 {
			holder := o.holders[i]
			holder.Pieces = h
			holders = append(holders, holder)
		}
	}
	o.MayLoseHouses = min(o.MayLoseHouses, placement.MayLose(placement.Houses(machines, held), s.K))
	// Sets of holders share machines: the product errs on the careful side.
	o.safe *= 1 - presence.YearlyLoss(holders, s.K, o.Grace)
	o.Readable = min(o.Readable, presence.AtLeast(holders, s.K))
}

func (o *outlook) end() *Outlook {
	o.YearlyLoss = 1 - o.safe
	if o.MayLoseHouses == noLimit {
		o.MayLoseHouses = 0
	}
	return &o.Outlook
}

// Conduct is how a keeper has done so far.
type Conduct struct {
	Standing string        `json:"standing"`           // well, away, missing, failing, leaving
	Away     time.Duration `json:"away_ns,omitempty"`  // as far as it was looked at
	Likely   float64       `json:"likely"`             // the share of the time that it is on
	Hours    int           `json:"hours"`              // in which it was asked
	Score    float64       `json:"score"`              // of spot checks, 1 is good
	Audited  time.Time     `json:"audited,omitzero"`   // the last one
	Proven   int64         `json:"proven,omitempty"`   // pieces, in all of them
	Unproven int64         `json:"unproven,omitempty"` // pieces
}

func standingWord(s repair.Standing) string {
	return [...]string{repair.Well: "well", repair.Away: "away", repair.Missing: "missing", repair.Failing: "failing", repair.Leaving: "leaving"}[s]
}

// conduct tells how a keeper has done. The lock is held.
func (e *Engine) conduct(c *care, d peers.DeviceID) Conduct {
	out := Conduct{Standing: standingWord(e.standing(c, d)), Likely: 0.5, Score: 1}
	if h := c.history[d]; h != nil {
		out.Likely, out.Hours, out.Away = h.Likely(), h.Known(), h.AwayFor(e.now())
	}
	if a, ok := c.audits[d]; ok {
		out.Score, out.Proven, out.Unproven = a.Score, a.Good, a.Asked-a.Good
		out.Audited = time.Unix(a.At, 0)
	}
	return out
}
