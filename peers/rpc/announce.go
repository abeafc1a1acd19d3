// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
)

// announce tells every device of the circle where this one is: at the start,
// when its addresses change, and again to those that were away. After the
// machine slept, connections are taken for dead.
func (s *Service) announce(ctx context.Context) {
	every := s.cfg.times.announce
	tick := time.NewTicker(every)
	defer tick.Stop()
	told := make(map[peers.DeviceID]string)
	last := time.Now().Round(0) // wall clock: it goes on in sleep
	for {
		s.announceOnce(ctx, told)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now().Round(0)
		if gap := now.Sub(last); gap > 2*every+time.Second || gap < -time.Second {
			s.log.Info("the clock jumped; connecting anew", "gap", gap)
			clear(told)
			s.reconnect()
		}
		last = now
	}
}

// reconnect drops idle connections and the memory of failed dials.
func (s *Service) reconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clients {
		c.close()
		c.forgive()
	}
}

// announceOnce says hello to everybody who has not heard the present
// addresses. A device that is away is asked again at the next turn.
func (s *Service) announceOnce(ctx context.Context, told map[peers.DeviceID]string) {
	ctx, cancel := context.WithTimeout(ctx, max(s.cfg.times.announce, s.cfg.times.probe))
	defer cancel()
	addresses := s.Addresses()
	now := strings.Join(addresses, " ")
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, p := range s.cfg.Book.Peers() {
		mu.Lock()
		heard, ok := told[p.Device]
		mu.Unlock()
		if ok && heard == now {
			continue
		}
		wg.Go(func() {
			if _, _, err := s.client(p.Device).hello(ctx, addresses); err != nil {
				s.log.Debug("announce", "to", p.Device.Short(), "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			told[p.Device] = now
		})
	}
	wg.Wait()
}
