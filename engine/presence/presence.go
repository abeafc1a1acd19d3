// SPDX-License-Identifier: MPL-2.0

// Package presence remembers how often each keeper answers: how many times it
// was asked and did in every hour of the last four weeks, in less than a
// kilobyte. From that follow how likely it is to be on, and since when it is
// away. Hours in which nobody asked, because this machine was off, say
// nothing. It computes and keeps nothing on disk; the catalog does.
package presence

import (
	"encoding/binary"
	"errors"
	"time"
)

// Hours is how far back a history goes.
const Hours = 28 * 24

const (
	format  = 1
	headLen = 1 + 8 + 2 + 2 + 8
	// Size is the length of an encoded history.
	Size = headLen + Hours
)

// ErrFormat: the bytes are no history.
var ErrFormat = errors.New("not a history of presence")

// History is what is known of one keeper. The zero value knows nothing. It is
// for one goroutine.
type History struct {
	hour    int64  // the current one, in hours since 1970; 0: none yet
	asked   uint16 // in the current hour
	on      uint16
	lastOn  int64       // Unix seconds; 0: never
	buckets [Hours]byte // by hour % Hours: 0 unknown, else 1 + share of answers * 254
}

// Mark notes that the keeper was asked at now and did or did not answer.
func (h *History) Mark(now time.Time, on bool) {
	hour := now.Unix() / 3600
	switch {
	case h.hour == 0 || hour < h.hour-Hours || hour >= h.hour+Hours:
		// New, or a clock that jumped so far that nothing lines up: what was
		// known of single hours is of no use.
		h.buckets = [Hours]byte{}
		h.hour, h.asked, h.on = hour, 0, 0
	case hour > h.hour:
		h.close()
		for x := h.hour + 1; x < hour; x++ {
			h.buckets[x%Hours] = 0
		}
		h.hour, h.asked, h.on = hour, 0, 0
	case hour < h.hour:
		// The clock went back: those hours were not yet. They are lived again.
		h.close()
		for x := hour; x <= h.hour; x++ {
			h.buckets[x%Hours] = 0
		}
		h.hour, h.asked, h.on = hour, 0, 0
	}
	if h.asked == 1<<16-1 {
		h.asked, h.on = h.asked/2, h.on/2
	}
	h.asked++
	if on {
		h.on++
		h.lastOn = now.Unix()
	}
	h.close()
}

// close writes the current hour's counts into its bucket.
func (h *History) close() {
	if h.asked > 0 {
		h.buckets[h.hour%Hours] = byte(1 + 254*int(h.on)/int(h.asked))
	}
}

// prior is how many hours of even odds a history begins with, so that a keeper
// seen once is not taken for one that is always on.
const prior = 4

// Likely is the share of time that the keeper is on.
func (h *History) Likely() float64 {
	sum, n := 0.5*prior, float64(prior)
	for _, b := range h.buckets {
		if b > 0 {
			sum += float64(b-1) / 254
			n++
		}
	}
	return sum / n
}

// Known is how many hours say anything.
func (h *History) Known() (n int) {
	for _, b := range h.buckets {
		if b > 0 {
			n++
		}
	}
	return n
}

// LastOn is when the keeper last answered; zero: never.
func (h *History) LastOn() time.Time {
	if h.lastOn == 0 {
		return time.Time{}
	}
	return time.Unix(h.lastOn, 0)
}

// AwayFor is for how long the keeper has not answered, as far as that was
// looked at: at most the time since it last did, and at most twelve times the
// hours in which it was asked in vain. So neither a jump of the clock nor this
// machine's own sleep makes a keeper look gone.
func (h *History) AwayFor(now time.Time) time.Duration {
	vain := 0
	for i := range int64(Hours) {
		b := h.buckets[(h.hour-i+Hours)%Hours]
		if b > 1 || i > 0 && h.hour-i < h.lastOn/3600 {
			break
		}
		if b == 1 {
			vain++
		}
	}
	if h.hour == 0 || vain == 0 {
		return 0
	}
	away := time.Duration(vain) * 12 * time.Hour
	if h.lastOn > 0 {
		away = min(away, now.Sub(h.LastOn()))
	}
	return max(away, 0)
}

// longestPatience bounds Patience.
const longestPatience = 14 * 24 * time.Hour

// Patience is how long the keeper may be away before it is missed: the grace,
// or half as long again as the longest absence it came back from within the
// last four weeks, up to two weeks. Who is on at weekends only is not missed
// each Wednesday.
func (h *History) Patience(grace time.Duration) time.Duration {
	longest, lastOn, vain := int64(0), int64(-1), false
	for hour := h.hour - Hours + 1; hour <= h.hour; hour++ {
		switch b := h.buckets[(hour%Hours+Hours)%Hours]; {
		case b > 1:
			if lastOn >= 0 && vain {
				longest = max(longest, hour-lastOn)
			}
			lastOn, vain = hour, false
		case b == 1:
			vain = true
		}
	}
	usual := min(time.Duration(longest)*time.Hour*3/2, longestPatience)
	return max(grace, usual)
}

// Missed tells whether the keeper has been away for longer than its patience.
func (h *History) Missed(now time.Time, grace time.Duration) bool {
	away := h.AwayFor(now)
	return away >= grace && away >= h.Patience(grace)
}

// Encode writes the history.
func (h *History) Encode() []byte {
	b := make([]byte, headLen, Size)
	b[0] = format
	binary.BigEndian.PutUint64(b[1:], uint64(h.hour))
	binary.BigEndian.PutUint16(b[9:], h.asked)
	binary.BigEndian.PutUint16(b[11:], h.on)
	binary.BigEndian.PutUint64(b[13:], uint64(h.lastOn))
	return append(b, h.buckets[:]...)
}

// Decode reads a history; ErrFormat.
func Decode(b []byte) (*History, error) {
	if len(b) != Size || b[0] != format {
		return nil, ErrFormat
	}
	h := &History{
		hour:  int64(binary.BigEndian.Uint64(b[1:])),
		asked: binary.BigEndian.Uint16(b[9:]), on: binary.BigEndian.Uint16(b[11:]),
		lastOn: int64(binary.BigEndian.Uint64(b[13:])),
	}
	if h.hour < 0 || h.lastOn < 0 || h.hour > 1<<40 || h.on > h.asked {
		return nil, ErrFormat
	}
	copy(h.buckets[:], b[headLen:])
	return h, nil
}
