// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/transport"
)

const (
	// mapEvery is how often a router that opens a port is asked to keep it open,
	// mapAgain how soon one that did not is asked again.
	mapEvery, mapAgain = 20 * time.Minute, 10 * time.Minute
	// mapTime bounds the questions to routers.
	mapTime = 30 * time.Second
)

// keepMapped keeps the router passing a port on, as long as ctx lives. After a
// move it asks anew.
func (s *Service) keepMapped(ctx context.Context, l *transport.Listener) {
	p := port(l.Addrs()) // 0: bound to chosen addresses: what they are for is the person's business
	if p == 0 && len(s.cfg.Ports) == 0 {
		return
	}
	moved := make(chan struct{}, 1)
	s.mu.Lock()
	s.announcers = append(s.announcers, func() { poke(moved) })
	s.mu.Unlock()
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, mapTime)
		mapped, also, err := s.mapPorts(asking, p)
		mappedUDP := ""
		if mapped != "" {
			mappedUDP = s.mapUDP(asking)
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
		wait := mapAgain
		if err == nil {
			wait = mapEvery
		}
		s.ways.mu.Lock()
		changed := s.ways.mapped != mapped || s.ways.mappedUDP != mappedUDP || !maps.Equal(s.ways.also, also)
		s.ways.mapped, s.ways.mappedUDP, s.ways.noMap, s.ways.also = mapped, mappedUDP, err, also
		s.ways.mu.Unlock()
		if changed {
			s.readdress()
		}
		if err != nil {
			s.log.Debug("port mapping", "error", err)
		}
		s.journal.add(peers.DeviceID{}, "asked the router for a port", map[bool]string{true: "opened", false: "not opened"}[err == nil], "", 0)
		waitFor(ctx, wait, moved)
	}
}

// mapPorts asks for the port p, 0 for none, and those of the servers beside it. A
// router that does not open the first one is not asked for the others.
func (s *Service) mapPorts(ctx context.Context, p int) (mapped string, also map[int]string, err error) {
	also = make(map[int]string)
	for _, n := range slices.Concat([]int{p}, s.cfg.Ports) {
		if n == 0 {
			continue
		}
		at, err := transport.MapPort(ctx, "tcp", n)
		if err != nil {
			return mapped, also, err
		}
		if n == p {
			mapped = at.String()
		} else {
			also[n] = at.String()
		}
	}
	return mapped, also, nil
}

// mapUDP asks for the UDP port, for those who come by QUIC, and gives where it is
// reached, or empty. Without it everything works, only not that way.
func (s *Service) mapUDP(ctx context.Context) string {
	q := s.quic()
	if q == nil {
		return ""
	}
	u, ok := q.Addr().(*net.UDPAddr)
	if !ok || !u.IP.IsUnspecified() {
		return ""
	}
	at, err := transport.MapPort(ctx, "udp", u.Port)
	if err != nil {
		s.log.Debug("port mapping for UDP", "error", err)
		return ""
	}
	return at.String()
}

// MappedPort is where the router passes on the port of a server beside this one,
// host:port, or empty.
func (s *Service) MappedPort(port int) string {
	s.ways.mu.Lock()
	defer s.ways.mu.Unlock()
	return s.ways.also[port]
}
