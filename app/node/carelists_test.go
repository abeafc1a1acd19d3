// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/said"
)

// fill has the owner keep something, so that there are lists, and waits until it
// changes no more by itself.
func (c *careCircle) fill() {
	c.Helper()
	ctx := testContext(c.T)
	name := filepath.Join(c.TempDir(), "f")
	if err := os.WriteFile(name, noise(1<<20), 0o600); err != nil {
		c.Fatal(err)
	}
	if _, err := c.owner.Put(ctx, engine.PutOptions{Sources: []string{name}}, nil); err != nil {
		c.Fatal(err)
	}
	if b, err := c.owner.Backup(ctx, nil); err != nil || b.Pending {
		c.Fatalf("%+v, %v", b, err)
	}
}

// look lets the owner's node do what is due, but for a new task.
func (c *careCircle) look() {
	c.Helper()
	e := &c.owner.entrusted
	e.mu.Lock()
	e.checked = c.clock.now()
	e.mu.Unlock()
	if err := c.owner.careDue(testContext(c.T)); err != nil {
		c.Log(err)
	}
}

// lists is how many bytes of lists a machine has of the owner.
func (c *careCircle) lists(name string) int64 {
	c.Helper()
	return c.nodes[name].care.Takes()[c.owner.device]
}

// lose has a machine lose the lists.
func (c *careCircle) lose(name string) {
	c.Helper()
	ctx := testContext(c.T)
	s := c.nodes[name].care
	if err := errors.Join(s.Refuse(ctx, c.owner.device, true), s.Refuse(ctx, c.owner.device, false)); err != nil {
		c.Fatal(err)
	}
	if n := c.lists(name); n > 0 {
		c.Fatalf("%d bytes are left of the lists", n)
	}
}

// A caretaker that says again and again that it lacks the lists gets them once an
// hour, and not while limits hold.
func TestListsAreNotSentAgainAndAgain(t *testing.T) {
	ctx := testContext(t)
	c := newCareCircle(t)
	c.fill()
	if _, err := c.owner.GiveCare(ctx, CareOrder{Who: "nas"}, nil); err != nil {
		t.Fatal(err)
	}
	if c.lists("nas") == 0 {
		t.Fatal("it was given no lists")
	}
	for left := time.Hour; left > 0; left -= careLookEvery {
		c.lose("nas")
		c.look()
		if n := c.lists("nas"); n > 0 {
			t.Fatalf("%v before the hour is over it was sent them again", left)
		}
		c.clock.add(careLookEvery)
	}
	c.due("it is sent again what it lost", func() bool { return c.lists("nas") > 0 })
	meter := func(on bool) {
		x := c.owner.limits
		x.mu.Lock()
		defer x.mu.Unlock()
		x.metered = func(context.Context) (bool, bool) { return on, true }
		x.hold = said.Note{}
		if on {
			x.hold = said.As("metered", "the network is metered")
		}
	}
	c.lose("nas")
	meter(true)
	c.clock.add(2 * time.Hour)
	c.look()
	if c.lists("nas") > 0 {
		t.Error("they were sent over a metered line")
	}
	meter(false)
	c.clock.add(careLookEvery)
	c.due("it is sent them when the line is not metered any more", func() bool { return c.lists("nas") > 0 })
	// A person who asks for it does not wait, whatever the line.
	c.lose("nas")
	meter(true)
	if _, err := c.owner.GiveCare(ctx, CareOrder{}, nil); err != nil {
		t.Fatal(err)
	}
	if c.lists("nas") == 0 {
		t.Error("it is not sent them when a person asks")
	}
}

// A caretaker without room is left alone for an hour, and nobody else with it.
func TestFullCaretakerHoldsUpNobody(t *testing.T) {
	ctx := testContext(t)
	c := newCareCircle(t)
	c.fill()
	quota := func(n int64) {
		if err := c.nodes["nas"].book.Update(c.owner.device, func(p *circle.Peer) { p.Quota = n }); err != nil {
			t.Fatal(err)
		}
	}
	quota(1)
	c.stops["desk"]()
	if _, err := c.owner.GiveCare(ctx, CareOrder{Who: "nas"}, nil); !errors.Is(err, peers.ErrQuota) {
		t.Fatalf("a machine without room: %v", err)
	}
	c.look()
	c.start("desk")
	c.due("the keeper hears of the task", func() bool {
		_, number := c.jobs("desk")
		return number > 0
	})
	quota(0)
	c.look()
	if c.lists("nas") > 0 {
		t.Error("the caretaker was offered lists again at once")
	}
	c.clock.add(fullPause)
	c.due("the caretaker is offered them an hour later", func() bool { return c.lists("nas") > 0 })
}

// A part goes once an hour to each, and a clock that was set back holds nothing
// up for longer.
func TestHeldParts(t *testing.T) {
	var s sentLists
	a, b := peers.DeviceID{1}, peers.DeviceID{2}
	now := time.Unix(1_800_000_000, 0)
	s.note(a, [32]byte{1}, now)
	s.pause(a, now, fullPause)
	for _, x := range []struct {
		to   peers.DeviceID
		hash byte
		at   time.Duration
		want time.Duration
	}{
		{a, 1, 0, time.Hour}, {a, 1, 59 * time.Minute, time.Minute}, {a, 1, time.Hour, 0}, {a, 1, -time.Second, 0},
		{b, 1, 0, 0}, {a, 2, 0, 0},
	} {
		if got := s.held(x.to, [32]byte{x.hash}, now.Add(x.at)); got != x.want {
			t.Errorf("part %d to %s after %v: held for %v, want %v", x.hash, x.to.Short(), x.at, got, x.want)
		}
	}
	if !s.paused(a, now) || s.paused(b, now) || s.paused(a, now.Add(fullPause)) || s.paused(a, now.Add(-time.Second)) {
		t.Error("not the one is left alone, or not for an hour")
	}
	s.clean(now.Add(time.Hour))
	if len(s.sent)+len(s.rest) > 0 {
		t.Errorf("%d and %d are remembered for nothing", len(s.sent), len(s.rest))
	}
	s.note(a, [32]byte{1}, now)
	s.forget(a)
	if s.held(a, [32]byte{1}, now) > 0 {
		t.Error("it does not begin anew")
	}
}
