// SPDX-License-Identifier: MPL-2.0

package depot

import (
	"context"
	"fmt"
	"sync"

	"github.com/preezm/preezm/peers"
)

// claims lets one put or delete at a time work on a shard. An owner's second
// request waits for its first one, because a retry after a broken connection
// often meets the old put still ending; another owner's is refused at once and
// can never hold anybody up.
type claims struct {
	mu   sync.Mutex
	held map[peers.ShardID]*claim
}

type claim struct {
	owner peers.DeviceID
	done  chan struct{}
}

// take waits for the shard. The caller calls the returned function once.
func (c *claims) take(ctx context.Context, owner peers.DeviceID, id peers.ShardID) (func(), error) {
	mine := &claim{owner: owner, done: make(chan struct{})}
	for {
		c.mu.Lock()
		other := c.held[id]
		if other == nil {
			c.held[id] = mine
			c.mu.Unlock()
			return func() {
				c.mu.Lock()
				delete(c.held, id)
				c.mu.Unlock()
				close(mine.done)
			}, nil
		}
		c.mu.Unlock()
		if other.owner != owner {
			return nil, fmt.Errorf("the shard is another's: %w", peers.ErrRefused)
		}
		select {
		case <-other.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
