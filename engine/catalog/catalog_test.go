// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/preezm/preezm/peers"
)

func open(t testing.TB, path string) *Catalog {
	t.Helper()
	c, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

var devices = func() (d [5]peers.DeviceID) {
	for i := range d {
		d[i][0] = byte(i + 1)
	}
	return d
}()

// fill intends and commits one segment with the given chunks and versions.
func fill(t testing.TB, c *Catalog, seg int64, chunks []int64, versions ...*Version) {
	t.Helper()
	s := &Segment{ID: seg, K: 3, N: 5, ShardLen: 4096, DataLen: 9000, Shards: make([]Shard, 5)}
	for i := range s.Shards {
		s.Shards[i].Keeper = devices[i]
		rand.Read(s.Shards[i].ID[:])
		rand.Read(s.Shards[i].Root[:])
	}
	if err := c.Intend(t.Context(), []*Segment{s}, 1000); err != nil {
		t.Fatal(err)
	}
	b := &Batch{Segments: []*Segment{s}, Versions: versions}
	for i := range s.Shards {
		s.Shards[i].State = There
	}
	for i, id := range chunks {
		k := Chunk{ID: id, Segment: seg, Off: i * 100, Sealed: 100, Plain: 84}
		rand.Read(k.Name[:])
		rand.Read(k.Key[:])
		b.Chunks = append(b.Chunks, k)
	}
	if err := c.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func file(path string, chunks ...int64) *Version {
	v := &Version{Path: path, Kind: File, Size: 84 * int64(len(chunks)), Mode: 0o644, ModTime: 5, Kept: 6}
	for _, c := range chunks {
		v.Parts = append(v.Parts, Part{Chunk: c})
	}
	return v
}

func folder(path string) *Version { return &Version{Path: path, Kind: Folder, Mode: 0o755} }

func TestVersionsComeBackAsTheyWere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "with ? and %41.db")
	c := open(t, path)
	odd := file("d/odd \xff\n name", 1, 2)
	odd.Parts = append(odd.Parts, Part{Hole: 1 << 40}, Part{Chunk: 1})
	odd.Source, odd.Torn = Source{-1, 2, 3}, true
	link := &Version{Path: "d/link", Kind: Symlink, Target: "../\xfe", ModTime: -5}
	fill(t, c, 1, []int64{1, 2}, folder("d"), odd, link)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = open(t, path)
	for _, want := range []*Version{odd, link} {
		got, err := c.Version(t.Context(), want.Path)
		if err != nil {
			t.Fatal(err)
		}
		if got.Number != 1 || got.GID == [16]byte{} {
			t.Errorf("version %d, %x", got.Number, got.GID)
		}
		want.Number, want.GID = got.Number, got.GID
		if !reflect.DeepEqual(&got, want) {
			t.Errorf("got %+v\nwant %+v", got, *want)
		}
	}
	if _, err := c.Version(t.Context(), "d/none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestPagesSeeEverythingBelowAndNothingElse(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	var all []*Version
	for _, p := range []string{"a", "a/b", "a/b/c", "a-x", "a.x", "a0", "a0/y", "b", "b/a"} {
		all = append(all, folder(p))
	}
	fill(t, c, 1, nil, all...)
	for _, tc := range []struct{ folder, want string }{
		{"a", "a/b a/b/c"}, {"a/b", "a/b/c"}, {"a0", "a0/y"}, {"a/b/c", ""}, {"nowhere", ""},
		{"", "a a-x a.x a0 b a/b a/b/c a0/y b/a"},
	} {
		for _, limit := range []int{1, 2, 100} {
			var got []string
			for last := ""; ; {
				page, err := c.Page(t.Context(), tc.folder, last, limit)
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range page {
					got = append(got, v.Path)
					last = v.Path
				}
				if len(page) < limit {
					break
				}
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("below %q by %d: %q, want %q", tc.folder, limit, got, tc.want)
			}
		}
	}
}

func segments(t *testing.T, c *Catalog) (n int64) {
	t.Helper()
	tot, err := c.Totals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tot.Segments
}

func TestCollectTakesOnlyWhatNobodyNeeds(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	ctx := t.Context()
	fill(t, c, 1, []int64{1, 2}, folder("d"), file("d/one", 1), file("d/two", 1, 2))
	fill(t, c, 2, []int64{3}, file("d/three", 3))
	fill(t, c, 3, []int64{4}) // an interrupted put
	collect := func(before int64, want int64) {
		t.Helper()
		if _, err := c.Collect(ctx, before); err != nil {
			t.Fatal(err)
		}
		if got := segments(t, c); got != want {
			t.Fatalf("%d segments are left, want %d", got, want)
		}
	}
	collect(0, 3)
	if _, err := c.Forget(ctx, []string{"d/one"}); err != nil {
		t.Fatal(err)
	}
	collect(0, 3) // chunk 1 is in d/two as well
	// A new version of a file holds the old one's chunks in its history.
	if err := c.Commit(ctx, &Batch{Versions: []*Version{file("d/three", 1)}}); err != nil {
		t.Fatal(err)
	}
	collect(0, 3)
	if p, err := c.Prune(ctx, Retention{Last: 1}, time.UTC, false); err != nil || p.Versions != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	collect(0, 2)
	collect(2000, 1) // the orphan has grown old
	ids, err := c.Deletions(ctx, devices[0], 10)
	if err != nil || len(ids) != 2 {
		t.Fatalf("%d deletions wait, want 2 (%v)", len(ids), err)
	}
	if err := c.Deleted(ctx, devices[0], ids); err != nil {
		t.Fatal(err)
	}
	if ids, err = c.Deletions(ctx, devices[0], 10); err != nil || len(ids) != 0 {
		t.Fatalf("%d deletions wait after they were done (%v)", len(ids), err)
	}
	if _, err := c.Forget(ctx, []string{"d"}); err != nil {
		t.Fatal(err)
	}
	collect(0, 0)
}

func TestOpenAbandonsWhatWasBeingWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	c := open(t, path)
	s := &Segment{ID: 7, K: 1, N: 2, ShardLen: 4096, DataLen: 1, Shards: []Shard{{Keeper: devices[0]}, {Keeper: devices[1]}}}
	s.Shards[1].ID[0] = 9
	if err := c.Intend(t.Context(), []*Segment{s}, 1); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = open(t, path)
	ids, err := c.Deletions(t.Context(), devices[1], 10)
	if err != nil || len(ids) != 1 || ids[0] != s.Shards[1].ID {
		t.Fatalf("got %v, %v", ids, err)
	}
}

