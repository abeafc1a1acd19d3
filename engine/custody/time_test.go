// SPDX-License-Identifier: MPL-2.0

package custody_test

import (
	"errors"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
)

const year = 365 * ct.Day

func TestOneClockOffByAYear(t *testing.T) {
	for name, skew := range map[string]int64{"ahead": year, "behind": -year} {
		for _, alone := range []bool{false, true} {
			w := ct.New(t, 5)
			wrong := w.Custodians[2]
			wrong.Skew, wrong.Alone = skew, alone
			ticket := w.Grant(w.Terms(10*ct.Day, 1), ct.Item(1, 1))
			before := wrong.Kept.Day
			for range 3 {
				w.Now += ct.Day
				w.Tick()
				opens(t, w, ticket, 1, 1)
				_, err := wrong.Answer(request(t, w, ticket, 1).Request.Raw, w.Gateway.Device)
				reason(t, err, custody.ClockDoubt)
			}
			if wrong.Kept.Day != before {
				t.Fatalf("%s, alone %v: a wrong clock erased keys", name, alone)
			}
			// Set right again, it takes part again.
			wrong.Skew, wrong.Alone = 0, false
			w.Tick()
			if _, err := wrong.Answer(request(t, w, ticket, 1).Request.Raw, w.Gateway.Device); err != nil {
				t.Fatal(name, ": a repaired clock: ", err)
			}
			wrong.Skew = skew
			w.Now = ticket.Grant.Body.NotAfter
			w.Tick()
			if _, err := w.Open(ticket, 1); err == nil {
				t.Fatal(name, ": opens after the end")
			}
		}
	}
}

// Among three, one wrong clock must not silence the other two.
func TestOneOfThreeClocks(t *testing.T) {
	w := ct.New(t, 3)
	w.Custodians[0].Skew = -year
	ticket := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	opens(t, w, ticket, 1, 1)
}

func TestClocksTurnedBackTogether(t *testing.T) {
	w := ct.New(t, 3)
	ticket := w.Grant(w.Terms(5*ct.Day, 1), ct.Item(1, 1))
	end := ticket.Grant.Body.NotAfter
	w.Now = end + 3600
	w.Tick()
	for _, c := range w.Custodians {
		c.Skew = -2 * 3600 // all agree that it is not over yet
	}
	w.Tick()
	if _, err := w.Open(ticket, 1); err == nil {
		t.Fatal("clocks that were turned back together open an expired grant")
	}

	// The limit that the documents state: custodians that were all off since
	// before the end and wake with the same wrong time do serve ...
	w = ct.New(t, 5)
	ticket = w.Grant(w.Terms(5*ct.Day, 1), ct.Item(1, 1))
	w.Now = ticket.Grant.Body.NotAfter - 3600
	w.Tick()
	late := request(t, w, ticket, 1)
	w.Now += 3*ct.Day + 3600
	for _, c := range w.Custodians {
		c.Skew = -3*ct.Day - 3600
	}
	sleepers, honest := w.Custodians[:2], w.Custodians[4]
	w.Custodians[3].Off, honest.Off = true, true
	w.Ask(late, w.Custodians[:3]...)
	if _, err := late.Key(w.Brand.KEM); err != nil {
		t.Fatal("the limit that the documents state does not hold: ", err)
	}
	// ... until enough honest clocks are heard: for two sleepers, one does.
	late = dateAgain(t, w, ticket)
	w.Custodians[2].Off = true
	honest.Off, honest.Skew = false, 0
	w.Custodians[3].Off, w.Custodians[3].Skew = false, 0
	w.Tick()
	if _, err := w.Ask(late, sleepers...); err == nil || late.Have() != 0 {
		t.Fatal("sleepers serve after honest clocks were heard")
	}
}

