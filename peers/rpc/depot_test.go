// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
)

// memory is a Depot in memory.
type memory struct {
	mu     sync.Mutex
	shards map[key]stored
	fail   error // what every call says
	puts   int
	drop   bool          // benchmarks: take the body, keep nothing
	hold   chan struct{} // when set, every call waits for it or its ctx
}

type key struct {
	owner peers.DeviceID
	id    peers.ShardID
}

type stored struct {
	root erasure.Root
	data []byte
}

type open struct{ *bytes.Reader }

func (open) Close() error { return nil }

func newMemory() *memory { return &memory{shards: make(map[key]stored)} }

func (m *memory) failure(ctx context.Context) error {
	if m.hold != nil {
		select {
		case <-m.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fail
}

func (m *memory) setFailure(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *memory) Put(ctx context.Context, owner peers.DeviceID, id peers.ShardID, root erasure.Root, size int64, r io.Reader) error {
	if err := m.failure(ctx); err != nil {
		return err
	}
	k := key{owner, id}
	m.mu.Lock()
	m.puts++
	old, ok := m.shards[k]
	m.mu.Unlock()
	if ok {
		if old.root != root {
			return peers.ErrRefused
		}
		return nil
	}
	if m.drop {
		buf := make([]byte, pieceSize)
		for {
			if _, err := r.Read(buf); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shards[k] = stored{root, data}
	return nil
}

func (m *memory) Get(ctx context.Context, owner peers.DeviceID, id peers.ShardID) (peers.Shard, error) {
	if err := m.failure(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.shards[key{owner, id}]
	if !ok {
		return nil, peers.ErrNotFound
	}
	return open{bytes.NewReader(s.data)}, nil
}

func (m *memory) Stat(ctx context.Context, owner peers.DeviceID, ids []peers.ShardID) ([]int64, error) {
	if err := m.failure(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]int64, len(ids))
	for i, id := range ids {
		out[i] = -1
		if s, ok := m.shards[key{owner, id}]; ok {
			out[i] = int64(len(s.data))
		}
	}
	return out, nil
}

func (m *memory) Delete(ctx context.Context, owner peers.DeviceID, ids []peers.ShardID) error {
	if err := m.failure(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		delete(m.shards, key{owner, id})
	}
	return nil
}

func (m *memory) Usage(ctx context.Context, owner peers.DeviceID) (peers.Usage, error) {
	if err := m.failure(ctx); err != nil {
		return peers.Usage{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	u := peers.Usage{Quota: 1 << 30, Free: 1 << 30}
	for k, s := range m.shards {
		if k.owner == owner {
			u.Shards++
			u.Used += int64(len(s.data))
			u.Free -= int64(len(s.data))
		}
	}
	return u, nil
}
