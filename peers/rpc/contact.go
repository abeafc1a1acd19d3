// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/transport"
)

const (
	// upgradeEvery is how often a better way than a relay is looked for.
	upgradeEvery = 30 * time.Second
	// quicPatience is how much longer one than QUIC may wait: it is nearly as good.
	quicPatience = 10
	// hintGap is the least time between looks for one, whatever is heard.
	hintGap = 2 * time.Second
	// contactPause is the longest pause between dials to a device that was
	// there lately, awayPause to one that was not.
	contactPause = 5 * time.Second
	awayPause    = time.Minute
	lately       = 3 * time.Minute
	// sameTime is within what two control connections count as opened at
	// once, so that both sides must agree on one.
	sameTime = 1500 * time.Millisecond
	// maxBack bounds the reverse connections to one device.
	maxBack = maxConns + 2
	// callBurst is how many a device can have opened at once, callRefill how
	// soon one more.
	callBurst, callRefill = 4 * maxConns, 250 * time.Millisecond
)

// contact keeps touch with one device of the circle: it sees to it that there
// is a control connection, by the best way there is.
type contact struct {
	s      *Service
	device peers.DeviceID
	nudge  chan struct{} // look again now; holds one
	hint   atomic.Bool   // there may be a better way now
	end    context.CancelFunc

	mu      sync.Mutex
	now     *control
	met     time.Time          // when there was a control connection last
	tried   map[string]attempt // what became of the addresses that were dialled last
	mapped  []string           // of its addresses those that its router passes on
	samples []sample
	digger
	back     int // reverse connections that are open or being opened
	calls    int // that may still be asked for
	refilled time.Time
}

// attempt is what became of dialling one address.
type attempt struct {
	at  time.Time
	err error
}

// control is the connection there is, or nil.
func (p *contact) control() *control {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// wake makes tend look again.
func (p *contact) wake() { poke(p.nudge) }

// tend runs until ctx ends.
func (p *contact) tend(ctx context.Context) {
	var pause time.Duration
	var pinged, sought time.Time
	for ctx.Err() == nil {
		c := p.control()
		if c == nil {
			if p.reachSoon(ctx) == nil {
				pause = 0
				continue
			}
			p.tryUDP(ctx, nil, 0)
			most := awayPause
			if p.lately() {
				most = contactPause
			}
			pause = min(max(2*pause, firstPause), most)
			waitFor(ctx, pause*3/4+rand.N(pause/2), p.nudge)
			continue
		}
		pause = 0
		if c.conn.Opened().After(sought) {
			sought = c.conn.Opened() // a new connection: no hurry for a better one
		}
		if c.ours && time.Since(pinged) >= pingEvery {
			pinged = time.Now()
			if c.ping() != nil {
				c.conn.Close()
			}
		}
		next := pingEvery
		if c.conn.Route() == transport.Relayed {
			next = p.tryUDP(ctx, c, upgradeEvery/4)
		}
		due := upgradeEvery*3/4 + rand.N(upgradeEvery/2)
		if c.conn.Route() == transport.QUICRoute {
			due *= quicPatience
			if time.Since(c.conn.Opened()) > udpLived {
				p.again()
			}
		}
		if p.hint.Load() {
			due = hintGap
		}
		if c.conn.Route() >= transport.QUICRoute && time.Since(sought) >= due {
			p.hint.Store(false)
			_ = p.reach(ctx, true) // it is a way, if not the best one
			sought = time.Now()
		}
		if c.conn.Route() == transport.Relayed && p.hint.Load() {
			next = min(next, hintGap)
		}
		waitFor(ctx, next, c.done, p.nudge)
		if !c.ended() {
			continue
		}
		// Both sides notice at once: one of them waits for the other.
		if self := p.s.cfg.Identity.Device(); bytes.Compare(self[:], p.device[:]) > 0 {
			waitFor(ctx, 100*time.Millisecond+rand.N(200*time.Millisecond), p.nudge)
		}
	}
}

// reachSoon is reach by any way. Where that takes long, as where a firewall
// swallows TCP, a way by UDP is looked for beside it.
func (p *contact) reachSoon(ctx context.Context) error {
	reached := make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(func() {
		t := time.NewTimer(settleTime)
		defer t.Stop()
		select {
		case <-t.C:
			p.tryUDP(ctx, nil, 0)
		case <-reached:
		case <-ctx.Done():
		}
	})
	err := p.reach(ctx, false)
	close(reached)
	beside.Wait()
	return err
}

func (p *contact) lately() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.met) < lately
}

// reach dials until there is a control connection; better: only by ways that
// are better than QUIC and a relay.
func (p *contact) reach(ctx context.Context, better bool) error {
	s := p.s
	l := s.client(p.device).link
	addresses := l.candidates(ctx)
	if better {
		addresses = slices.DeleteFunc(addresses, func(a string) bool { return transport.RouteOf(a) >= transport.QUICRoute })
	}
	if len(addresses) == 0 {
		return errors.New("no address is known")
	}
	tried := make(map[string]attempt)
	var mu sync.Mutex
	started := time.Now()
	c, addr, err := s.cfg.Identity.Dial(ctx, p.device, addresses, transport.DialOptions{
		Dialers: s.cfg.Dialers, QUIC: s.quic(), Idle: s.cfg.times.idle, Timeout: s.cfg.times.handshake, Kind: transport.Control,
		Failed: func(a string, err error) {
			mu.Lock()
			defer mu.Unlock()
			tried[a] = attempt{time.Now(), err}
		},
	})
	if ctx.Err() != nil {
		if err == nil {
			c.Close()
		}
		return ctx.Err()
	}
	p.mu.Lock()
	if err == nil {
		tried[addr] = attempt{time.Now(), nil}
	}
	p.tried = tried
	p.mu.Unlock()
	if err != nil {
		s.journal.add(p.device, "dial failed", errorClass(err), "", time.Since(started))
		if errors.Is(err, transport.ErrNotAdmitted) && s.claimAgain(ctx, p.device) {
			p.wake()
		}
		return err
	}
	s.journal.add(p.device, "dialled", c.Route().String(), addressClass(addr), time.Since(started))
	l.leads(addr, c.Route())
	p.adopt(ctx, &control{s: s, conn: c, ours: true, addr: addr, done: make(chan struct{})})
	return nil
}

