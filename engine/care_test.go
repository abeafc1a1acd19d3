// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/peers"
)

// held counts the shards that the catalog has of each keeper, by its place.
func (c *circle) held() []int64 {
	c.t.Helper()
	of, err := c.cat.Keepers(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	out := make([]int64, len(c.keepers))
	for i, k := range c.keepers {
		out[i] = of[k.id].Shards
	}
	return out
}

func (c *circle) mayLose() int {
	c.t.Helper()
	s, err := c.Status(c.t.Context(), StatusOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return s.MayLose
}

// maintain runs Maintain until nothing changes any more.
func (c *circle) maintain() {
	c.t.Helper()
	for range 4 {
		if err := c.Maintain(c.t.Context()); err != nil {
			c.t.Fatal(err)
		}
	}
}

// onlyKnown checks that keepers hold what the catalog knows, and nothing else.
func (c *circle) onlyKnown() {
	c.t.Helper()
	for i, k := range c.keepers {
		u, err := k.depot.Usage(c.t.Context(), k.owner)
		if err != nil {
			c.t.Fatal(err)
		}
		if held := c.held(); u.Shards != held[i] {
			c.t.Errorf("%s holds %d shards, the catalog knows %d", k.name, u.Shards, held[i])
		}
	}
}

func (c *circle) source() string {
	c.t.Helper()
	dir := filepath.Join(c.t.TempDir(), "d")
	write(c.t, filepath.Join(dir, "a"), data(1, 30<<20))
	write(c.t, filepath.Join(dir, "b"), data(2, 900))
	return dir
}

// A circle that grows from one machine to nine has what was there recoded on
// the way, and one that shrinks again down to two loses nothing.
func TestCircleGrowsAndShrinks(t *testing.T) {
	c := newCircle(t, 9)
	all := c.keepers
	dir := c.source()
	c.keepers = all[:1]
	c.put(dir)
	for _, step := range []struct{ keepers, mayLose int }{{1, 0}, {2, 1}, {3, 1}, {5, 2}, {8, 3}, {9, 4}} {
		c.keepers = all[:step.keepers]
		c.maintain()
		if got := c.mayLose(); got < step.mayLose {
			t.Fatalf("with %d keepers %d may be lost, want %d", step.keepers, got, step.mayLose)
		}
		sameTree(t, dir, filepath.Join(c.get("d"), "d"))
	}
	for n := 8; n >= 2; n-- {
		leaver := c.keepers[n]
		if err := c.BeginLeave(t.Context(), Leave{Device: leaver.id, Name: leaver.name}); err != nil {
			t.Fatal(err)
		}
		if r, err := c.Drain(t.Context(), leaver.id, nil); err != nil {
			t.Fatalf("%d keepers: %v %+v", n, err, r)
		}
		if held := c.held(); held[n] != 0 {
			t.Fatalf("it still holds %d", held[n])
		}
		c.keepers = c.keepers[:n]
		if err := c.EndLeave(t.Context(), leaver.id, true); err != nil {
			t.Fatal(err)
		}
		if got := c.mayLose(); got < 1 {
			t.Fatalf("with %d keepers %d may be lost", n, got)
		}
		sameTree(t, dir, filepath.Join(c.get("d"), "d"))
	}
	// What the others hold is what the catalog knows, and nothing else, once a
	// backup knows of all moves.
	c.backUp(1)
	c.acked()
	c.maintain()
	c.onlyKnown()
}

// A repair reads k pieces and sends what is missing, no more.
func TestRepairTraffic(t *testing.T) {
	c := newCircle(t, 5)
	dir := c.source()
	c.put(dir)
	s, err := c.Status(t.Context(), StatusOptions{})
	if err != nil {
		t.Fatal(err)
	}
	missing := c.held()[3] + c.held()[4]
	c.keepers = c.keepers[:3]
	r, err := c.Repair(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Pieces != missing {
		t.Errorf("%d pieces for %d missing", r.Pieces, missing)
	}
	if most := s.Stored*2/5 + s.Stored/50; r.Sent > most {
		t.Errorf("%d bytes sent, %d were missing", r.Sent, most)
	}
	if most := s.Stored*3/5 + s.Stored/50; r.Read > most {
		t.Errorf("%d bytes read, k of n are %d", r.Read, most)
	}
	if got := c.mayLose(); got != 1 {
		t.Errorf("%d may be lost", got)
	}
	sameTree(t, dir, filepath.Join(c.get("d"), "d"))
}

// A machine that is away is waited for until the grace is over.
func TestGrace(t *testing.T) {
	c := newCircle(t, 6)
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	c.now = func() time.Time { return now }
	dir := c.source()
	c.put(dir)
	before := c.held()
	gone := c.keepers[5]
	gone.down.Store(true)
	for hour := range 100 {
		var list []Notice
		for _, k := range c.keepers {
			list = append(list, Notice{Device: k.id, Online: k != gone || hour == 0, Free: 1 << 30})
		}
		if err := c.Noticed(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		if err := c.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		moved := c.held()[5] < before[5]
		if moved != (hour >= 72) {
			t.Fatalf("hour %d: it has %d of %d pieces", hour, c.held()[5], before[5])
		}
		now = now.Add(time.Hour)
	}
	c.backUp(1)
	c.acked()
	// It comes back and forgets what others have now.
	gone.down.Store(false)
	c.Seen(gone.id)
	if err := c.Noticed(t.Context(), []Notice{{Device: gone.id, Online: true, Free: 1 << 30}}); err != nil {
		t.Fatal(err)
	}
	c.maintain()
	sameTree(t, dir, filepath.Join(c.get("d"), "d"))
	u, err := gone.depot.Usage(t.Context(), gone.owner)
	if err != nil || u.Shards != c.held()[5] {
		t.Errorf("it holds %d shards, the catalog knows %d: %v", u.Shards, c.held()[5], err)
	}
}

// A removal that was broken off is remembered, and goes on.
func TestBrokenOffDrain(t *testing.T) {
	c := newCircle(t, 5)
	dir := c.source()
	c.put(dir)
	leaver := c.keepers[4]
	if err := c.BeginLeave(t.Context(), Leave{Device: leaver.id, Name: leaver.name}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stop := func() { cancel() }
	for _, k := range c.keepers {
		k.onPut.Store(&stop)
	}
	if _, err := c.Drain(ctx, leaver.id, nil); err == nil {
		t.Fatal("it went on")
	}
	for _, k := range c.keepers {
		k.onPut.Store(nil)
	}
	c.reopen()
	list, err := c.Leaving(t.Context())
	if err != nil || len(list) != 1 || list[0].Device != leaver.id || list[0].Left == 0 {
		t.Fatalf("%+v, %v", list, err)
	}
	// New files keep off it.
	write(t, filepath.Join(dir, "new"), data(9, 5<<20))
	before := c.held()[4]
	c.put(dir)
	if c.held()[4] > before {
		t.Error("it got new pieces")
	}
	if _, err := c.Drain(t.Context(), leaver.id, nil); err != nil || c.held()[4] != 0 {
		t.Fatalf("%v, %d left", err, c.held()[4])
	}
	sameTree(t, dir, filepath.Join(c.get("d"), "d"))
}

func TestThreatened(t *testing.T) {
	c := newCircle(t, 1)
	dir := c.source()
	c.put(dir)
	lost, err := c.Threatened(t.Context(), c.keepers[0].id)
	if err != nil || len(lost) != 2 {
		t.Fatalf("%v, %v", lost, err)
	}
	c = newCircle(t, 3)
	c.put(c.source())
	if lost, err := c.Threatened(t.Context(), c.keepers[0].id); err != nil || len(lost) != 0 {
		t.Fatalf("%v, %v", lost, err)
	}
}

// With more keepers than pieces, one that refuses is replaced in the same put.
func TestRefusedShardGoesToASpare(t *testing.T) {
	c := newCircle(t, 12)
	full := error(peers.ErrQuota)
	c.keepers[3].refuse.Store(&full)
	c.keepers[7].down.Store(true)
	r := c.put(c.source())
	if r.Debt != 0 || r.Keepers != 10 {
		t.Errorf("%+v", r)
	}
	if n := c.held(); n[3] != 0 || n[7] != 0 {
		t.Errorf("%v", n)
	}
}

// A get that holds a segment's old pieces in its hands when it is recoded finds
// the new ones.
func TestGetDuringRecode(t *testing.T) {
	c := newCircle(t, 5)
	all := c.keepers
	dir := c.source()
	c.keepers = all[:2]
	c.put(dir)
	var done atomic.Bool // the recoding reads, too
	recode := func(ctx context.Context) {
		if done.Swap(true) {
			return
		}
		c.foreground.Store(0)
		c.maintain()
	}
	c.keepers = all
	all[0].onRead.Store(&recode)
	sameTree(t, dir, filepath.Join(c.get("d"), "d"))
	var k int
	if err := c.cat.Spreads(t.Context(), func(s *catalog.Spread) error { k = s.K; return nil }); err != nil || k != 3 {
		t.Errorf("k is %d: %v", k, err)
	}
}
