// SPDX-License-Identifier: MPL-2.0

// Package limit counts how often somebody asks within a minute: a custodian's
// brand devices and gateways, a gateway's guests. It keeps little for each and
// never more than a bounded number of them.
package limit

import (
	"sync"
	"time"
)

// maxBuckets bounds how many are counted at once.
const maxBuckets = 8192

// sweepEvery is the least time between two looks for buckets that may go.
const sweepEvery = time.Second

// Limiter counts by a kind of asker and its name. A bucket of n fills up by n a
// minute. It is safe for concurrent use.
type Limiter struct {
	mu      sync.Mutex
	buckets map[[33]byte]*bucket
	swept   time.Time
}

type bucket struct {
	left float64
	at   time.Time
}

// New gives a limiter that has counted nothing yet.
func New() *Limiter { return &Limiter{buckets: map[[33]byte]*bucket{}} }

// Allow takes one of n a minute from the bucket of a kind and a name. When
// there are as many busy ones as can be counted, somebody makes them up, and new
// ones are not let through.
func (l *Limiter) Allow(kind byte, name [32]byte, n float64, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := [33]byte{kind}
	copy(key[1:], name[:])
	b := l.buckets[key]
	if b == nil {
		// Not each time: whoever makes up names would have it look at all of
		// them for each.
		if since := now.Sub(l.swept); len(l.buckets) >= maxBuckets && (since < 0 || since >= sweepEvery) {
			l.sweep(now)
		}
		if len(l.buckets) >= maxBuckets {
			return false
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
func (l *Limiter) sweep(now time.Time) {
	l.swept = now
	for k, b := range l.buckets {
		if now.Sub(b.at) > time.Minute {
			delete(l.buckets, k)
		}
	}
}
