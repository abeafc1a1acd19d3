// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/transport"
)

const (
	// lookEvery is how often the circle and this machine's addresses are
	// compared with what they were.
	lookEvery = time.Second
	// jump is how much further than expected a clock must be to say that the
	// machine slept, or somebody set it.
	jump = 3 * time.Second
)

// keepTouch keeps touch with everybody in the circle until ctx ends, and
// notices when this machine moved to another network or slept.
func (s *Service) keepTouch(ctx context.Context) {
	s.mu.Lock()
	s.touching = ctx
	s.contacts = make(map[peers.DeviceID]*contact)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.touching, s.contacts = nil, nil
		s.mu.Unlock()
		s.running.Wait()
	}()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	watch := newNetWatch()
	defer watch.close()
	last, where := time.Now().Round(0), interfaces() // wall clock: it goes on in sleep
	for {
		s.meet(ctx)
		for _, p := range s.everybody() {
			p.measure(time.Now())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, here := time.Now().Round(0), where
		if watch.changed() {
			here = interfaces()
		}
		gap := now.Sub(last)
		if gap > lookEvery+jump || gap < -jump {
			s.journal.add(peers.DeviceID{}, "clock jumped", "", "", gap)
			s.log.Info("the clock jumped; connecting anew", "gap", gap)
			s.moved()
		} else if here != where {
			s.journal.add(peers.DeviceID{}, "network changed", "", "", 0)
			s.log.Info("the network changed; connecting anew")
			s.moved()
		}
		last, where = now, here
	}
}

// tended says whether contacts keep touch with the members.
func (s *Service) tended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.touching != nil
}

// meet begins to keep touch with devices that are new in the circle, and ends
// it with those that are no longer in it.
func (s *Service) meet(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.cfg.Book.Devices() {
		if s.contacts[id] == nil {
			s.contactLocked(ctx, id)
		}
	}
	for id, p := range s.contacts {
		if !s.cfg.Book.Has(id) {
			p.part()
			delete(s.contacts, id)
		}
	}
}

func (s *Service) contactLocked(ctx context.Context, id peers.DeviceID) *contact {
	ctx, end := context.WithCancel(ctx)
	p := &contact{s: s, device: id, nudge: make(chan struct{}, 1), end: end}
	s.contacts[id] = p
	s.running.Go(func() {
		defer end()
		p.tend(ctx)
	})
	return p
}

// part ends touch with a device.
func (p *contact) part() {
	p.end()
	if c := p.control(); c != nil {
		c.conn.Close()
	}
}

// greet takes a control connection that a member opened.
func (s *Service) greet(c *transport.Conn) {
	s.mu.Lock()
	ctx := s.touching
	if ctx == nil || ctx.Err() != nil || !s.cfg.Book.Has(c.Device()) {
		s.mu.Unlock()
		c.Close()
		return
	}
	p := s.contacts[c.Device()]
	if p == nil {
		p = s.contactLocked(ctx, c.Device())
	}
	s.mu.Unlock()
	s.journal.add(c.Device(), "called", c.Route().String(), "", 0)
	p.adopt(ctx, &control{s: s, conn: c, done: make(chan struct{})})
}

// nudge has a device looked for now: there is reason to think that it is there.
func (s *Service) nudge(id peers.DeviceID) {
	s.mu.Lock()
	p, c := s.contacts[id], s.clients[id]
	s.mu.Unlock()
	if c != nil {
		c.forgive()
	}
	if p == nil {
		return
	}
	if now := p.control(); now == nil || now.conn.Route() == transport.Relayed {
		p.hint.Store(true)
		p.wake()
	}
}

// everybody are the contacts there are.
func (s *Service) everybody() []*contact {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*contact, 0, len(s.contacts))
	for _, p := range s.contacts {
		out = append(out, p)
	}
	return out
}

