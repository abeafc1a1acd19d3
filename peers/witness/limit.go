// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"errors"
	"sync"
	"time"
)

// Requests within a minute: of one brand device, and letters of one gateway,
// which are counted before they cost more than reading.
const (
	perDevice  = 60
	perGateway = 1200
	perFellow  = 120 // rounds of gossip, which may write
	// perAsker is a fellow's questions for withdrawals, one for each request
	// that it is about to agree to.
	perAsker   = 2400
	maxBuckets = 8192
)

var errTooMany = errors.New("too many messages in a minute")

// limiter counts requests by whom they come from. A bucket of n fills up by n a
// minute.
type limiter struct {
	mu      sync.Mutex
	buckets map[[33]byte]*bucket
}

type bucket struct {
	left float64
	at   time.Time
}

func newLimiter() *limiter { return &limiter{buckets: map[[33]byte]*bucket{}} }

// allow takes one of n a minute from the bucket of a kind and a name.
func (l *limiter) allow(kind byte, name [32]byte, n float64, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := [33]byte{kind}
	copy(key[1:], name[:])
	b := l.buckets[key]
	if b == nil {
		if len(l.buckets) >= maxBuckets {
			l.sweep(now)
		}
		if len(l.buckets) >= maxBuckets {
			return false // as many busy ones as this: somebody makes them up
		}
		b = &bucket{left: n, at: now}
		l.buckets[key] = b
	}
	// A clock that was set back fills nothing.
	if since := now.Sub(b.at); since > 0 {
		b.left = min(n, b.left+n*since.Minutes())
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// sweep drops the buckets that are full again by now.
func (l *limiter) sweep(now time.Time) {
	for k, b := range l.buckets {
		if now.Sub(b.at) > time.Minute {
			delete(l.buckets, k)
		}
	}
}
