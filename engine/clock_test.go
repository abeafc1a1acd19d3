// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/preezm/preezm/peers"
)

// notice tells the engine who answers now, with a clock like its own.
func (c *circle) notice() {
	c.t.Helper()
	c.noticeAt(c.now().Unix())
}

// noticeAt is notice with what the keepers' clocks show.
func (c *circle) noticeAt(clock int64) {
	c.t.Helper()
	var list []Notice
	for _, k := range c.keepers {
		list = append(list, Notice{Device: k.id, Online: !k.down.Load(), Free: 1 << 30, Clock: clock})
	}
	if err := c.Noticed(c.t.Context(), list); err != nil {
		c.t.Fatal(err)
	}
}

// What was removed stays in the trash for its days, whatever the clock of this
// machine shows meanwhile.
func TestTrashOutlivesWrongClocks(t *testing.T) {
	c := newCircle(t, 3)
	ctx := t.Context()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // here
	right := now                                        // at the keepers
	c.now = func() time.Time { return now }
	pass := func(d time.Duration) { now, right = now.Add(d), right.Add(d) }
	trashed := func() int {
		t.Helper()
		c.noticeAt(right.Unix())
		if err := c.Tidy(ctx); err != nil {
			t.Fatal(err)
		}
		list, err := c.cat.ListTrash(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	c.put(c.source())
	pass(100 * 24 * time.Hour)
	if _, err := c.Remove(ctx, []Path{"d/a"}); err != nil {
		t.Fatal(err)
	}
	trashed() // a prune by a right clock
	pass(25 * time.Hour)

	// Behind by decades, as where nothing keeps the time without power.
	now = time.Unix(1000, 0)
	if _, err := c.Remove(ctx, []Path{"d/b"}); err != nil {
		t.Fatal(err)
	}
	if n := trashed(); n != 2 {
		t.Errorf("behind: %d of 2 removals are left", n)
	}
	now = right
	pass(25 * time.Hour)
	if n := trashed(); n != 2 {
		t.Errorf("right again: %d of 2 removals are left", n)
	}
	// Ahead by years, which the keepers deny.
	now = right.Add(10_000 * time.Hour)
	if n := trashed(); n != 2 {
		t.Errorf("ahead: %d of 2 removals are left", n)
	}
	if _, err := c.Prune(ctx, Retention{TrashDays: 30}, false); err != nil {
		t.Fatal(err)
	}
	if n := trashed(); n != 2 {
		t.Errorf("ahead, told to prune: %d of 2 removals are left", n)
	}
	// Nobody is there to ask.
	for _, k := range c.keepers {
		k.down.Store(true)
	}
	if n := trashed(); n != 2 {
		t.Errorf("ahead and alone: %d of 2 removals are left", n)
	}
	for _, k := range c.keepers {
		k.down.Store(false)
	}
	now = right
	pass(31 * 24 * time.Hour)
	if n := trashed(); n != 0 {
		t.Errorf("a month later: %d removals are left", n)
	}
}

// What a put that was broken off has left waits to be needed for its days, whatever
// the clock of this machine shows.
func TestOrphansOutliveWrongClocks(t *testing.T) {
	c := newCircle(t, 3)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // here
	right := now                                        // at the keepers
	c.now = func() time.Time { return now }
	orphans := func() int64 {
		t.Helper()
		tot, err := c.cat.Totals(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return tot.Segments
	}
	dir := c.source()
	for stopAt := int32(1); orphans() == 0; stopAt++ {
		ctx, cancel := context.WithCancel(t.Context())
		var puts atomic.Int32
		stop := func() {
			if puts.Add(1) == stopAt {
				cancel()
			}
		}
		for _, k := range c.keepers {
			k.onPut.Store(&stop)
		}
		_, err := c.Put(ctx, PutOptions{Sources: []string{dir}}, nil)
		cancel()
		if err == nil {
			t.Fatal("it was not broken off before it was done")
		}
	}
	for _, k := range c.keepers {
		k.onPut.Store(nil)
	}
	left := orphans()
	look := func() int64 {
		t.Helper()
		c.noticeAt(right.Unix())
		if _, err := c.Prune(t.Context(), Retention{TrashDays: 30}, false); err != nil {
			t.Fatal(err)
		}
		return orphans()
	}
	now = right.Add(10_000 * time.Hour)
	if n := look(); n != left {
		t.Errorf("ahead: %d of %d are left", n, left)
	}
	right = right.Add(orphanAge + time.Hour)
	now = right
	for _, k := range c.keepers {
		k.down.Store(true)
	}
	if n := look(); n != left {
		t.Errorf("alone: %d of %d are left", n, left)
	}
	for _, k := range c.keepers {
		k.down.Store(false)
	}
	if n := look(); n != 0 {
		t.Errorf("a week later: %d are left", n)
	}
}

// The word of one keeper among some moves no clock.
func TestOneKeepersClockIsNotBelieved(t *testing.T) {
	c := newCircle(t, 5)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c.now = func() time.Time { return now }
	for liar, clock := range []int64{1, 1 << 62} {
		c.notice()
		err := c.Noticed(t.Context(), []Notice{{Device: c.keepers[liar].id, Online: true, Clock: clock}})
		got, sure, err2 := c.agreed(t.Context())
		if err := errors.Join(err, err2); err != nil || !sure || !got.Equal(now) {
			t.Errorf("%v, %v, %v", got, sure, err)
		}
	}
	// Nor is an answer of long ago.
	now = now.Add(2 * noticeAge)
	if _, sure, err := c.agreed(t.Context()); sure || err != nil {
		t.Errorf("sure %v, %v", sure, err)
	}
	if err := c.Noticed(t.Context(), []Notice{{Device: peers.DeviceID{1}, Online: true}}); err != nil {
		t.Fatal(err)
	}
	if _, sure, err := c.agreed(t.Context()); sure || err != nil {
		t.Errorf("of one that told no time: sure %v, %v", sure, err)
	}
}
