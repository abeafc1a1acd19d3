// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/depot"
)

// testKeeper is a keeper over a real depot, without a network, whose faults a
// test chooses. The end-to-end tests have the network.
type testKeeper struct {
	name  string
	id    peers.DeviceID
	owner peers.DeviceID
	depot *depot.Depot

	down    atomic.Bool  // cannot be reached
	flip    atomic.Bool  // reads come back with one bit changed
	swap    atomic.Bool  // reads give another shard's bytes
	short   atomic.Bool  // reads give fewer bytes than asked for
	forget  atomic.Bool  // says that it lacks every shard
	stall   atomic.Bool  // never answers
	rate    atomic.Int64 // bytes a second of reads and writes; 0: no limit
	refuse  atomic.Pointer[error]
	puts    atomic.Int64
	putSize atomic.Int64
	reads   atomic.Int64
	onPut   atomic.Pointer[func()]
	onRead  atomic.Pointer[func(context.Context)]
	// onChange is called after a shard was taken, and after some were forgotten.
	onChange atomic.Pointer[func()]

	mu  sync.Mutex
	ids []peers.ShardID
}

func (k *testKeeper) Device() peers.DeviceID { return k.id }
func (k *testKeeper) Name() string           { return k.name }

func (k *testKeeper) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", k.name, err)
}

func (k *testKeeper) gate(ctx context.Context, n int) error {
	if k.down.Load() {
		return k.wrap(peers.ErrUnreachable)
	}
	if k.stall.Load() {
		<-ctx.Done()
		return k.wrap(ctx.Err())
	}
	if r := k.rate.Load(); r > 0 {
		select {
		case <-time.After(time.Duration(float64(n) / float64(r) * float64(time.Second))):
		case <-ctx.Done():
			return k.wrap(ctx.Err())
		}
	}
	return k.wrap(ctx.Err())
}

func (k *testKeeper) PutShard(ctx context.Context, id peers.ShardID, root peers.Root, data []byte) error {
	if f := k.onPut.Load(); f != nil {
		(*f)()
	}
	if err := k.gate(ctx, len(data)); err != nil {
		return err
	}
	if e := k.refuse.Load(); e != nil {
		return k.wrap(*e)
	}
	err := k.depot.Put(ctx, k.owner, id, root, int64(len(data)), bytes.NewReader(data))
	if err == nil {
		k.puts.Add(1)
		k.putSize.Add(int64(len(data)))
		k.mu.Lock()
		k.ids = append(k.ids, id)
		k.mu.Unlock()
		k.changed()
	}
	return k.wrap(err)
}

func (k *testKeeper) changed() {
	if f := k.onChange.Load(); f != nil {
		(*f)()
	}
}

