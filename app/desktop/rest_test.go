// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"testing"
	"time"
)

// The thread sleeps only while there is nothing to do, and what is asked of it
// is neither lost nor waits for the end of a nap.
func TestRest(t *testing.T) {
	work := make(chan func(), 16) // the toolkit's queue
	woken := make(chan struct{}, 16)
	asleep := make(chan struct{}, 16)
	now := noon
	r := &rest{now: func() time.Time { return now },
		wait: func(d time.Duration) { asleep <- struct{}{}; <-woken },
		wake: func() { woken <- struct{}{} },
		do:   func(f func()) { work <- f }}
	begin := func() <-chan time.Duration {
		awake := make(chan time.Duration, 1)
		go func() { awake <- r.nap() }()
		return awake
	}

	awake := begin()
	<-asleep
	done := false
	r.soon(func() { done = true })
	if got := <-awake; got != afterAsked {
		t.Errorf("awake for %v after something was asked, want %v", got, afterAsked)
	}
	if (<-work)(); !done {
		t.Error("what was asked is not done")
	}

	// Asked just before the nap begins.
	r.soon(func() {})
	if got := r.nap(); got != afterAsked {
		t.Errorf("it slept %v although something was asked", got)
	}

	// A person does something.
	awake = begin()
	<-asleep
	woken <- struct{}{}
	if got := <-awake; got != afterInput {
		t.Errorf("awake for %v after an event, want %v", got, afterInput)
	}

	// Nothing happens.
	awake = begin()
	<-asleep
	now = now.Add(nap)
	woken <- struct{}{}
	if got := <-awake; got != between {
		t.Errorf("awake for %v after a whole nap, want %v", got, between)
	}
}

func TestRestEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	r := &rest{now: time.Now, wait: func(time.Duration) {}, wake: func() {}, do: func(func()) {}} // a toolkit that has stopped
	go func() { r.run(ctx); close(ended) }()
	cancel()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("it goes on after its end")
	}
}
