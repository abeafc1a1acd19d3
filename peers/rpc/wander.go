// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/transport"
)

const (
	// maxOwn bounds the addresses that this device gives of itself, so that
	// relays still find a place (circle.MaxLearned).
	maxOwn = 7
	// maxRelays bounds the relays where this device waits, maxServers the
	// discovery servers that it uses.
	maxRelays, maxServers = 2, 3
	// serverPause is the first and serverPauseMost the longest pause before a
	// server that failed is tried again.
	serverPause, serverPauseMost = time.Second, 2 * time.Minute
)

// ways is how this device can be reached beside its own addresses.
type ways struct {
	mu        sync.Mutex
	mapped    string            // host:port that the router passes on
	mappedUDP string            // the same for UDP
	noMap     error             // why there is none
	also      map[int]string    // of Config.Ports those that the router passes on, with where
	relays    map[string]string // relays, as configured, to the address there; "" while it does not wait there
	state     map[string]error  // of each relay and server: why it does not work, nil: it does
}

// addresses joins the ways, best first.
func (w *ways) addresses(fixed, bound []string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := slices.Clone(fixed)
	for _, a := range bound {
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	if w.mapped != "" {
		out = slices.Insert(out, min(len(out), maxOwn-1), w.mapped)
	}
	out = out[:min(len(out), maxOwn)]
	var relays []string
	for _, public := range w.relays {
		if public != "" && !slices.Contains(relays, public) {
			relays = append(relays, public)
		}
	}
	slices.Sort(relays)
	return slices.Concat(out, relays)
}

// set notes what became of a relay or a server, and says whether that is new.
func (w *ways) set(server, public string, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == nil {
		w.state, w.relays = make(map[string]error), make(map[string]string)
	}
	_, known := w.state[server]
	changed := !known || w.relays[server] != public
	w.state[server] = err
	if circle.IsRelay(server) {
		w.relays[server] = public
	}
	return changed
}

func (w *ways) forget(server string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.state, server)
	delete(w.relays, server)
}

// offers are the servers that this device runs.
func (s *Service) offers() []string {
	if s.cfg.Offers == nil {
		return nil
	}
	return circle.CleanServers(s.cfg.Offers())
}

// configured are the servers that the person chose.
func (s *Service) configured() []string {
	if s.cfg.Servers == nil {
		return nil
	}
	return s.cfg.Servers()
}

// servers are all the relays and discovery servers to use: this device's own,
// those of the settings, and where a member says that one of these is found as
// well. Others that members run are not used by themselves: a server learns
// whom its users look for and talk to.
func (s *Service) servers() (relays, discovery []string) {
	chosen := s.configured()
	all := slices.Concat(s.offers(), chosen)
	for _, p := range s.cfg.Book.Peers() {
		for _, offered := range p.Servers {
			if slices.ContainsFunc(chosen, func(c string) bool { return circle.SameServer(c, offered) }) {
				all = append(all, offered)
			}
		}
	}
	for _, a := range all {
		switch {
		case circle.CheckServer(a) != nil:
		case circle.IsRelay(a) && len(relays) < maxRelays && !slices.Contains(relays, a):
			relays = append(relays, a)
		case !circle.IsRelay(a) && len(discovery) < maxServers && !slices.Contains(discovery, a):
			discovery = append(discovery, a)
		}
	}
	return relays, discovery
}

// wander waits at relays, announces this device at discovery servers and asks
// the router for a port, as long as ctx lives.
func (s *Service) wander(ctx context.Context, l *transport.Listener, wg *sync.WaitGroup) {
	again := make(chan struct{}, 1)
	s.mu.Lock()
	s.announcers = append(s.announcers, func() { poke(again) })
	s.mu.Unlock()
	wg.Go(func() { s.useServers(ctx, l, again) })
	if s.cfg.Mapping && !transport.LoopbackOnly(l.Addrs()) {
		wg.Go(func() { s.keepMapped(ctx, l) })
	}
}

// useServers runs one goroutine for each server in use, and follows the
// settings and the circle. After a move each looks whether it still works.
func (s *Service) useServers(ctx context.Context, l *transport.Listener, moved <-chan struct{}) {
	type run struct {
		end   context.CancelFunc
		done  chan struct{}
		doubt chan struct{}
	}
	runs := make(map[string]run)
	stop := func(server string) {
		r := runs[server]
		r.end()
		<-r.done
		delete(runs, server)
		s.ways.forget(server)
	}
	defer func() {
		for server := range runs {
			stop(server)
		}
	}()
	tick := time.NewTicker(5 * lookEvery)
	defer tick.Stop()
	for {
		relays, discovery := s.servers()
		want := slices.Concat(relays, discovery)
		for server := range runs {
			if !slices.Contains(want, server) {
				stop(server)
			}
		}
		for _, server := range want {
			if _, ok := runs[server]; ok {
				continue
			}
			one, end := context.WithCancel(ctx)
			r := run{end, make(chan struct{}), make(chan struct{}, 1)}
			runs[server] = r
			go func() {
				defer close(r.done)
				if circle.IsRelay(server) {
					s.waitAt(one, server, l, r.doubt)
				} else {
					s.announceAt(one, server, l, r.doubt)
				}
			}()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-moved:
			for _, r := range runs {
				poke(r.doubt)
			}
		}
	}
}

