// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/peers"
)

// TestWakesAtOnce: after a sleep, which moves the clock and not the timers, a
// custodian hears the others and takes the ratchet's step without waiting for
// its next turn.
func TestWakesAtOnce(t *testing.T) {
	w := newWorld(t, 2)
	w.name()
	a := w.homes[0]
	a.close()
	var slept atomic.Int64 // seconds
	begin := time.Now()
	a.opts.Now = func() time.Time {
		return time.Unix(w.Now, 0).Add(time.Since(begin)).Add(time.Duration(slept.Load()) * time.Second)
	}
	a.open()
	before, ok := a.svc.chain(custody.KeyOf(w.Root), 0)
	if !ok {
		t.Fatal("no chain")
	}
	rounds := make(chan struct{}, 16)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.svc.Run(ctx, func(peers.DeviceID, []string) Caller {
			rounds <- struct{}{}
			return nil
		})
	}()
	defer func() {
		cancel()
		<-done
	}()
	round := func(what string) {
		t.Helper()
		select {
		case <-rounds:
		case <-time.After(runEvery / 2):
			t.Fatalf("%s: it did not ask the others", what)
		}
	}
	round("at the start")
	a.svc.Heard(w.owner, w.Now)
	slept.Store(40 * 3600)
	round("after a sleep")
	deadline := time.After(runEvery / 2)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, _ := a.svc.chain(custody.KeyOf(w.Root), 0); c.Day > before.Day {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the ratchet did not step")
		}
	}
}

// TestRatchetNumbersAreUsedOnce: a state whose name may be on the disk, though
// saving it failed, keeps its key.
func TestRatchetNumbersAreUsedOnce(t *testing.T) {
	dir := t.TempDir()
	r, err := openRatchet(nil, dir, nil)
	check(t, err)
	chains := func(day uint32) map[seat]custody.Chain {
		return map[seat]custody.Chain{{}: {Day: day, Key: [32]byte{byte(day)}}}
	}
	check(t, r.save(chains(1)))
	r.step = func(point string) {
		if point == ".box synced" { // the folder cannot be synced
			r.dir = filepath.Join(dir, "gone")
		}
	}
	if err := r.save(chains(2)); err == nil {
		t.Fatal("a state was saved in a folder that is gone")
	}
	// A crash in the middle of the next save, its key written.
	r.dir, r.step = dir, nil
	died := false
	r.step = func(point string) {
		if point == "key written" {
			died = true
			again, err := openRatchet(nil, t.TempDir(), nil)
			check(t, err)
			again.dir = dir
			check(t, onlyLoad(again, r.used-1))
		}
	}
	check(t, r.save(chains(3)))
	if !died {
		t.Fatal("the point was not passed")
	}
	last, err := openRatchet(nil, dir, nil)
	check(t, err)
	if c := last.chains[seat{}]; c.Day != 3 {
		t.Errorf("day %d, want 3", c.Day)
	}
}

// onlyLoad reads a state by its number, as a start after a crash would.
func onlyLoad(r *ratchet, number uint64) error {
	r.number = number
	return r.load()
}

// TestHeadsOfOneNumberAreFew: a fellow signs as many different heads as it likes.
func TestHeadsOfOneNumberAreFew(t *testing.T) {
	w := newWorld(t, 2)
	w.name()
	a, b := w.homes[0], w.homes[1]
	for i := range 20 {
		l := ledger.New(custody.KeyOf(w.Root), b.log)
		l.Seq, l.Head = 7, custody.Hash{byte(i)}
		h, err := l.Sign(b.svc.logKey(custody.KeyOf(w.Root)), w.Now)
		check(t, err)
		_, err = Client{as{a.svc, b.opts.Device}}.Status(t.Context(), News{Owner: custody.KeyOf(w.Root), Heads: [][]byte{h.Raw}})
		check(t, err)
	}
	l, err := a.byOwner().Log(t.Context(), custody.KeyOf(w.Root), 0)
	check(t, err)
	if len(l.Heads) != 2 {
		t.Errorf("%d heads of one number are kept, want 2", len(l.Heads))
	}
}

// TestLostLogIsOwnedUpTo: a custodian whose database is gone begins its log with
// an entry that says so, whether it finds its chain or is told.
func TestLostLogIsOwnedUpTo(t *testing.T) {
	for what, lose := range map[string]func(h *home) uint64{
		"its database": func(h *home) uint64 {
			for _, f := range []string{"", "-wal", "-shm", "-journal"} {
				if err := os.Remove(filepath.Join(h.dir, File+f)); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
			}
			return 0
		},
		"everything": func(h *home) uint64 { h.dir = t.TempDir(); return 1 },
	} {
		w := newWorld(t, 1)
		h := w.homes[0]
		if n := h.count(ledger.Begin); n != 0 {
			t.Fatalf("a new log has %d beginnings", n)
		}
		ticket := w.grant(3600, nil)
		want(t, h.reason(w.request(ticket), ticket), "")
		h.close()
		known := lose(h)
		h.open()
		if _, err := h.byOwner().Log(t.Context(), custody.KeyOf(w.Root), 0); err == nil {
			t.Errorf("%s: it goes on as if nothing had happened", what)
		}
		a := h.appointing(w, 0, w.Now)
		a.Entries = known
		_, err := h.byOwner().Appoint(t.Context(), a)
		check(t, err)
		if e := h.entries(); len(e) != 1 || e[0].Kind != ledger.Begin {
			t.Errorf("%s: the log begins with %+v", what, e)
		}
		want(t, h.reason(w.request(ticket), ticket), "")
	}
}

// TestLogKeysDoNotLinkACustodian: two owners see two keys, and neither is the
// device's.
func TestLogKeysDoNotLinkACustodian(t *testing.T) {
	w, other := newWorld(t, 1), newWorld(t, 1)
	h := w.homes[0]
	a := custody.KeyOf(h.svc.logKey(custody.KeyOf(w.Root)))
	b := custody.KeyOf(h.svc.logKey(custody.KeyOf(other.Root)))
	if a == b || a == custody.KeyOf(h.opts.Sign) || a != h.log {
		t.Errorf("log keys %s and %s", a, b)
	}
}
