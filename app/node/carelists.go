// SPDX-License-Identifier: MPL-2.0

package node

import (
	"sync"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
)

const (
	// listAgain is how long a part of the lists is not sent again to who says
	// that it lacks it: half a megabyte is cheaply asked for.
	listAgain = time.Hour
	// tellAgain is how long a machine that did not take what it was told of a
	// task is left alone, and fullPause one that had no room for it.
	tellAgain = 10 * time.Minute
	fullPause = time.Hour
)

// careWord is how a task is told.
type careWord struct {
	again bool // the caretaker hears it once more: it may have lost it, or refused
	asked bool // by a person who waits for it: nothing rests
	// progress may be nil.
	progress func(engine.Progress)
}

// sentPart is a part of the lists that a machine was sent.
type sentPart struct {
	to   peers.DeviceID
	hash custody.Hash
}

// sentLists is what this process remembers of the lists that it sent. Its zero
// value remembers nothing.
type sentLists struct {
	mu   sync.Mutex
	sent map[sentPart]time.Time
	rest map[peers.DeviceID]time.Time // until when a machine hears nothing of the task
}

// wait is how long it is until a time, 0 when it has come. Nothing waits for
// longer than most, wherever the clock was before.
func wait(until, now time.Time, most time.Duration) time.Duration {
	if left := until.Sub(now); left <= most {
		return max(left, 0)
	}
	return 0
}

// held is how long it is until a part may be sent to a machine; 0: now.
func (s *sentLists) held(to peers.DeviceID, hash custody.Hash, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.sent[sentPart{to, hash}]
	if !ok {
		return 0
	}
	return wait(at.Add(listAgain), now, listAgain)
}

// note remembers that a part is sent.
func (s *sentLists) note(to peers.DeviceID, hash custody.Hash, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent == nil {
		s.sent = map[sentPart]time.Time{}
	}
	s.sent[sentPart{to, hash}] = now
}

// forget begins anew with a machine.
func (s *sentLists) forget(to peers.DeviceID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rest, to)
	for p := range s.sent {
		if p.to == to {
			delete(s.sent, p)
		}
	}
}

// clean forgets what holds nothing up any more.
func (s *sentLists) clean(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, at := range s.sent {
		if wait(at.Add(listAgain), now, listAgain) == 0 {
			delete(s.sent, p)
		}
	}
	for d, until := range s.rest {
		if wait(until, now, fullPause) == 0 {
			delete(s.rest, d)
		}
	}
}

// pause leaves a machine alone for a while.
func (s *sentLists) pause(d peers.DeviceID, now time.Time, long time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rest == nil {
		s.rest = map[peers.DeviceID]time.Time{}
	}
	s.rest[d] = now.Add(long)
}

// paused says whether a machine is left alone now.
func (s *sentLists) paused(d peers.DeviceID, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.rest[d]
	return ok && wait(until, now, fullPause) > 0
}
