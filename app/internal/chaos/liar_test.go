// SPDX-License-Identifier: MPL-2.0

//go:build unix

package chaos

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"sync"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/transport"
)

// liar is a keeper that acknowledges everything, throws most of it away and
// keeps only what makes its lies look good: sizes, and the hashes of leaves.
type liar struct {
	mu     sync.Mutex
	sizes  map[peers.ShardID]int64
	leaves map[peers.ShardID][][32]byte
}

func (l *liar) Put(_ context.Context, _ peers.DeviceID, id peers.ShardID, _ erasure.Root, size int64, r io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(r, size))
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sizes[id], l.leaves[id] = size, erasure.Leaves(nil, b)
	return nil
}

// nothing is a shard of zeros.
type nothing struct{ *bytes.Reader }

func (nothing) Close() error { return nil }

func (l *liar) Get(_ context.Context, _ peers.DeviceID, id peers.ShardID) (peers.Shard, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size, ok := l.sizes[id]
	if !ok {
		return nil, peers.ErrNotFound
	}
	return nothing{bytes.NewReader(make([]byte, size))}, nil
}

func (l *liar) Stat(_ context.Context, _ peers.DeviceID, ids []peers.ShardID) ([]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]int64, len(ids))
	for i, id := range ids {
		out[i] = -1
		if size, ok := l.sizes[id]; ok {
			out[i] = size
		}
	}
	return out, nil
}

func (l *liar) Delete(_ context.Context, _ peers.DeviceID, ids []peers.ShardID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		delete(l.sizes, id)
		delete(l.leaves, id)
	}
	return nil
}

func (l *liar) Usage(context.Context, peers.DeviceID) (peers.Usage, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := peers.Usage{Quota: 1 << 40, Free: 1 << 40, Shards: int64(len(l.sizes))}
	for _, n := range l.sizes {
		u.Used += n
	}
	return u, nil
}

// Audit answers with the right leaves and made-up spots of the right form.
func (l *liar) Audit(_ context.Context, _ peers.DeviceID, nonce peers.Nonce, ids []peers.ShardID, spots int) ([]peers.Proof, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]peers.Proof, len(ids))
	for i, id := range ids {
		size, ok := l.sizes[id]
		if !ok {
			out[i].Finding = peers.Lacking
			continue
		}
		out[i].Leaves = l.leaves[id]
		for j := range spots {
			_, leafLen, spot, n := erasure.SpotPlace(size, peers.SpotAt(nonce, id, j, size))
			out[i].Spots = append(out[i].Spots, peers.SpotProof{Data: make([]byte, n), Siblings: make([][32]byte, erasure.Siblings(leafLen, spot))})
		}
	}
	return out, nil
}

// newLiar lets a lying keeper into the owner's circle. It lives in this
// process until the test ends.
func (r *rig) newLiar(name string) *liar {
	r.Helper()
	l := &liar{sizes: map[peers.ShardID]int64{}, leaves: map[peers.ShardID][][32]byte{}}
	dir := r.TempDir()
	id, err := transport.CreateIdentity(filepath.Join(dir, "crt"), filepath.Join(dir, "key"))
	r.check(err)
	book, err := circle.Open(filepath.Join(dir, "circle.json"))
	r.check(err)
	s, err := rpc.New(rpc.Config{
		Identity: id, Book: book, Depot: l, Name: func() string { return name }, Version: "liar", Listen: []string{"127.0.0.1:0"},
	})
	r.check(err)
	r.check(s.Listen(r.ctx))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	r.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.Error(err)
		}
		if err := s.Close(); err != nil {
			r.Error(err)
		}
	})
	r.check(r.Owner.Start(r.ctx))
	var inv node.Invite
	r.must(&inv, "invite")
	code, err := circle.ParseInvite(inv.Code)
	r.check(err)
	_, err = s.Join(r.ctx, code)
	r.check(err)
	r.check(r.Owner.Stop(r.ctx))
	return l
}
