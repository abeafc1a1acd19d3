// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
)

// hearAge is how long another clock's time is good. In between it is carried on
// by this machine's own steady clock, which setting the time does not move; it
// stands still while the machine sleeps, so the age has to stay small.
const hearAge = 5 * time.Minute

// maxClock is the last second of the year 9999: sums stay far from overflowing.
const maxClock = 253402300799

// heard is another machine's clock at a moment of this one.
type heard struct {
	theirs int64
	at     time.Time
}

// Heard notes what another device's clock shows, over a connection that proves
// it is that device, just now. Anybody's time may be noted; only that of an
// owner's device and of the custodians in its panel is a vote, for that owner.
func (s *Service) Heard(device peers.DeviceID, unix int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if device == s.o.Device || unix <= 0 || unix > maxClock {
		return
	}
	now := s.o.Now()
	for d, h := range s.clocks { // as many as the circle has members
		if age := now.Sub(h.at); age < 0 || age > hearAge {
			delete(s.clocks, d)
		}
	}
	s.clocks[device] = heard{unix, now}
}

// forgetClocks drops what was heard of other clocks: after a sleep nobody knows
// how long ago that was. They are heard again before the next step.
func (s *Service) forgetClocks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.clocks)
}

// judge compares this machine's clock with those that have a vote for an owner.
// With o.mu held.
func (s *Service) judge(o *owner) custody.Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	own := now.Unix()
	var offsets []int64
	for d, h := range s.clocks {
		age := now.Sub(h.at)
		if age >= 0 && age <= hearAge && s.hears(o, d) {
			offsets = append(offsets, h.theirs+int64(age/time.Second)-own)
		}
	}
	var v custody.Verdict
	v, o.clock = o.clock.Judge(own, offsets)
	return v
}
