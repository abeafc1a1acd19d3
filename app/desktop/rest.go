// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"sync"
	"time"
)

// rest lets the window's thread sleep while nothing happens. The toolkit looks
// sixty times a second for something to do, for ever, also behind a closed lid;
// a resting thread looks four times a second, and at once when a person does
// something or the pump has something.
type rest struct {
	now  func() time.Time
	wait func(time.Duration) // for an event of the window system; on the window's thread
	wake func()              // ends a wait, from any thread
	do   func(func())        // runs on the window's thread; fyne.Do

	mu     sync.Mutex
	asked  bool // something is to be done on the window's thread
	asleep bool
}

const (
	nap        = 250 * time.Millisecond // what others ask of the thread waits at most that long
	afterInput = 2 * time.Second        // how long it stays awake: longer than any animation
	afterAsked = 300 * time.Millisecond
	between    = 5 * time.Millisecond // two naps: the toolkit takes the turn at once that it was due meanwhile
)

// soon is fyne.Do for those who know that the thread may be asleep.
func (r *rest) soon(f func()) {
	r.mu.Lock()
	r.asked = true
	if r.asleep {
		r.wake()
	}
	r.mu.Unlock()
	r.do(f)
}

// run lets the thread rest whenever nothing happened for a while, until ctx
// ends.
func (r *rest) run(ctx context.Context) {
	pause := time.NewTimer(afterInput)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		woken := make(chan time.Duration, 1)
		r.do(func() { woken <- r.nap() })
		select {
		case <-ctx.Done():
			return
		case awake := <-woken:
			pause.Reset(awake)
		}
	}
}

// nap sleeps and says how long to stay awake after it. It is on the window's
// thread.
func (r *rest) nap() time.Duration {
	if r.turn(true) {
		return afterAsked
	}
	begin := r.now()
	r.wait(nap)
	short := r.now().Sub(begin) < nap*9/10
	switch asked := r.turn(false); {
	case asked:
		return afterAsked
	case short:
		return afterInput
	}
	return between
}

// turn falls asleep or wakes up; it tells whether there is something to do, in
// which case nobody sleeps.
func (r *rest) turn(asleep bool) (asked bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked, r.asked = r.asked, false
	r.asleep = asleep && !asked
	return asked
}
