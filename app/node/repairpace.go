// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"sync"

	"golang.org/x/time/rate"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/transport"
)

// The rates of what nobody waits for, in bytes a second: repair in the
// background, checks, and care for others. They hold beside those of the line.
const (
	DefaultRepairDown = 4 << 20
	DefaultRepairUp   = 1 << 20
	// NoLimit, as the rate of repair: as fast as the line.
	NoLimit = -1
)

// repairRates are the rates that hold.
func (l *Limits) repairRates() transport.Rates {
	or := func(n, otherwise int64) int64 {
		switch n {
		case 0:
			return otherwise
		case NoLimit:
			return 0
		}
		return n
	}
	return transport.Rates{Down: or(l.RepairDown, DefaultRepairDown), Up: or(l.RepairUp, DefaultRepairUp)}
}

// paceBurst goes at once: a piece of the largest size. So a repair is held up
// between its pieces and not within one, where it would look as if it stood
// still.
const paceBurst = peers.MaxShard

// background holds what nobody waits for to its rates.
type background struct {
	mu       sync.Mutex
	down, up *rate.Limiter // nil: no limit
	have     transport.Rates
}

// limiters gives the two limiters at these rates.
func (b *background) limiters(r transport.Rates) (down, up *rate.Limiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r != b.have {
		at := func(n int64) *rate.Limiter {
			if n <= 0 {
				return nil
			}
			return rate.NewLimiter(rate.Limit(n), paceBurst)
		}
		b.down, b.up, b.have = at(r.Down), at(r.Up), r
	}
	return b.down, b.up
}

// paceRepair waits until so many bytes may be received from a machine or sent to
// it by what nobody waits for. In the local network nothing waits unless limits
// hold there.
func (n *Node) paceRepair(ctx context.Context, d peers.DeviceID, down, up int) error {
	x := n.limits
	x.mu.Lock()
	r, lan := x.limits.repairRates(), x.limits.LAN
	x.mu.Unlock()
	if !lan && n.near(d) {
		return ctx.Err()
	}
	in, out := n.paced.limiters(r)
	for _, way := range []struct {
		l *rate.Limiter
		n int
	}{{in, down}, {out, up}} {
		for left := way.n; way.l != nil && left > 0; left -= paceBurst {
			if err := way.l.WaitN(ctx, min(left, paceBurst)); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// near says whether a machine is this one, or in touch within the local network.
func (n *Node) near(d peers.DeviceID) bool {
	if d == n.device {
		return true
	}
	for _, p := range n.net.Report().Peers {
		if p.Device == d {
			return p.Online && (p.Route == transport.LAN || p.Route == transport.SameMachine)
		}
	}
	return false
}
