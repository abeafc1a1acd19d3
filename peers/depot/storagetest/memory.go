// SPDX-License-Identifier: MPL-2.0

package storagetest

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/depot"
)

// Memory is a depot.Storage without a disk: for tests, and as the second
// implementation that keeps the rules honest. "Durable" is as long as the
// process. The zero value is empty and ready.
type Memory struct {
	mu     sync.Mutex
	shards map[peers.ShardID]*object
	aside  []*object
	stamp  int64
}

type object struct {
	*bytes.Reader
	h     depot.Header
	stamp int64
}

func (o *object) Header() *depot.Header { h := o.h; return &h }
func (o *object) Stamp() int64          { return o.stamp }
func (o *object) Size() int64           { return o.h.Size }
func (o *object) Close() error          { return nil }
func (o *object) entry() depot.Entry {
	return depot.Entry{ID: o.h.ID, Size: o.h.Size, Stamp: o.stamp}
}

// Create begins a shard.
func (m *Memory) Create(_ context.Context, _ peers.ShardID, size int64) (depot.Writer, error) {
	if size < 1 || size > peers.MaxShard {
		return nil, fmt.Errorf("shard of %d bytes: %w", size, fs.ErrInvalid)
	}
	return &memoryWriter{m: m, size: size}, nil
}

// Open gives a shard.
func (m *Memory) Open(_ context.Context, id peers.ShardID) (depot.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.shards[id]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return o, nil
}

// Stat gives a shard's entry.
func (m *Memory) Stat(_ context.Context, id peers.ShardID) (depot.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.shards[id]
	if !ok {
		return depot.Entry{}, fs.ErrNotExist
	}
	return o.entry(), nil
}

// Remove forgets shards.
func (m *Memory) Remove(ctx context.Context, ids ...peers.ShardID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		delete(m.shards, id)
	}
	return nil
}

// SetAside hides a shard.
func (m *Memory) SetAside(_ context.Context, id peers.ShardID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.shards[id]
	if !ok {
		return fs.ErrNotExist
	}
	delete(m.shards, id)
	m.aside = append(m.aside, o)
	return nil
}

// Walk lists the shards in order.
func (m *Memory) Walk(ctx context.Context, fn func(depot.Entry) error) error {
	m.mu.Lock()
	var all []depot.Entry
	for _, o := range m.shards {
		all = append(all, o.entry())
	}
	m.mu.Unlock()
	slices.SortFunc(all, func(a, b depot.Entry) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for _, e := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// Space is always a gibibyte.
func (m *Memory) Space(context.Context) (depot.Space, error) {
	return depot.Space{Free: 1 << 30, Total: 1 << 30}, nil
}

// Close does nothing: the next user finds the shards again.
func (m *Memory) Close() error { return nil }

type memoryWriter struct {
	m     *Memory
	size  int64
	body  []byte
	ended bool
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	if w.ended {
		return 0, fs.ErrClosed
	}
	if int64(len(w.body)+len(p)) > w.size {
		return 0, fmt.Errorf("more than %d bytes: %w", w.size, peers.ErrDamaged)
	}
	w.body = append(w.body, p...)
	return len(p), nil
}

func (w *memoryWriter) Commit(h *depot.Header) (depot.Entry, error) {
	if w.ended {
		return depot.Entry{}, fs.ErrClosed
	}
	w.ended = true
	if int64(len(w.body)) != w.size || h.Size != w.size {
		return depot.Entry{}, fmt.Errorf("%d of %d bytes: %w", len(w.body), w.size, peers.ErrDamaged)
	}
	var block [depot.HeaderSize]byte // the same header rules as on a disk
	if err := h.Encode(&block); err != nil {
		return depot.Entry{}, err
	}
	kept, err := depot.DecodeHeader(&block)
	if err != nil {
		return depot.Entry{}, err
	}
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	if w.m.shards == nil {
		w.m.shards = map[peers.ShardID]*object{}
	}
	if _, ok := w.m.shards[h.ID]; ok {
		return depot.Entry{}, fs.ErrExist
	}
	w.m.stamp++
	o := &object{Reader: bytes.NewReader(w.body), h: *kept, stamp: w.m.stamp}
	w.m.shards[h.ID] = o
	return o.entry(), nil
}

func (w *memoryWriter) Abort() error {
	w.ended = true
	return nil
}
