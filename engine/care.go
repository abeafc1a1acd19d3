// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/audit"
	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/placement"
	"github.com/preezm/preezm/engine/presence"
	"github.com/preezm/preezm/engine/repair"
	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
)

// Role is what a person said of a machine of the circle: whose it is and
// where it stands. Machines of one house are taken to fail together.
type Role struct {
	Person string
	House  string
}

// Notice is what a look at a keeper found.
type Notice struct {
	Device peers.DeviceID
	Online bool
	Free   int64 // room it still offers; of one that is online
	Clock  int64 // what its clock shows, in Unix seconds; 0: it did not tell
}

const (
	// savePresence is how old the histories on disk may get.
	savePresence = 10 * time.Minute
	// noticeAge is how long a look at a keeper tells that it is away.
	noticeAge = 2 * time.Minute
	careGrace = "grace_seconds"
)

// care is what the engine knows of its keepers beyond this process's scores.
type care struct {
	mu       sync.Mutex
	loaded   bool
	history  map[peers.DeviceID]*presence.History
	noticed  map[peers.DeviceID]time.Time // when last looked at
	online   map[peers.DeviceID]bool      // what was found then
	room     map[peers.DeviceID]int64
	ahead    map[peers.DeviceID]time.Duration // its clock, of this machine's, when last looked at
	audits   map[peers.DeviceID]catalog.Audit
	leaving  map[peers.DeviceID]catalog.Leave
	grace    time.Duration
	saved    time.Time
	lastLook string    // the circle as it was when every segment was looked at
	lookedAt time.Time // when
}

// load reads what the catalog has. The lock is held.
func (e *Engine) loadCare(ctx context.Context) error {
	c := &e.care
	if c.loaded {
		return nil
	}
	c.history, c.noticed, c.online = map[peers.DeviceID]*presence.History{}, map[peers.DeviceID]time.Time{}, map[peers.DeviceID]bool{}
	c.room, c.ahead = map[peers.DeviceID]int64{}, map[peers.DeviceID]time.Duration{}
	saved, err := e.cat.Presence(ctx)
	if err != nil {
		return err
	}
	for d, b := range saved {
		h, err := presence.Decode(b)
		if err != nil {
			e.log.Warn("a history of presence is damaged and begins anew", "keeper", d.Short())
			continue
		}
		c.history[d] = h
	}
	if c.audits, err = e.cat.Audits(ctx); err != nil {
		return err
	}
	if c.leaving, err = e.cat.Leaving(ctx); err != nil {
		return err
	}
	secs, err := e.cat.CareValue(ctx, careGrace, int64(repair.DefaultGrace/time.Second))
	if err != nil {
		return err
	}
	c.grace, c.saved, c.loaded = time.Duration(secs)*time.Second, e.now(), true
	return nil
}

// withCare calls f with what is known, under the lock.
func (e *Engine) withCare(ctx context.Context, f func(*care) error) error {
	e.care.mu.Lock()
	defer e.care.mu.Unlock()
	if err := e.loadCare(ctx); err != nil {
		return err
	}
	return f(&e.care)
}

// Noticed tells the engine who was asked just now and answered. It is kept for
// placement, repair and the estimate in Status.
func (e *Engine) Noticed(ctx context.Context, list []Notice) error {
	return e.withCare(ctx, func(c *care) error {
		now := e.now()
		for _, n := range list {
			h := c.history[n.Device]
			if h == nil {
				h = &presence.History{}
				c.history[n.Device] = h
			}
			h.Mark(now, n.Online)
			c.noticed[n.Device], c.online[n.Device] = now, n.Online
			if n.Online {
				c.room[n.Device] = n.Free
			}
			if !n.Online {
				delete(c.ahead, n.Device)
			} else if n.Clock > 0 {
				c.ahead[n.Device] = time.Unix(n.Clock, 0).Sub(now)
			}
		}
		if age := now.Sub(c.saved); age >= 0 && age < savePresence {
			return nil
		}
		return e.savePresence(ctx, c)
	})
}

