// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/shardlist"
)

// copyTo makes a catalog from a dump of c, as one is brought back from a backup.
func copyTo(t *testing.T, c *Catalog, path string) *Catalog {
	t.Helper()
	b, err := NewBuilder(t.Context(), path, nil, Schema())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Dump(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	out, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return out
}

// clear empties the tables that a schema step fills.
func (b *Builder) clear(ctx context.Context) error {
	b.Ignore = true
	_, err := b.tx.ExecContext(ctx, "DELETE FROM care")
	return err
}

// life is a catalog that does what owners do, and what it needs of a keeper.
type life struct {
	*testing.T
	c    *Catalog
	r    *rand.Rand
	next int64
}

// step does one thing at random.
func (l *life) step() {
	ctx := l.Context()
	check := func(err error) {
		if err != nil {
			l.Helper()
			l.Fatal(err)
		}
	}
	segs, err := collect(ctx, l.c.r, scanInt, "SELECT id FROM segments WHERE state = 1")
	check(err)
	switch l.r.IntN(8) {
	case 0, 1, 2: // a put
		seg, chunk, err := l.c.NextIDs(ctx)
		check(err)
		s := &Segment{ID: seg, K: 1, N: 2, ShardLen: 4096, DataLen: 100, Shards: make([]Shard, 2)}
		for i := range s.Shards {
			s.Shards[i].Keeper = devices[i]
		}
		check(l.c.Intend(ctx, []*Segment{s}, 1))
		if l.r.IntN(4) == 0 {
			return // under way
		}
		for i := range s.Shards {
			s.Shards[i].State = There
		}
		k := Chunk{ID: chunk, Segment: seg, Sealed: 100, Plain: 84}
		for i := range k.Name {
			k.Name[i] = byte(l.r.Uint32())
		}
		l.next++
		v := file("f"+string(rune('a'+l.r.IntN(9))), chunk)
		v.Kept = l.next
		check(l.c.Commit(ctx, &Batch{Segments: []*Segment{s}, Chunks: []Chunk{k}, Versions: []*Version{v}}))
	case 3: // a repair
		if len(segs) == 0 {
			return
		}
		s, err := l.c.Segment(ctx, segs[l.r.IntN(len(segs))])
		check(err)
		now := s.Shards[0]
		now.ID, err = l.c.BeginMove(ctx, now.Keeper)
		check(err)
		if l.r.IntN(3) > 0 {
			now.State = There
			check(l.c.SetShard(ctx, s.ID, 0, s.Shards[0].ID, now))
		}
	case 4:
		_, err := l.c.Prune(ctx, Retention{}, nil, false)
		check(err)
		_, err = l.c.Collect(ctx, 0)
		check(err)
	case 5:
		ids, err := l.c.Deletions(ctx, devices[0], 100)
		check(err)
		check(l.c.Deleted(ctx, devices[0], ids))
	case 6:
		check(l.c.EndMoves(ctx))
		check(l.c.Abandon(ctx))
	}
}

// needed gives the shards a catalog has with the first keeper, under way or
// not.
func (l *life) needed() []peers.ShardID {
	l.Helper()
	var out []peers.ShardID
	for _, q := range []string{"SELECT shard FROM shards WHERE keeper = (SELECT id FROM keepers WHERE device = ?)", "SELECT shard FROM moves WHERE keeper = (SELECT id FROM keepers WHERE device = ?)"} {
		raw, err := collect(l.Context(), l.c.r, scanBlob, q, devices[0][:])
		if err != nil {
			l.Fatal(err)
		}
		for _, b := range raw {
			out = append(out, peers.ShardID(b))
		}
	}
	return out
}

func (l *life) list() *shardlist.List {
	l.Helper()
	b, err := l.c.KnownShards(l.Context(), devices[0])
	if err != nil {
		l.Fatal(err)
	}
	return b.List(peers.DeviceID{}, devices[0], 1)
}

// A catalog that was brought back from an older copy never says that something
// is unneeded which the catalog it was copied from has stored since, or had
// under way; nor the other way round, whatever both go on to do.
func TestAnOlderCopyCondemnsNothingOfANewerCatalog(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 1))
		path := filepath.Join(t.TempDir(), "c.db")
		// Whenever the program starts, its clock may be years off.
		anew := func() *Catalog {
			c, off := open(t, path), time.Duration(r.IntN(20_000)-10_000)*time.Hour
			c.SetClock(func() time.Time { return time.Now().Add(off) })
			return c
		}
		old := &life{T: t, c: anew(), r: r}
		for range 20 + r.IntN(20) {
			old.step()
			if r.IntN(10) == 0 {
				if err := old.c.Close(); err != nil {
					t.Fatal(err)
				}
				old.c = anew()
			}
		}
		others := &life{T: t, c: copyTo(t, old.c, filepath.Join(t.TempDir(), "copy.db")), r: r, next: old.next}
		at := map[peers.ShardID]bool{}
		for _, id := range old.needed() {
			at[id] = true
		}
		unneeded := 0
		for range 40 {
			old.step()
			others.step()
			for _, pair := range [][2]*life{{old, others}, {others, old}} {
				list := pair[0].list()
				for _, id := range pair[1].needed() {
					// What both had the one may have let go of: that is no secret.
					if list.Says(id) == shardlist.Unneeded && !at[id] {
						t.Fatalf("seed %d: what one catalog has stored since, the other condemns", seed)
					}
				}
				for _, id := range pair[0].needed() {
					if list.Says(id) == shardlist.Unneeded {
						t.Fatalf("seed %d: a catalog condemns what it needs itself", seed)
					}
				}
				unneeded += len(list.Epochs)
			}
		}
		if unneeded == 0 {
			t.Errorf("seed %d: no list says anything", seed)
		}
	}
}

// What was under way when a copy was made is nothing the copy may speak of.
func TestACopyForgetsWhatWasUnderWay(t *testing.T) {
	dir := t.TempDir()
	c := open(t, filepath.Join(dir, "c.db"))
	ctx := t.Context()
	s := &Segment{ID: 1, K: 1, N: 2, ShardLen: 4096, DataLen: 1, Shards: []Shard{{Keeper: devices[0]}, {Keeper: devices[1]}}}
	if err := c.Intend(ctx, []*Segment{s}, 1); err != nil {
		t.Fatal(err)
	}
	moved, err := c.BeginMove(ctx, devices[0])
	if err != nil {
		t.Fatal(err)
	}
	was := copyTo(t, c, filepath.Join(dir, "copy.db"))
	if ids, err := was.Deletions(ctx, devices[0], 10); err != nil || len(ids) != 0 {
		t.Errorf("the copy has %d shards deleted that may be needed (%v)", len(ids), err)
	}
	b, err := was.KnownShards(ctx, devices[0])
	if err != nil {
		t.Fatal(err)
	}
	l := b.List(peers.DeviceID{}, devices[0], 1)
	for _, id := range []peers.ShardID{s.Shards[0].ID, moved} {
		if l.Says(id) != shardlist.Unknown {
			t.Error("the copy speaks of what was under way")
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "copy.db")); err != nil {
		t.Fatal(err)
	}
}
