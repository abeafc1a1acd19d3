// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/transport"
)

const (
	// callAfter is the head start of dialling over asking the device, which
	// dialled this one, to open a connection itself.
	callAfter = 250 * time.Millisecond
	// maxOffered bounds the connections that wait to be asked on, maxWaited
	// how long: the other side closes them a little later.
	maxOffered = maxConns
	maxWaited  = idleConn
	// stillTime is how long a connection may have stood still when there is
	// reason to think that it is dead.
	stillTime = 3 * time.Second
)

// open opens a connection to ask on: by dialling, or, where the device was
// here and may not be reachable itself, by having it dial.
func (l *link) open(ctx context.Context) (*transport.Conn, string, error) {
	if c := l.offered(); c != nil {
		return c, "", nil
	}
	back := l.s.touch(l.device)
	addresses := l.candidates(ctx)
	o := transport.DialOptions{
		Dialers: l.s.cfg.Dialers, QUIC: l.s.dialer(), Idle: l.s.cfg.times.idle, Timeout: l.s.cfg.times.handshake, May: l.may,
	}
	if back == nil || back.ours {
		return l.s.cfg.Identity.Dial(ctx, l.device, addresses, o)
	}
	return l.race(ctx, back, addresses, o)
}

// race dials, and asks the device to dial as well when that takes long.
func (l *link) race(ctx context.Context, back *control, addresses []string, o transport.DialOptions) (*transport.Conn, string, error) {
	ctx, cancel := context.WithTimeout(ctx, l.s.cfg.times.handshake+callAfter)
	defer cancel()
	type outcome struct {
		c    *transport.Conn
		addr string
		err  error
	}
	dialled := make(chan outcome, 1)
	go func() {
		c, addr, err := l.s.cfg.Identity.Dial(ctx, l.device, addresses, o)
		dialled <- outcome{c, addr, err}
	}()
	running, asked := true, false
	// No dial outlives the call, and none that comes too late is lost.
	defer func() {
		cancel()
		if running {
			if r := <-dialled; r.err == nil {
				r.c.Close()
			}
		}
	}()
	head := callAfter
	if l.deaf() {
		head = 0
	}
	ask := time.NewTimer(head)
	defer ask.Stop()
	failed := errors.New("it was asked to call back and does not")
	gone := back.done
	for {
		select {
		case r := <-dialled:
			running = false
			if r.err == nil {
				l.hearing(true)
				return r.c, r.addr, nil
			}
			l.hearing(false)
			failed = r.err
			ask.Reset(0)
		case <-ask.C:
			if asked {
				continue
			}
			asked = true
			if err := back.send(controlMsg{What: controlCall}); err != nil && !running {
				return nil, "", failed
			}
		case c := <-l.waiting:
			if running {
				l.hearing(false) // dialling was slower
			}
			return c, "", nil
		case <-gone:
			if !running {
				return nil, "", failed
			}
			gone, asked = nil, true // nobody to ask any more; the dial may still work
		case <-ctx.Done():
			return nil, "", failed
		}
	}
}

// deaf says whether dialling the device did not work lately.
func (l *link) deaf() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.unheard) < time.Minute
}

func (l *link) hearing(ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unheard = time.Now(); ok {
		l.unheard = time.Time{}
	}
}

// offer takes a connection that the device opened to be asked on.
func (l *link) offer(c *transport.Conn) {
	l.keep(c)
	select {
	case l.waiting <- c:
	default:
		c.Close()
	}
}

// offered gives a connection that waits, or nil.
func (l *link) offered() *transport.Conn {
	for {
		select {
		case c := <-l.waiting:
			if time.Since(c.Opened()) < maxWaited && l.has(c) {
				return c
			}
			c.Close()
		default:
			return nil
		}
	}
}

// keep counts a connection among the link's until it is closed.
func (l *link) keep(c *transport.Conn) {
	c.OnClose(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, c)
		in, out := c.Moved()
		l.in, l.out = l.in+in, l.out+out
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
}

func (l *link) has(c *transport.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.conns[c]
	return ok
}

// idle says whether there is no connection.
func (l *link) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns) == 0
}

// leads notes the address that led to the device.
func (l *link) leads(addr string, r transport.Route) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == "" || r <= transport.RouteOf(l.last) {
		l.last = addr
	}
}

// drop closes the connections that gone says are of no use, whatever goes on
// there: it is repeated elsewhere.
func (l *link) drop(gone func(*transport.Conn) bool) {
	l.mu.Lock()
	var dead []*transport.Conn
	for c := range l.conns {
		if gone(c) {
			dead = append(dead, c)
		}
	}
	l.mu.Unlock()
	for _, c := range dead {
		c.Close()
	}
}

// still drops the connections where nothing has moved for d.
func (l *link) still(d time.Duration) {
	now := time.Now()
	l.drop(func(c *transport.Conn) bool { return now.Sub(c.LastMoved()) > d })
}

// moved is how many bytes went over the link's connections so far.
func (l *link) moved() (in, out int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	in, out = l.in, l.out
	for c := range l.conns {
		i, o := c.Moved()
		in, out = in+i, out+o
	}
	return in, out
}

// touch is the control connection to a device, or nil.
func (s *Service) touch(device peers.DeviceID) *control {
	s.mu.Lock()
	p := s.contacts[device]
	s.mu.Unlock()
	if p == nil {
		return nil
	}
	return p.control()
}

// finding are the finders there are now.
func (s *Service) finding() []transport.Finder {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.finders)
}

// localIP is a connection's own address, or the zero value.
func localIP(c *transport.Conn) net.IP {
	if t, ok := c.LocalAddr().(*net.TCPAddr); ok {
		return t.IP
	}
	return nil
}
