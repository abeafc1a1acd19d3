// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
)

const (
	firstPause = 250 * time.Millisecond
	longPause  = 5 * time.Second
)

// backoff remembers failed dials, so that a device that is away costs a
// request nothing while it is not worth trying again.
type backoff struct {
	mu    sync.Mutex
	wait  time.Duration // of the last pause
	since time.Time     // when the last pause began, or a dial worked
	until time.Time
	err   error
}

// check returns the last failure while its pause lasts.
func (b *backoff) check(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !now.Before(b.until) {
		return nil
	}
	if errors.Is(b.err, peers.ErrRefused) {
		return b.err
	}
	if errors.Is(b.err, peers.ErrUnreachable) { // with the reason, which the one who asked first may not show
		return fmt.Errorf("%w (tried a moment ago)", b.err)
	}
	return fmt.Errorf("%w (tried a moment ago)", peers.ErrUnreachable)
}

// failed begins a pause, twice as long as the last one and a quarter shorter
// or longer by chance. A dial that started before the pause counts as the
// same failure, and one that started before another worked says nothing of
// now: on a line that was cut it ends only with its deadline.
func (b *backoff) failed(started time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if started.Before(b.since) {
		return
	}
	b.wait = min(max(2*b.wait, firstPause), longPause)
	b.since = time.Now()
	b.until = b.since.Add(b.wait*3/4 + rand.N(b.wait/2))
	b.err = err
}

func (b *backoff) worked() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wait, b.since, b.until, b.err = 0, time.Now(), time.Time{}, nil
}
