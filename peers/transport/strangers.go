// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
)

const (
	// maxHandshakes bounds the handshakes at once.
	maxHandshakes = 256
	// maxPerOrigin bounds those of one Origin.
	maxPerOrigin = 16
)

// strangers are the connections in a handshake.
type strangers struct {
	mu      sync.Mutex
	waiting []stranger
}

type stranger struct {
	conn net.Conn
	from netip.Prefix
}

// enter notes a new connection and says whether it may go on: not when its
// origin has its share already. When every place is taken it gets that of one
// picked at random, which is closed: who floods the places then has the most
// to lose, while one who means it is through in a few round trips.
func (s *strangers) enter(c net.Conn) bool {
	from := Origin(c.RemoteAddr())
	s.mu.Lock()
	defer s.mu.Unlock()
	share := 0
	for i := range s.waiting {
		if s.waiting[i].from == from {
			share++
		}
	}
	if share >= maxPerOrigin {
		return false
	}
	if len(s.waiting) >= maxHandshakes {
		i := rand.IntN(len(s.waiting))
		s.waiting[i].conn.Close()
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
	s.waiting = append(s.waiting, stranger{c, from})
	return true
}

// leave takes a connection off: its handshake is over, one way or the other.
func (s *strangers) leave(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.DeleteFunc(s.waiting, func(o stranger) bool { return o.conn == c })
}
