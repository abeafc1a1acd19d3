// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretask"
	"github.com/preezm/preezm/peers/depot"
)

// gated is a keeper that answers where pieces are when enter lets it.
type gated struct {
	*testKeeper
	enter func(context.Context) error
}

func (k *gated) StatShards(ctx context.Context, ids []peers.ShardID) ([]int64, error) {
	if err := k.enter(ctx); err != nil {
		return nil, err
	}
	return k.testKeeper.StatShards(ctx, ids)
}

// newcomer joins the circle with no piece, and answers as enter says.
func (c *circle) newcomer(enter func(context.Context) error) *testKeeper {
	c.t.Helper()
	d, err := depot.Open(c.t.Context(), filepath.Join(c.t.TempDir(), "depot"), depot.Options{Offer: 20 << 30})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { d.Close() })
	k := &testKeeper{name: "newcomer", owner: c.keepers[0].owner, depot: d}
	rand.Read(k.id[:])
	before := c.Engine.keepers
	c.Engine.keepers = func() []peers.Keeper { return append([]peers.Keeper{&gated{k, enter}}, before()...) }
	return k
}

// cared does what a caretaker does: of each segment it makes the piece of one
// keeper anew at another.
func (c *circle) cared(of, at *testKeeper) {
	c.t.Helper()
	ctx := c.t.Context()
	var ids []int64
	if err := c.cat.Spreads(ctx, func(s *catalog.Spread) error {
		ids = append(ids, s.Segment)
		return nil
	}); err != nil {
		c.t.Fatal(err)
	}
	for _, id := range ids {
		seg, err := c.cat.Segment(ctx, id)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, sh := range seg.Shards {
			if sh.Keeper != of.id {
				continue
			}
			b := make([]byte, seg.ShardLen)
			if err := of.ReadShard(ctx, sh.ID, 0, b); err != nil {
				c.t.Fatal(err)
			}
			if err := at.depot.Put(ctx, at.owner, caretask.Moved(sh.ID, at.id), sh.Root, int64(len(b)), bytes.NewReader(b)); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// A keeper that does not answer does not keep anybody from what the others say
// that a caretaker made.
func TestCaretakersPiecesBesideASlowKeeper(t *testing.T) {
	c, dir := keptTree(t, 5)
	c.cared(c.keepers[0], c.keepers[3])
	c.newcomer(func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	for _, k := range c.keepers[:3] {
		k.down.Store(true)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	to := t.TempDir()
	if r, err := c.Get(ctx, GetOptions{Names: []Path{"d"}, To: to}, nil); err != nil {
		t.Fatalf("%v (%+v)", err, r)
	}
	sameTree(t, dir, filepath.Join(to, "d"))
}

// While one segment's pieces are looked for, those of others are too.
func TestCaretakersPiecesOfTwoSegmentsAtOnce(t *testing.T) {
	c := newCircle(t, 5)
	dir := t.TempDir()
	names := []string{"a", "b"}
	for i, name := range names {
		write(t, filepath.Join(dir, name), data(byte(i), 10<<20))
		c.put(filepath.Join(dir, name)) // a segment of its own
	}
	var mu sync.Mutex
	in, both := 0, make(chan struct{})
	k := c.newcomer(func(ctx context.Context) error {
		mu.Lock()
		if in++; in == 2 {
			close(both)
		}
		mu.Unlock()
		select {
		case <-both:
			return nil
		case <-ctx.Done():
			mu.Lock()
			in--
			mu.Unlock()
			return ctx.Err()
		}
	})
	c.cared(c.keepers[0], k)
	for _, k := range c.keepers[:3] {
		k.down.Store(true)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for i, name := range names {
		to := t.TempDir()
		all.Go(func() {
			// On a busy machine the two may miss each other at first.
			r, err := c.Get(ctx, GetOptions{Names: []Path{Path(name)}, To: to}, nil)
			for errors.Is(err, ErrNotBack) && ctx.Err() == nil {
				r, err = c.Get(ctx, GetOptions{Names: []Path{Path(name)}, To: to}, nil)
			}
			if err != nil {
				t.Errorf("%s: %v (%+v)", name, err, r)
				return
			}
			if b, err := os.ReadFile(filepath.Join(to, name)); err != nil || !bytes.Equal(b, data(byte(i), 10<<20)) {
				t.Errorf("%s came back otherwise, %v", name, err)
			}
		})
	}
	all.Wait()
}

func TestTurns(t *testing.T) {
	var turns turns
	var mu sync.Mutex
	var all sync.WaitGroup
	busy := map[int64]bool{}
	for i := range 64 {
		id := int64(i % 3)
		all.Go(func() {
			done, err := turns.take(t.Context(), id)
			if err != nil {
				t.Error(err)
				return
			}
			defer done()
			mu.Lock()
			if busy[id] {
				t.Errorf("two have the turn of %d", id)
			}
			busy[id] = true
			mu.Unlock()
			mu.Lock()
			busy[id] = false
			mu.Unlock()
		})
	}
	all.Wait()
	done, err := turns.take(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := turns.take(ctx, 1); err == nil {
		t.Error("the turn was given twice")
	}
	done()
	if len(turns.of) > 0 {
		t.Errorf("%d turns are left", len(turns.of))
	}
}