// clockSlack is how far a clock may be off without anybody minding: a time zone
// mistaken for another, say.
const clockSlack = 24 * time.Hour

// agreed is the time by which something may be too old to be held on to. Where
// this machine's clock is ahead of those of most keepers that were looked at
// just now, it is theirs. sure tells that one was, and that they are not behind.
func (e *Engine) agreed(ctx context.Context) (now time.Time, sure bool, err error) {
	err = e.withCare(ctx, func(c *care) error {
		now = e.now()
		var ahead []time.Duration
		for d, a := range c.ahead {
			if age := now.Sub(c.noticed[d]); age >= 0 && age < noticeAge {
				ahead = append(ahead, a)
			}
		}
		if len(ahead) == 0 {
			return nil
		}
		slices.Sort(ahead)
		median := ahead[len(ahead)/2]
		if sure = median >= -clockSlack; !sure {
			now = now.Add(median)
			e.log.Warn("this machine's clock is ahead of its keepers'; nothing is taken for old until it is set right", "by", -median.Round(time.Hour))
		}
		return nil
	})
	return now, sure, err
}

func (e *Engine) savePresence(ctx context.Context, c *care) error {
	out := make(map[peers.DeviceID][]byte, len(c.history))
	for d, h := range c.history {
		out[d] = h.Encode()
	}
	if err := e.cat.SavePresence(ctx, out); err != nil {
		return err
	}
	c.saved = e.now()
	return nil
}

// full notes that a keeper has no room now.
func (e *Engine) full(d peers.DeviceID) {
	e.care.mu.Lock()
	defer e.care.mu.Unlock()
	if e.care.room != nil {
		e.care.room[d] = 0
	}
}

// Grace is how long a machine may be away before what it holds is made anew
// elsewhere.
func (e *Engine) Grace(ctx context.Context) (d time.Duration, err error) {
	err = e.withCare(ctx, func(c *care) error { d = c.grace; return nil })
	return d, err
}

// SetGrace changes it.
func (e *Engine) SetGrace(ctx context.Context, d time.Duration) error {
	return e.withCare(ctx, func(c *care) error {
		if err := e.cat.SetCareValue(ctx, careGrace, int64(d/time.Second)); err != nil {
			return err
		}
		c.grace, c.lastLook = d, ""
		return nil
	})
}

// Missing gives the keepers that were away for so long that what they hold is
// made anew elsewhere.
func (e *Engine) Missing(ctx context.Context) (map[peers.DeviceID]bool, error) {
	out := map[peers.DeviceID]bool{}
	err := e.withCare(ctx, func(c *care) error {
		for _, k := range e.keepers() {
			if h := c.history[k.Device()]; h != nil && h.Missed(e.now(), c.grace) {
				out[k.Device()] = true
			}
		}
		return nil
	})
	return out, err
}

// crew is the circle as decisions see it.
type crew struct {
	keepers []peers.Keeper
	ms      []repair.Machine // of the keepers, and behind them those that only other machines of this person know
	at      map[peers.DeviceID]int
	pinned  map[int64]bool
}

// crew looks at the circle.
func (e *Engine) crew(ctx context.Context) (*crew, error) {
	w := &crew{keepers: e.keepers(), at: map[peers.DeviceID]int{}}
	var err error
	if w.pinned, err = e.cat.Pinned(ctx); err != nil {
		return nil, err
	}
	err = e.withCare(ctx, func(c *care) error {
		for i, k := range w.keepers {
			d := k.Device()
			w.at[d] = i
			w.ms = append(w.ms, repair.Machine{Machine: e.machine(c, d), Standing: e.standing(c, d)})
		}
		if e.together.Load() {
			return e.besides(ctx, w, c)
		}
		return nil
	})
	return w, err
}

// shunTime is for how long a keeper gets nothing that others can take after
// another machine of this person moved pieces away from it. It may do that again
// afterwards, once.
const shunTime = 30 * 24 * time.Hour

