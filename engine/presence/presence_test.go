// SPDX-License-Identifier: MPL-2.0

package presence

import (
	"math"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// live marks a history every quarter of an hour.
func live(h *History, from time.Time, hours int, on func(time.Time) bool) time.Time {
	for i := range 4 * hours {
		h.Mark(from.Add(time.Duration(i)*15*time.Minute), on(from.Add(time.Duration(i)*15*time.Minute)))
	}
	return from.Add(time.Duration(hours) * time.Hour)
}

func always(time.Time) bool { return true }
func never(time.Time) bool  { return false }

func TestLikely(t *testing.T) {
	var h History
	if got := h.Likely(); got != 0.5 {
		t.Errorf("of nothing: %v", got)
	}
	live(&h, start, 40*24, func(t time.Time) bool { return t.Hour() >= 18 })
	if got := h.Likely(); math.Abs(got-0.25) > 0.02 {
		t.Errorf("evenings only: %v", got)
	}
	if h.Known() != Hours {
		t.Errorf("%d hours known", h.Known())
	}
}

func TestAwayFor(t *testing.T) {
	var h History
	if h.AwayFor(start) != 0 {
		t.Error("away before it was asked")
	}
	at := live(&h, start, 24, always)
	at = live(&h, at, 100, never)
	if got := h.AwayFor(at); got < 99*time.Hour || got > 101*time.Hour {
		t.Errorf("away for %v", got)
	}
	h.Mark(at, true)
	if got := h.AwayFor(at.Add(time.Minute)); got != 0 {
		t.Errorf("away for %v after it answered", got)
	}
}

// A year's jump, or this machine's sleep, makes nobody look gone.
func TestAwayForAfterAJump(t *testing.T) {
	for _, jump := range []time.Duration{365 * 24 * time.Hour, 20 * 24 * time.Hour, -365 * 24 * time.Hour, -50 * time.Hour} {
		var h History
		at := live(&h, start, 48, always).Add(jump)
		h.Mark(at, false)
		if got := h.AwayFor(at); got > 12*time.Hour {
			t.Errorf("jump of %v: away for %v after one question", jump, got)
		}
		at = live(&h, at, 90, never)
		if got := h.AwayFor(at); jump > 0 && got < 72*time.Hour {
			t.Errorf("jump of %v: away for %v after 90 hours", jump, got)
		}
	}
}

func TestPatience(t *testing.T) {
	const grace = 72 * time.Hour
	var h History
	if got := h.Patience(grace); got != grace {
		t.Errorf("of nothing: %v", got)
	}
	at := live(&h, start, 20*24, func(t time.Time) bool { return t.Weekday() == time.Saturday })
	if got := h.Patience(grace); got < 6*24*time.Hour*3/2 || got > 7*24*time.Hour*3/2 {
		t.Errorf("on Saturdays only: %v", got)
	}
	live(&h, at, 28*24, always)
	if got := h.Patience(grace); got != grace {
		t.Errorf("always on again: %v", got)
	}
	var far History
	live(&far, start, 26*24, func(at time.Time) bool { return at.Sub(start) < time.Hour || at.Sub(start) > 24*24*time.Hour })
	if got := far.Patience(grace); got != longestPatience {
		t.Errorf("after a long absence: %v", got)
	}
}

// Never seen at all still becomes missing.
func TestNeverSeen(t *testing.T) {
	var h History
	at := live(&h, start, 10, never)
	if got := h.AwayFor(at); got < 72*time.Hour {
		t.Errorf("away for %v", got)
	}
}

func TestEncode(t *testing.T) {
	var h History
	live(&h, start, 700, func(t time.Time) bool { return t.Hour()%3 == 0 })
	b := h.Encode()
	got, err := Decode(b)
	if err != nil || *got != h {
		t.Fatalf("%v", err)
	}
	for _, bad := range [][]byte{nil, b[:Size-1], append(b[:Size:Size], 0), append([]byte{9}, b[1:]...)} {
		if _, err := Decode(bad); err == nil {
			t.Errorf("%d bytes are taken", len(bad))
		}
	}
}

func FuzzDecode(f *testing.F) {
	var h History
	h.Mark(start, true)
	f.Add(h.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Decode(b)
		if err != nil {
			return
		}
		h.Mark(start, false)
		if l := h.Likely(); l < 0 || l > 1 {
			t.Errorf("likely %v", l)
		}
		h.AwayFor(start)
	})
}

func TestAtLeast(t *testing.T) {
	five := []Holder{{Pieces: 1, Likely: 0.7}, {Pieces: 1, Likely: 0.7}, {Pieces: 1, Likely: 0.7}, {Pieces: 1, Likely: 0.7}, {Pieces: 1, Likely: 0.7}}
	// The table of majority votes: 3 of 5 at 0.7 is 0.837.
	if got := AtLeast(five, 3); math.Abs(got-0.837) > 0.001 {
		t.Errorf("3 of 5 at 0.7: %v", got)
	}
	if got := AtLeast([]Holder{{Pieces: 2, Likely: 0.5}, {Pieces: 1, Likely: 0.5}}, 2); math.Abs(got-0.5) > 1e-9 {
		t.Errorf("two on one: %v", got)
	}
	if AtLeast(nil, 1) != 0 || AtLeast(five, 6) != 0 {
		t.Error("more than there is")
	}
}

func TestYearlyLoss(t *testing.T) {
	holders := func(n int, likely float64) []Holder {
		out := make([]Holder, n)
		for i := range out {
			out[i] = Holder{Pieces: 1, Likely: likely}
		}
		return out
	}
	one := YearlyLoss(holders(1, 1), 1, 72*time.Hour)
	if math.Abs(one-0.05) > 0.001 {
		t.Errorf("one machine: %v", one)
	}
	last := 1.0
	for _, n := range []int{1, 2, 3} {
		p := YearlyLoss(holders(n, 0.9), 1, 72*time.Hour)
		if p >= last {
			t.Errorf("%d copies are no safer: %v", n, p)
		}
		last = p
	}
	good, bad := YearlyLoss(holders(5, 0.95), 3, 72*time.Hour), YearlyLoss(holders(5, 0.2), 3, 72*time.Hour)
	if good >= bad || good <= 0 || good > 1e-4 {
		t.Errorf("3 of 5: %v always on, %v seldom", good, bad)
	}
	if slow := YearlyLoss(holders(5, 0.95), 3, 720*time.Hour); slow <= good {
		t.Errorf("a longer grace is no worse: %v, %v", slow, good)
	}
	if YearlyLoss(nil, 3, time.Hour) != 0 {
		t.Error("nobody")
	}
}
