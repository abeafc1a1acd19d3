// SPDX-License-Identifier: MPL-2.0

package desktop

import "time"

// rateWindow is how far back speed looks. Long enough that a pause of one
// keeper does not make the time left jump, short enough to follow a real change.
const rateWindow = 8 * time.Second

// rate measures speed over the last seconds of a transfer. The zero value is
// ready.
type rate struct {
	window  time.Duration // 0 is rateWindow
	samples []sample
}

type sample struct {
	at    time.Time
	bytes int64
}

// add takes the bytes done so far, at a time that does not run backwards.
func (r *rate) add(at time.Time, bytes int64) {
	window := r.window
	if window == 0 {
		window = rateWindow
	}
	r.samples = append(r.samples, sample{at, bytes})
	// One sample older than the window stays, as the window's far edge.
	for len(r.samples) > 2 && at.Sub(r.samples[1].at) >= window {
		r.samples = r.samples[1:]
	}
}

// perSecond is the speed in bytes per second, 0 while it is not known.
func (r *rate) perSecond() float64 {
	if len(r.samples) < 2 {
		return 0
	}
	first, last := r.samples[0], r.samples[len(r.samples)-1]
	if span := last.at.Sub(first.at); span >= 500*time.Millisecond {
		return float64(last.bytes-first.bytes) / span.Seconds()
	}
	return 0
}

// left is how long the rest takes at this speed; false while that is not known.
func (r *rate) left(total int64) (time.Duration, bool) {
	speed := r.perSecond()
	if speed <= 0 {
		return 0, false
	}
	rest := total - r.samples[len(r.samples)-1].bytes
	seconds := float64(max(rest, 0)) / speed
	const longest = 1000 * 24 * time.Hour
	if seconds > longest.Seconds() {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}