// besides adds what is to be minded where this person has other machines: whom
// they shun, and those that hold pieces and only they know yet. One of these is as a
// keeper that does not answer: it is waited for, so that two machines which learn of
// keepers at different times do not undo what the other did. The lock is held.
func (e *Engine) besides(ctx context.Context, w *crew, c *care) error {
	now := e.now()
	shunned, err := e.cat.Shunned(ctx, now.Add(-shunTime).Unix())
	if err != nil {
		return err
	}
	for i := range w.ms {
		w.ms[i].Shunned = shunned[w.ms[i].ID]
	}
	if e.out == nil {
		return nil
	}
	holders, err := e.cat.Holders(ctx)
	if err != nil {
		return err
	}
	for _, d := range holders {
		_, known := w.at[d]
		_, leaving := c.leaving[d]
		if known || leaving || e.out(d) {
			continue
		}
		h := c.history[d]
		if h == nil {
			h = &presence.History{}
			c.history[d] = h
		}
		h.Mark(now, false)
		m := repair.Machine{Machine: e.machine(c, d), Standing: repair.Away}
		m.Takes = false
		if h.Missed(now, c.grace) {
			m.Standing = repair.Missing
		}
		w.at[d] = len(w.ms)
		w.ms = append(w.ms, m)
	}
	return nil
}

func (e *Engine) machine(c *care, d peers.DeviceID) placement.Machine {
	m := placement.Machine{ID: d, Room: -1, Likely: 0.5, Takes: !e.scores.away(d)}
	if e.roles != nil {
		r := e.roles(d)
		m.Person, m.House = r.Person, r.House
	}
	if h := c.history[d]; h != nil {
		m.Likely = h.Likely()
	}
	if room, ok := c.room[d]; ok {
		m.Room = room
	}
	return m
}

// standing judges a keeper. The lock is held.
func (e *Engine) standing(c *care, d peers.DeviceID) repair.Standing {
	now := e.now()
	if _, ok := c.leaving[d]; ok {
		return repair.Leaving
	}
	if a, ok := c.audits[d]; ok && a.Score < audit.Bad && now.Sub(time.Unix(a.BadAt, 0)) < audit.Forgive {
		return repair.Failing
	}
	if h := c.history[d]; h != nil && h.Missed(now, c.grace) {
		return repair.Missing
	}
	if e.scores.away(d) || !c.online[d] && now.Sub(c.noticed[d]) < noticeAge {
		return repair.Away
	}
	return repair.Well
}

// segment is a segment as decisions see it.
func (w *crew) segment(s *catalog.Spread) *repair.Segment {
	out := &repair.Segment{
		Geometry: erasure.Geometry{K: s.K, N: s.N}, Size: int64(s.ShardLen), Turn: uint64(s.Segment), Pinned: w.pinned[s.Segment],
		Pieces: make([]repair.Piece, len(s.Keepers)),
	}
	for i, d := range s.Keepers {
		at, ok := w.at[d]
		if !ok {
			at = -1
		}
		out.Pieces[i] = repair.Piece{At: at, State: repair.State(s.States[i])}
	}
	return out
}

// looks is what a look at every segment depends on: who is there, and how.
func (w *crew) looks() string {
	b := make([]byte, 0, 34*len(w.ms))
	for _, m := range w.ms {
		b = append(append(b, m.ID[:]...), byte(m.Standing))
		b = append(append(append(b, m.House...), 0), m.Person...)
		b = append(b, 0)
	}
	return string(b)
}

// taking counts the machines that new segments go to.
func (w *crew) taking() (n int) {
	for _, m := range w.ms[:len(w.keepers)] {
		n += btoi(takesNew(m.Standing))
	}
	return n
}

// takesNew: new segments go to such a machine. To others it would only be owed
// what somebody else has to make anew.
func takesNew(s repair.Standing) bool { return s == repair.Well || s == repair.Away }