func (k *testKeeper) ReadShard(ctx context.Context, id peers.ShardID, off int64, dst []byte) error {
	if err := k.gate(ctx, len(dst)); err != nil {
		return err
	}
	k.reads.Add(1)
	if f := k.onRead.Load(); f != nil {
		(*f)(ctx)
	}
	if k.forget.Load() {
		return k.wrap(peers.ErrNotFound)
	}
	if k.swap.Load() {
		k.mu.Lock()
		for _, other := range k.ids {
			if other != id {
				id = other
				break
			}
		}
		k.mu.Unlock()
	}
	s, err := k.depot.Get(ctx, k.owner, id)
	if err != nil {
		return k.wrap(err)
	}
	defer s.Close()
	n, err := s.ReadAt(dst, off)
	if n < len(dst) {
		return k.wrap(fmt.Errorf("%w: %w", peers.ErrDamaged, io.ErrUnexpectedEOF))
	}
	if k.short.Load() {
		return k.wrap(peers.ErrDamaged)
	}
	if k.flip.Load() {
		dst[len(dst)/2] ^= 4
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return k.wrap(err)
}

func (k *testKeeper) StatShards(ctx context.Context, ids []peers.ShardID) ([]int64, error) {
	if err := k.gate(ctx, 0); err != nil {
		return nil, err
	}
	return k.depot.Stat(ctx, k.owner, ids)
}

func (k *testKeeper) DeleteShards(ctx context.Context, ids []peers.ShardID) error {
	if err := k.gate(ctx, 0); err != nil {
		return err
	}
	err := k.depot.Delete(ctx, k.owner, ids)
	k.changed()
	return k.wrap(err)
}

func (k *testKeeper) Info(ctx context.Context) (peers.Info, error) {
	if err := k.gate(ctx, 0); err != nil {
		return peers.Info{}, err
	}
	u, err := k.depot.Usage(ctx, k.owner)
	return peers.Info{Name: k.name, Quota: u.Quota, Used: u.Used, Free: u.Free, Shards: u.Shards}, k.wrap(err)
}

func (k *testKeeper) AuditShards(ctx context.Context, nonce peers.Nonce, ids []peers.ShardID, _ []int64, spots int) ([]peers.Proof, error) {
	if err := k.gate(ctx, 0); err != nil {
		return nil, err
	}
	if k.forget.Load() {
		out := make([]peers.Proof, len(ids))
		for i := range out {
			out[i].Finding = peers.Lacking
		}
		return out, nil
	}
	out, err := k.depot.Audit(ctx, k.owner, nonce, ids, spots)
	if k.flip.Load() {
		for i := range out {
			out[i].Spots[0].Data[0] ^= 1
		}
	}
	return out, k.wrap(err)
}

// circle is an owner's engine and its keepers.
type circle struct {
	*Engine
	t       *testing.T
	dir     string
	secrets identity.Secrets
	keepers []*testKeeper
}

func newCircle(t *testing.T, n int) *circle {
	t.Helper()
	c := &circle{t: t, dir: t.TempDir()}
	var owner peers.DeviceID
	rand.Read(owner[:])
	for i := range n {
		d, err := depot.Open(t.Context(), filepath.Join(t.TempDir(), "depot"), depot.Options{Offer: 20 << 30})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		k := &testKeeper{name: fmt.Sprintf("keeper-%d", i), owner: owner, depot: d}
		rand.Read(k.id[:])
		c.keepers = append(c.keepers, k)
	}
	o := identity.NewOwner()
	c.secrets = o.Secrets()
	c.open()
	t.Cleanup(func() { c.Engine.Close() })
	return c
}

func (c *circle) open() {
	c.t.Helper()
	e, err := Open(c.t.Context(), Config{Dir: c.dir, Secrets: c.secrets, Keepers: func() []peers.Keeper {
		out := make([]peers.Keeper, len(c.keepers))
		for i, k := range c.keepers {
			out[i] = k
		}
		return out
	}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.Engine = e
}

// reopen closes the engine and opens the same home again.
func (c *circle) reopen() {
	c.t.Helper()
	if err := c.Engine.Close(); err != nil {
		c.t.Fatal(err)
	}
	c.open()
}

func (c *circle) put(sources ...string) *PutReport {
	c.t.Helper()
	r, err := c.Put(c.t.Context(), PutOptions{Sources: sources}, nil)
	if err != nil {
		c.t.Fatalf("put: %v (%+v)", err, r)
	}
	return r
}

// get brings everything back into a new folder and returns it.
func (c *circle) get(names ...Path) string {
	c.t.Helper()
	to := c.t.TempDir()
	if len(names) == 0 {
		names = []Path{""}
	}
	if r, err := c.Get(c.t.Context(), GetOptions{Names: names, To: to}, nil); err != nil {
		c.t.Fatalf("get: %v (%+v)", err, r)
	}
	return to
}

func (c *circle) putSize() (n int64) {
	for _, k := range c.keepers {
		n += k.putSize.Load()
	}
	return n
}

// data is n reproducible bytes that do not compress.
func data(seed byte, n int) []byte {
	b := make([]byte, n)
	x := uint64(seed)*0x9e3779b97f4a7c15 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x >> 32)
	}
	return b
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// sameTree compares two folders: names, content, kinds, modes, times.
func sameTree(t *testing.T, want, got string) {
	t.Helper()
	a, b := treeOf(t, want), treeOf(t, got)
	for name, x := range a {
		if y, ok := b[name]; !ok {
			t.Errorf("%q is missing", name)
		} else if x != y {
			t.Errorf("%q: got %+v, want %+v", name, y, x)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			t.Errorf("%q is one too many", name)
		}
	}
}

type treeEntry struct {
	mode    fs.FileMode
	time    int64
	content string
}

func treeOf(t *testing.T, dir string) map[string]treeEntry {
	t.Helper()
	out := map[string]treeEntry{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		fi, err := d.Info()
		if err != nil {
			return err
		}
		e := treeEntry{mode: fi.Mode(), time: fi.ModTime().UnixNano()}
		switch {
		case d.Type().IsRegular():
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			e.content = string(b)
			if len(b) > 64 {
				e.content = fmt.Sprintf("%d bytes, %x", len(b), sum(b))
			}
		case d.Type()&fs.ModeSymlink != 0:
			if e.content, err = os.Readlink(p); err != nil {
				return err
			}
		}
		out[rel] = e
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
