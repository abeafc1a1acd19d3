// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// scores remembers, for as long as the engine is open, how each keeper did
// lately, so that work goes to those that answer. It never excludes a keeper
// for good: penalties end by themselves.
type scores struct {
	mu sync.Mutex
	of map[peers.DeviceID]*score
	// perByte is the usual time of a read, for telling a slow one: a moving
	// average in nanoseconds a byte, 0 when unknown.
	perByte float64
}

type score struct {
	until   time.Time     // avoid until then
	liar    bool          // the penalty is for wrong bytes
	penalty time.Duration // the last one; doubles while it goes on
}

const (
	firstPenalty = 5 * time.Second
	maxPenalty   = 5 * time.Minute
	liarPenalty  = 15 * time.Minute
)

func newScores() *scores { return &scores{of: map[peers.DeviceID]*score{}} }

func (s *scores) get(d peers.DeviceID) *score {
	c := s.of[d]
	if c == nil {
		c = &score{}
		s.of[d] = c
	}
	return c
}

// fail notes that a keeper was away, slow or wrong.
func (s *scores) fail(d peers.DeviceID, lied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.get(d)
	c.penalty = min(max(2*c.penalty, firstPenalty), maxPenalty)
	if lied {
		c.penalty, c.liar = liarPenalty, true
	}
	c.until = time.Now().Add(c.penalty)
}

// ok notes a good answer to a read of n bytes that took t; n is 0 for others.
func (s *scores) ok(d peers.DeviceID, n int, t time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.get(d)
	// Bytes that came are not yet bytes that are right: a liar's penalty runs
	// to its end.
	if !c.liar || time.Now().After(c.until) {
		*c = score{}
	}
	if n >= 64<<10 {
		x := float64(t) / float64(n)
		if s.perByte == 0 {
			s.perByte = x
		}
		s.perByte += (x - s.perByte) / 16
	}
}

// forgive ends a keeper's penalty.
func (s *scores) forgive(d peers.DeviceID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, d)
}

// avoid tells whether others should be tried before this keeper.
func (s *scores) avoid(d peers.DeviceID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.of[d]
	return c != nil && time.Now().Before(c.until)
}

// away tells whether a keeper is to be avoided for being away or slow, and not
// for wrong bytes alone.
func (s *scores) away(d peers.DeviceID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.of[d]
	return c != nil && !c.liar && time.Now().Before(c.until)
}

// patience is how long a read of n bytes may take before another keeper is
// asked for a replacement as well.
func (s *scores) patience(n int) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perByte == 0 {
		return time.Second
	}
	return min(max(250*time.Millisecond, time.Duration(4*s.perByte*float64(n))), 10*time.Second)
}

// lie tells whether an error means wrong bytes rather than absence.
func lie(err error) bool {
	return errors.Is(err, peers.ErrDamaged) || errors.Is(err, peers.ErrProtocol)
}

// blames collects what keepers did wrong during one operation.
type blames struct {
	mu   sync.Mutex
	of   map[peers.DeviceID]*Blame
	list []*Blame
}

func (b *blames) add(d peers.DeviceID, name string, err error, lied bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of == nil {
		b.of = map[peers.DeviceID]*Blame{}
	}
	x := b.of[d]
	if x == nil {
		x = &Blame{Device: d, Name: name}
		b.of[d] = x
		b.list = append(b.list, x)
	}
	x.Count++
	// The gravest word stays: a lie is not covered by a later absence.
	if x.Said.IsZero() || lied && !x.Lied {
		x.Said = said.By(reason(err))
	}
	x.Lied = x.Lied || lied
}

func (b *blames) all() []Blame {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Blame, len(b.list))
	for i, x := range b.list {
		out[i] = *x
	}
	return out
}

// reason turns a keeper's error into a few words that follow its name.
func reason(err error) error {
	for _, known := range []error{peers.ErrDiskFull, peers.ErrQuota, peers.ErrDamaged, peers.ErrNotFound,
		peers.ErrRefused, peers.ErrProtocol, peers.ErrUnreachable, errSlow} {
		if errors.Is(err, known) {
			return known
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errSlow
	}
	return err
}

var errSlow = said.Error("slow", "is too slow to wait for")
