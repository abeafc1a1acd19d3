// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
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
	p := port(l.Addrs())
	if p == 0 {
		return // bound to chosen addresses: what they are for is the person's business
	}
	moved := make(chan struct{}, 1)
	s.mu.Lock()
	s.announcers = append(s.announcers, func() { poke(moved) })
	s.mu.Unlock()
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, mapTime)
		at, err := transport.MapPort(asking, p)
		cancel()
		if ctx.Err() != nil {
			return
		}
		mapped, wait := "", mapAgain
		if err == nil {
			mapped, wait = at.String(), mapEvery
		}
		s.ways.mu.Lock()
		changed := s.ways.mapped != mapped
		s.ways.mapped, s.ways.noMap = mapped, err
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
