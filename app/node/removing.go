// SPDX-License-Identifier: MPL-2.0

package node

import (
	"sync"

	"github.com/preezm/preezm/peers"
)

// removing is the machines that a call is emptying just now: the loop that
// ends broken-off removals leaves those alone.
type removing struct {
	mu sync.Mutex
	of map[peers.DeviceID]int
}

// claim notes a machine and returns how to let go of it.
func (r *removing) claim(d peers.DeviceID) func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[peers.DeviceID]int{}
	}
	r.of[d]++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.of[d]--; r.of[d] == 0 {
			delete(r.of, d)
		}
	}
}

func (r *removing) busy(d peers.DeviceID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of[d] > 0
}