// waitAt waits at a relay, with pauses after failures.
func (s *Service) waitAt(ctx context.Context, server string, l *transport.Listener, doubt <-chan struct{}) {
	r, err := s.cfg.Identity.Relay(server)
	if err != nil {
		s.ways.set(server, "", err)
		<-ctx.Done()
		return
	}
	pause := serverPause
	for ctx.Err() == nil {
		err := r.Wait(ctx, doubt, func() {
			pause = serverPause
			s.journal.add(peers.DeviceID{}, "waits at a relay", "", addressClass(hostOf(server)), 0)
			if s.ways.set(server, r.Public(), nil) {
				s.readdress()
			}
		}, func(c net.Conn) {
			if !l.Take(ctx, c) {
				c.Close()
			}
		})
		if ctx.Err() != nil {
			return
		}
		s.journal.add(peers.DeviceID{}, "relay lost", errorClass(err), "", 0)
		s.log.Debug("relay", "error", err)
		if s.ways.set(server, "", err) {
			s.readdress()
		}
		if transport.Taken(err) {
			pause = min(pause, 2*time.Second) // it is about to notice
		}
		waitFor(ctx, pause*3/4+rand.N(pause/2), doubt)
		pause = min(2*pause, serverPauseMost)
	}
}

// announceAt keeps this device's addresses at a discovery server, and has it
// asked for others.
func (s *Service) announceAt(ctx context.Context, server string, l *transport.Listener, doubt <-chan struct{}) {
	g, err := s.cfg.Identity.NewGlobal(server)
	if err != nil {
		s.ways.set(server, "", err)
		<-ctx.Done()
		return
	}
	defer g.Close()
	f := &careful{g}
	s.mu.Lock()
	s.finders = append(s.finders, f)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.finders = slices.DeleteFunc(s.finders, func(o transport.Finder) bool { return o == transport.Finder(f) })
		s.mu.Unlock()
	}()
	tick := time.NewTicker(5 * lookEvery)
	defer tick.Stop()
	told, due, pause := "", time.Now(), serverPause
	for {
		addresses := s.Addresses()
		now := strings.Join(addresses, " ")
		if now != told || !time.Now().Before(due) {
			again, err := serverPauseMost, error(nil)
			if elsewhere := beyond(addresses); len(elsewhere) > 0 {
				again, err = g.Announce(ctx, elsewhere, port(l.Addrs()))
			}
			if ctx.Err() != nil {
				return
			}
			s.ways.set(server, "", err)
			told = now
			if err != nil {
				s.journal.add(peers.DeviceID{}, "discovery server failed", errorClass(err), "", 0)
				s.log.Debug("discovery server", "error", err)
				again, pause = pause, min(2*pause, serverPauseMost)
			} else {
				pause = serverPause
			}
			due = time.Now().Add(again)
		}
		select {
		case <-ctx.Done():
			return
		case <-doubt:
			told = ""
		case <-tick.C:
		}
	}
}

// careful dials nothing on a server's word that it would not on a member's.
type careful struct{ inner transport.Finder }

// Find implements transport.Finder.
func (c *careful) Find(ctx context.Context, device peers.DeviceID) []string {
	return circle.Learned(c.inner.Find(ctx, device), false)
}

// beyond leaves out the addresses that mean something on this machine only.
func beyond(addresses []string) []string {
	return slices.DeleteFunc(slices.Clone(addresses), func(a string) bool {
		return transport.RouteOf(a) == transport.SameMachine || transport.RouteOf(a) == transport.Relayed && transport.RouteOf(hostOf(a)) == transport.SameMachine
	})
}

// hostOf is the host:port of a server.
func hostOf(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return ""
	}
	return u.Host
}

// port is the one that is bound at every address, or 0.
func port(bound []net.Addr) int {
	for _, a := range bound {
		if t, ok := a.(*net.TCPAddr); ok && t.IP.IsUnspecified() {
			return t.Port
		}
	}
	return 0
}

// readdress tells everybody that this device is reached otherwise now.
func (s *Service) readdress() {
	s.tellAll()
	s.greetNow()
}

// greetNow has announce look again.
func (s *Service) greetNow() { poke(s.met) }