// adopt takes a new control connection over, unless both sides dialled at once
// and the other one is to stay. The newest that was authenticated wins: the
// device knows best which of its connections is alive.
func (p *contact) adopt(ctx context.Context, c *control) {
	self := p.s.cfg.Identity.Device()
	p.mu.Lock()
	old := p.now
	if old != nil && !old.ended() && old.ours != c.ours &&
		c.conn.Opened().Sub(old.conn.Opened()) < sameTime &&
		max(old.conn.Route(), transport.Direct) == max(c.conn.Route(), transport.Direct) {
		// The one that the device with the smaller ID dialled.
		if smaller := bytes.Compare(self[:], p.device[:]) < 0; c.ours != smaller {
			p.mu.Unlock()
			c.conn.Close()
			p.s.running.Go(old.suspect) // the other side may have a reason to dial
			return
		}
	}
	p.now, p.met = c, time.Now()
	p.mu.Unlock()
	if old != nil {
		old.conn.Close()
	}
	s := p.s
	l := s.client(p.device).link
	l.forgive()
	switch {
	case old != nil && !old.ended() && c.conn.Route() < old.conn.Route():
		l.renew() // what is under way ends on the old connections
	default:
		// The other side had a reason to begin anew: it has another address, say,
		// and what went to the old one hangs. What is alive moves soon.
		l.still(stillTime)
		s.running.Go(func() {
			waitFor(ctx, stillTime)
			l.still(stillTime)
		})
	}
	s.running.Go(func() { p.listen(ctx, c) })
	s.changed()
	s.greetNow()
	if c.conn.Route() != transport.Relayed {
		s.helped()
	}
	p.wake()
}

// listen hears a control connection to its end.
func (p *contact) listen(ctx context.Context, c *control) {
	s := p.s
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	// run must read while this is sent: the other side sends as well.
	s.running.Go(func() {
		if c.send(s.about()) != nil || c.ours && c.ping() != nil {
			c.conn.Close()
		}
	})
	err := c.run(func(m controlMsg) { p.hear(ctx, c, m) })
	s.journal.add(p.device, "ended", c.conn.Route().String(), errorClass(err), time.Since(c.conn.Opened()))
	p.mu.Lock()
	mine := p.now == c
	if mine {
		p.now, p.met = nil, time.Now()
	}
	p.mu.Unlock()
	if mine {
		// What hangs on the same way is not waited for.
		s.client(p.device).link.close()
		s.changed()
		p.wake()
	}
}

// hear acts on a message.
func (p *contact) hear(ctx context.Context, c *control, m controlMsg) {
	s := p.s
	switch m.What {
	case controlAbout:
		p.mu.Lock()
		p.mapped = m.Mapped[:min(len(m.Mapped), 1)]
		p.mu.Unlock()
		if c.conn.Route() == transport.Relayed {
			p.hint.Store(true)
			p.wake()
		}
		s.located(p.device, circle.Learned(m.Addresses, local(c.conn)), circle.LearnedServers(m.Servers, local(c.conn)))
	case controlCall:
		if p.mayCallBack(time.Now()) {
			s.running.Go(func() { p.callBack(ctx, c) })
		}
	case controlWatch:
		p.watch(c, m.Token)
	case controlSeen:
		s.seen(m)
	case controlPunch:
		p.heardPunch(ctx, c, m)
	case controlPass:
		p.passOn(m)
	case controlMail:
		if s.cfg.Mail != nil {
			s.cfg.Mail.Waits(p.device)
		}
	}
}

// mayCallBack counts a connection to be opened, unless there are enough, or the
// device asks for ever more: each costs a handshake.
func (p *contact) mayCallBack(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := int(now.Sub(p.refilled) / callRefill); n > 0 {
		p.calls, p.refilled = min(callBurst, p.calls+n), now
	}
	if p.calls == 0 || p.back >= maxBack {
		return false
	}
	p.calls--
	p.back++
	return true
}

// callBack opens a connection on which this device answers.
func (p *contact) callBack(ctx context.Context, c *control) {
	s := p.s
	over := func() {
		p.mu.Lock()
		p.back--
		p.mu.Unlock()
	}
	addresses := s.client(p.device).link.candidates(ctx)
	if c.ours {
		addresses = append([]string{c.addr}, slices.DeleteFunc(addresses, func(a string) bool { return a == c.addr })...)
	}
	conn, _, err := s.cfg.Identity.Dial(ctx, p.device, addresses, transport.DialOptions{
		Dialers: s.cfg.Dialers, QUIC: s.quic(), Idle: s.cfg.times.idle, Timeout: s.cfg.times.handshake, Kind: transport.Reverse,
	})
	if err != nil {
		over()
		s.log.Debug("call back", "device", p.device.Short(), "error", err)
		return
	}
	conn.OnClose(over)
	s.mu.Lock()
	srv := s.server
	s.mu.Unlock()
	srv.serveBack(conn)
}