func dateAgain(t *testing.T, w *ct.World, ticket *custody.Ticket) *custody.Opening {
	t.Helper()
	o, err := w.Brand.Member.Request(ticket, ct.File(1), ticket.Grant.Body.NotAfter-60)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestErasureBeatsLaterCompromise(t *testing.T) {
	w := ct.New(t, 5)
	ticket := w.Grant(w.Terms(20, 1), ct.Item(1, 1))
	longer := w.Grant(w.Terms(30*ct.Day, 1), ct.Item(1, 1))
	late := request(t, w, ticket, 1)
	end := ticket.Grant.Body.NotAfter
	day := custody.ExpiryDay(end)
	for w.Now < end+4*ct.Day {
		gone := w.Custodians[0].Kept.Day > day
		if since := w.Now - int64(day)*ct.Day; gone != (since >= 2*ct.Day) {
			t.Fatalf("%d s after the expiry day began: erased is %v", since, gone)
		}
		w.Now += 3600
		w.Tick()
	}
	// All machines are seized: every custodian does whatever is asked, with
	// all it still has, and the brand helps.
	within := end - 1
	for _, c := range w.Custodians {
		if _, err := c.Kept.At(day); !errors.Is(err, custody.ErrErased) {
			t.Fatal("an erased day comes back: ", err)
		}
		if _, err := c.Kept.Pseudonym(&ticket.Grant.Body); !errors.Is(err, custody.ErrErased) {
			t.Fatal("the name in an expired grant comes back: ", err)
		}
		c.Cheat, c.Hoard = &within, []custody.Chain{c.Kept}
	}
	_, err := w.Ask(late, w.Custodians...)
	reason(t, err, custody.Erased)
	if late.Have() != 0 {
		t.Fatal("a pad comes back after its day was erased")
	}
	for _, c := range w.Custodians {
		c.Cheat = nil
	}
	opens(t, w, longer, 1, 1) // later days are not touched
}

func TestNoErasureAlone(t *testing.T) {
	w := ct.New(t, 3)
	c := w.Custodians[0]
	c.Alone = true
	start := c.Kept
	w.Now += 3 * ct.Day // more than it may believe by itself
	w.Tick()
	if c.Kept != start {
		t.Fatal("erased without another clock")
	}
	c.Alone = false
	w.Tick()
	if c.Kept.Day != custody.DayOf(w.Now)-1 {
		t.Fatal("does not go on when others agree")
	}
	// Nor does anything move backward, or by a doubtful verdict.
	if _, moved := c.Kept.Settle(custody.Verdict{Now: ct.Start}); moved {
		t.Fatal("moved back")
	}
	if _, moved := c.Kept.Settle(custody.Verdict{Now: w.Now + 90*ct.Day, Doubt: "x"}); moved {
		t.Fatal("moved by a doubtful clock")
	}
}

func TestClockJudges(t *testing.T) {
	const now = int64(ct.Start)
	for name, c := range map[string]struct {
		high, own int64
		offsets   []int64
		ok        bool
		want      int64
	}{
		"agrees":               {now, now + 5, []int64{1, -3, 2}, true, now + 5},
		"ten minutes":          {now, now, []int64{600}, true, now},
		"more":                 {now, now, []int64{601}, false, 0},
		"two halves":           {now, now, []int64{year, year, 1}, false, 0},
		"a majority":           {now, now, []int64{year, -year, 1, 2}, true, now},
		"alone":                {now, now + 2*ct.Day, nil, true, now + 2*ct.Day},
		"alone, far ahead":     {now, now + 2*ct.Day + 1, nil, false, 0},
		"together, far ahead":  {now, now + year, []int64{0, 0}, true, now + year},
		"a second back":        {now, now - 1, nil, true, now},
		"back":                 {now, now - 601, []int64{0, 0}, false, 0},
		"nothing known":        {0, now, nil, false, 0},
		"nothing but others":   {0, now, []int64{0}, true, now},
		"before 1970":          {0, -5, []int64{0}, false, 0},
		"impossible offsets":   {now, now, []int64{-1 << 63, 1<<63 - 1}, true, now},
		"an impossible offset": {now, now, []int64{-1 << 63}, false, 0},
	} {
		v, next := custody.Clock{High: c.high}.Judge(c.own, c.offsets)
		if (v.Doubt == "") != c.ok || c.ok && v.Now != c.want {
			t.Errorf("%s: %+v", name, v)
		}
		if next.High < c.high || !c.ok && next.High != c.high {
			t.Errorf("%s: the mark went to %d", name, next.High)
		}
	}
}