func TestCommitRefusesWhatIsNotThere(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	fill(t, c, 1, []int64{1})
	for name, v := range map[string]*Version{
		"a chunk that is not there": file("x", 1, 99),
		"an empty part":             {Path: "x", Kind: File, Parts: []Part{{}}},
	} {
		if err := c.Commit(t.Context(), &Batch{Versions: []*Version{file("good", 1), v}}); err == nil {
			t.Errorf("%s was committed", name)
		}
		if _, err := c.Version(t.Context(), "good"); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: half of the batch was committed", name)
		}
	}
}

func TestSetShardQueuesTheOldOne(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	fill(t, c, 1, []int64{1}, file("x", 1))
	s, err := c.Segment(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	old := s.Shards[2]
	now := Shard{Keeper: devices[4], ID: peers.ShardID{1}, Root: old.Root, State: Lost}
	if err := c.SetShard(t.Context(), 1, 2, old.ID, now); err != nil {
		t.Fatal(err)
	}
	// Whoever still works with the old shard changes nothing, and what it sent
	// is forgotten again.
	late := Shard{Keeper: devices[3], ID: peers.ShardID{2}, Root: old.Root, State: There}
	for _, stale := range []Shard{{Keeper: old.Keeper, ID: old.ID, Root: old.Root, State: Lost}, late} {
		if err := c.SetShard(t.Context(), 1, 2, old.ID, stale); err != nil {
			t.Fatal(err)
		}
	}
	if ids, err := c.Deletions(t.Context(), late.Keeper, 10); err != nil || len(ids) != 1 || ids[0] != late.ID {
		t.Fatalf("got %v, %v", ids, err)
	}
	unhold(t, c)
	ids, err := c.Deletions(t.Context(), old.Keeper, 10)
	if err != nil || len(ids) != 1 || ids[0] != old.ID {
		t.Fatalf("got %v, %v", ids, err)
	}
	if debt, err := c.Indebted(t.Context(), 0, 10); err != nil || len(debt) != 1 {
		t.Fatalf("debt %v, %v", debt, err)
	}
	now.Moved = 1
	if s, err = c.Segment(t.Context(), 1); err != nil || s.Shards[2] != now {
		t.Fatalf("got %+v, %v", s.Shards[2], err)
	}
}

// Who reads a segment while it gets another k and n sees the old or the new
// one, whole.
func TestSegmentIsReadWhole(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	fill(t, c, 1, []int64{1}, file("x", 1))
	five, err := c.Segment(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	three := *five
	three.N, three.Shards = 3, five.Shards[:3]
	done := make(chan error, 1)
	var work sync.WaitGroup
	t.Cleanup(work.Wait)
	work.Go(func() {
		var err error
		for was, now := five, &three; err == nil && t.Context().Err() == nil; was, now = now, was {
			err = c.Replace(t.Context(), was, now)
		}
		done <- err
	})
	for range 3000 {
		if s, err := c.Segment(t.Context(), 1); err != nil || len(s.Shards) != s.N {
			t.Fatalf("%+v, %v", s, err)
		}
		select {
		case err := <-done:
			t.Fatal(err)
		default:
		}
	}
}

// Of a segment only its own rows are read, however many others there are.
func TestSegmentIsFound(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	plan, err := collect(t.Context(), c.r, func(rows *sql.Rows) (step string, err error) {
		var id, parent, unused int
		err = rows.Scan(&id, &parent, &unused, &step)
		return step, err
	}, "EXPLAIN QUERY PLAN "+segmentQuery, 1)
	if err != nil || len(plan) == 0 {
		t.Fatal(plan, err)
	}
	for _, step := range plan {
		if !strings.HasPrefix(step, "SEARCH") {
			t.Errorf("%s", step)
		}
	}
}

func TestNewerCatalogIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	c := open(t, path)
	if _, err := c.w.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := Open(t.Context(), path); !errors.Is(err, ErrNewer) {
		t.Fatalf("got %v, want ErrNewer", err)
	}
}

func TestCancelledWriteChangesNothing(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	ctx, cancel := context.WithCancel(t.Context())
	err := c.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.Exec("INSERT INTO candidates(segment) VALUES(1)"); err != nil {
			return err
		}
		cancel()
		return nil
	})
	if err == nil {
		t.Fatal("a cancelled transaction was committed")
	}
	var n int
	if err := c.w.QueryRow("SELECT count(*) FROM candidates").Scan(&n); err != nil || n != 0 {
		t.Fatalf("%d rows, %v", n, err)
	}
}

func TestParts(t *testing.T) {
	for _, parts := range [][]Part{nil, {{Chunk: 1}}, {{Hole: 1}, {Chunk: 1 << 40}, {Hole: 1 << 50}}} {
		got, err := decodeParts(encodeParts(parts))
		if err != nil || !reflect.DeepEqual(got, parts) {
			t.Errorf("%v became %v, %v", parts, got, err)
		}
	}
}

func FuzzParts(f *testing.F) {
	f.Add([]byte{})
	f.Add(encodeParts([]Part{{Chunk: 5}, {Hole: 70000}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		parts, err := decodeParts(b)
		if err != nil {
			return
		}
		for _, p := range parts {
			if (p.Chunk > 0) == (p.Hole > 0) {
				t.Fatalf("%x gave %+v", b, p)
			}
		}
		if again, err := decodeParts(encodeParts(parts)); err != nil || fmt.Sprint(again) != fmt.Sprint(parts) {
			t.Fatalf("%x: %v, then %v, %v", b, parts, again, err)
		}
	})
}
