// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// MinRate is the least limit in bytes a second: with less, transfers would
	// look as if they stood still.
	MinRate = 32 << 10
	// A piece goes through at once; so a small message waits for few bytes.
	minPiece = 8 << 10
	maxPiece = 64 << 10
)

// Rates are limits in bytes a second for all connections of a device
// together; 0 is none.
type Rates struct{ Down, Up int64 }

// Pacer holds all connections of a device to its limits. All methods are safe
// for concurrent use; limits change for what is under way.
type Pacer struct {
	down, up direction
	lan      atomic.Bool
}

func newPacer() *Pacer {
	p := &Pacer{}
	p.Set(Rates{}, false)
	return p
}

// Set changes the limits; lan has them hold in the local network and on this
// machine too.
func (p *Pacer) Set(r Rates, lan bool) {
	p.lan.Store(lan)
	p.down.set(r.Down)
	p.up.set(r.Up)
}

// Pacer is what holds this device's connections to its limits.
func (i *Identity) Pacer() *Pacer { return i.pacer }

// direction is one of the two limits.
type direction struct {
	limit atomic.Pointer[rate.Limiter] // nil: none
	piece atomic.Int64
}

func (d *direction) set(perSecond int64) {
	if perSecond <= 0 {
		d.limit.Store(nil)
		return
	}
	perSecond = max(perSecond, MinRate)
	piece := min(max(perSecond/8, minPiece), maxPiece)
	d.piece.Store(piece)
	if l := d.limit.Load(); l != nil {
		l.SetLimit(rate.Limit(perSecond))
		l.SetBurst(int(piece))
		return
	}
	d.limit.Store(rate.NewLimiter(rate.Limit(perSecond), int(piece)))
}

// next gives how many of n bytes may go at once.
func (d *direction) next(n int) int {
	if d.limit.Load() == nil {
		return n
	}
	return min(n, int(d.piece.Load()))
}

// wait returns when n bytes may go, n from next, or the connection is closed.
func (d *direction) wait(n int, closed <-chan struct{}) {
	l := d.limit.Load()
	if l == nil {
		return
	}
	r := l.ReserveN(time.Now(), min(n, l.Burst()))
	if !r.OK() {
		return // the limit has just changed
	}
	delay := r.Delay()
	if delay == 0 {
		return
	}
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-closed:
		r.Cancel()
	}
}

// paced tells whether the limits hold for a connection on a route.
func (p *Pacer) paced(r Route) bool {
	return p != nil && (p.lan.Load() || r != LAN && r != SameMachine)
}
