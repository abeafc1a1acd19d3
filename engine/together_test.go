// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"sync"
	"testing"

	"github.com/preezm/preezm/peers"
)

// rotten is a keeper whose disk has damaged what it held until now; what it
// gets from now on is sound.
type rotten struct {
	*testKeeper
	gone  bool // it noticed and has thrown away what was damaged
	mu    sync.Mutex
	sound map[peers.ShardID]bool
}

func (k *rotten) PutShard(ctx context.Context, id peers.ShardID, root peers.Root, b []byte) error {
	k.mu.Lock()
	k.sound[id] = true
	k.mu.Unlock()
	return k.testKeeper.PutShard(ctx, id, root, b)
}

func (k *rotten) ReadShard(ctx context.Context, id peers.ShardID, off int64, dst []byte) error {
	err := k.testKeeper.ReadShard(ctx, id, off, dst)
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.sound[id] && k.gone {
		return peers.ErrNotFound
	} else if !k.sound[id] {
		dst[len(dst)/2] ^= 4
	}
	return err
}

// Keepers that gave damaged shards get new ones in their place, where there is
// no other machine for them; and they are told, in the same go, to forget the
// damaged ones.
func TestRepairOfDamagedShards(t *testing.T) {
	t.Run("given", func(t *testing.T) { testRepair(t, false) })
	t.Run("thrown away", func(t *testing.T) { testRepair(t, true) })
}

func testRepair(t *testing.T, gone bool) {
	c, _ := keptTree(t, 5)
	if err := c.Engine.Close(); err != nil {
		t.Fatal(err)
	}
	var circle []peers.Keeper
	for i, k := range c.keepers {
		circle = append(circle, k)
		if i < 2 {
			circle[i] = &rotten{testKeeper: k, gone: gone, sound: map[peers.ShardID]bool{}}
		}
	}
	e, err := Open(t.Context(), Config{Dir: c.dir, Secrets: c.secrets, Keepers: func() []peers.Keeper { return circle }})
	if err != nil {
		t.Fatal(err)
	}
	c.Engine = e
	v, err := c.Verify(t.Context(), VerifyOptions{}, nil)
	if err != nil || v.Good == v.Shards {
		t.Fatalf("%d of %d shards are good (%v)", v.Good, v.Shards, err)
	}
	if err := c.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := c.Status(t.Context(), StatusOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Debt != 0 || s.Pending != 0 {
		t.Errorf("after a repair %d shards are owed and %d deletions wait", s.Debt, s.Pending)
	}
	v, err = c.Verify(t.Context(), VerifyOptions{}, nil)
	if err != nil || v.Good != v.Shards {
		t.Errorf("after a repair %d of %d shards are good (%v)", v.Good, v.Shards, err)
	}
}