// moved acts on a new network, or an awakening: connections from addresses
// that are no more are closed, the others have a moment to show that they
// live, and everybody is dialled and told at once.
func (s *Service) moved() {
	mine := make(map[string]bool)
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				mine[n.IP.String()] = true
			}
		}
	}
	gone := func(c *transport.Conn) bool {
		ip := localIP(c)
		return ip != nil && !mine[ip.String()]
	}
	s.reconnect()
	s.udp.mu.Lock()
	s.udp.outerAt = time.Time{}
	s.udp.mu.Unlock()
	s.mu.Lock()
	clients := make([]*Client, 0, len(s.clients))
	for _, c := range s.clients {
		clients = append(clients, c)
	}
	srv, announcers := s.server, slices.Clone(s.announcers)
	s.mu.Unlock()
	for _, c := range clients {
		c.link.drop(gone)
	}
	if srv != nil {
		srv.drop(gone)
	}
	for _, f := range announcers {
		f()
	}
	var wg sync.WaitGroup
	for _, p := range s.everybody() {
		if c := p.control(); c != nil {
			if gone(c.conn) {
				c.conn.Close()
			} else {
				wg.Go(c.suspect)
				wg.Go(func() { _ = c.send(s.about()) })
			}
		}
		p.again()
		p.wake()
	}
	wg.Wait()
}

// about is what this device tells of itself on a control connection.
func (s *Service) about() controlMsg {
	m := controlMsg{What: controlAbout, Clock: s.cfg.Now().Unix(), Addresses: circle.CleanAddresses(s.Addresses()), Servers: s.offers()}
	s.ways.mu.Lock()
	defer s.ways.mu.Unlock()
	if s.ways.mapped != "" {
		m.Mapped = []string{s.ways.mapped}
	}
	return m
}

// tellAll tells everybody where this device is now.
func (s *Service) tellAll() {
	m := s.about()
	for _, p := range s.everybody() {
		if c := p.control(); c != nil {
			if err := c.send(m); err != nil {
				c.conn.Close()
			}
		}
	}
}

// located notes where a member says that it is.
func (s *Service) located(id peers.DeviceID, addresses, servers []string) {
	err := s.cfg.Book.Hear(id, func(p *circle.Peer) {
		if len(addresses) > 0 {
			p.Addresses = addresses
		}
		p.Servers = servers
	})
	if err == nil {
		err = s.cfg.Book.Seen(id)
	}
	if err != nil {
		s.log.Debug("note where a peer is", "device", id.Short(), "error", err)
	}
}

// changed tells Changes that something about who is there is new.
func (s *Service) changed() { poke(s.changes) }

// Changes gets a value, of which several count as one, when a device of the
// circle came or went, as far as this one can tell.
func (s *Service) Changes() <-chan struct{} { return s.changes }

// Touch says of every device of the circle whether there is a connection to it
// now, at no cost; Info is what it said last, its clock that of now. It knows
// nothing before Serve.
func (s *Service) Touch() []Reach {
	var out []Reach
	for _, p := range s.cfg.Book.Peers() {
		r := Reach{Device: p.Device, Name: p.Name, Err: peers.ErrUnreachable}
		// One that has not said yet how it is counts from then on.
		c, info := s.touch(p.Device), s.client(p.Device).last.Load()
		if c != nil && info != nil {
			r.Online, r.Err, r.Info = true, nil, *info
			r.Latency = time.Duration(c.rtt.Load())
			r.Info.UnixTime = c.unixTime()
		}
		out = append(out, r)
	}
	return out
}

// interfaces is a text that changes when this machine's network does. What has
// link-local addresses only leads nowhere: containers make and drop such by the
// minute.
func interfaces() string {
	var b strings.Builder
	all, err := net.Interfaces()
	if err != nil {
		return ""
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		var text string
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && !n.IP.IsLinkLocalUnicast() && !n.IP.IsLoopback() {
				text += " " + a.String()
			}
		}
		if text != "" {
			fmt.Fprintf(&b, "%s %v%s\n", i.Name, i.Flags&(net.FlagUp|net.FlagRunning), text)
		}
	}
	return b.String()
}
