// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"io"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
)

// Depot is what a Service keeps for others. The owner of a call is the device
// at the other end of the connection. Methods are called concurrently and
// return the errors of package peers.
type Depot interface {
	// Put stores size bytes from r and returns when they are durable. It may
	// leave r unread when it has the shard or refuses it.
	Put(ctx context.Context, owner peers.DeviceID, id peers.ShardID, root erasure.Root, size int64, r io.Reader) error
	// Get opens a shard of this owner; the caller closes it.
	Get(ctx context.Context, owner peers.DeviceID, id peers.ShardID) (peers.Shard, error)
	// Stat gives each shard's size, or -1.
	Stat(ctx context.Context, owner peers.DeviceID, ids []peers.ShardID) ([]int64, error)
	// Delete forgets shards; ones that are not there are no error.
	Delete(ctx context.Context, owner peers.DeviceID, ids []peers.ShardID) error
	// Usage is this owner's part.
	Usage(ctx context.Context, owner peers.DeviceID) (peers.Usage, error)
}

// Store is Depot for an implementation with types of its own for a shard and
// for the usage, as package depot has; Keep makes it a Depot.
type Store[S peers.Shard, U ~struct{ Quota, Used, Free, Shards int64 }] interface {
	Put(ctx context.Context, owner peers.DeviceID, id peers.ShardID, root erasure.Root, size int64, r io.Reader) error
	Get(ctx context.Context, owner peers.DeviceID, id peers.ShardID) (S, error)
	Stat(ctx context.Context, owner peers.DeviceID, ids []peers.ShardID) ([]int64, error)
	Delete(ctx context.Context, owner peers.DeviceID, ids []peers.ShardID) error
	Usage(ctx context.Context, owner peers.DeviceID) (U, error)
}

// Keep makes a Depot of a Store, so that neither package imports the other.
func Keep[S peers.Shard, U ~struct{ Quota, Used, Free, Shards int64 }](s Store[S, U]) Depot {
	return kept[S, U]{s}
}

type kept[S peers.Shard, U ~struct{ Quota, Used, Free, Shards int64 }] struct{ Store[S, U] }

func (k kept[S, U]) Get(ctx context.Context, owner peers.DeviceID, id peers.ShardID) (peers.Shard, error) {
	s, err := k.Store.Get(ctx, owner, id)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (k kept[S, U]) Usage(ctx context.Context, owner peers.DeviceID) (peers.Usage, error) {
	u, err := k.Store.Usage(ctx, owner)
	return peers.Usage(u), err
}
