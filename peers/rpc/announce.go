// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
)

// askAgain is how often a device in touch is asked how it is, without a reason.
const askAgain = 5 * time.Minute

// saying is what a device was told, and when.
type saying struct {
	addresses string
	at        time.Time
}

// announce tells every device of the circle that this one is in touch with what
// it is called, which keys it has and where it is: at the start, when its
// addresses change, and again to those that were away.
func (s *Service) announce(ctx context.Context) {
	tick := time.NewTicker(s.cfg.times.announce)
	defer tick.Stop()
	told := make(map[peers.DeviceID]saying)
	for {
		s.announceOnce(ctx, told)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.met:
		}
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

// announceOnce says hello to everybody who has not heard the present addresses,
// or was not asked for long. A device that is away is told when it is back.
func (s *Service) announceOnce(ctx context.Context, told map[peers.DeviceID]saying) {
	ctx, cancel := context.WithTimeout(ctx, max(s.cfg.times.announce, s.cfg.times.probe))
	defer cancel()
	addresses := s.Addresses()
	now := strings.Join(addresses, " ") + " " + string(s.cfg.Book.Own())
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, id := range s.cfg.Book.Devices() {
		mu.Lock()
		heard, ok := told[id]
		mu.Unlock()
		if ok && heard.addresses == now && time.Since(heard.at) < askAgain || s.touch(id) == nil {
			continue
		}
		wg.Go(func() {
			if _, _, err := s.client(id).hello(ctx, addresses); err != nil {
				s.log.Debug("announce", "to", id.Short(), "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			told[id] = saying{now, time.Now()}
		})
	}
	wg.Wait()
}
