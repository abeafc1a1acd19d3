// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/segment"
	"github.com/preezm/preezm/peers"
)

// keptTree puts a folder of some large and many small files on n keepers.
func keptTree(t *testing.T, n int) (*circle, string) {
	t.Helper()
	c := newCircle(t, n)
	dir := filepath.Join(t.TempDir(), "d")
	write(t, filepath.Join(dir, "large"), data(1, 30<<20))
	for i := range 100 {
		write(t, filepath.Join(dir, fmt.Sprintf("small/%d", i)), data(byte(i), 5000+i))
	}
	c.put(dir)
	return c, dir
}

// Every way in which two of five keepers can fail, and a get still gives the
// right bytes and names a liar.
func TestGetWithTwoBadKeepers(t *testing.T) {
	faults := map[string]struct {
		set  func(k *testKeeper)
		lied bool
	}{
		"down":   {func(k *testKeeper) { k.down.Store(true) }, false},
		"flip":   {func(k *testKeeper) { k.flip.Store(true) }, true},
		"swap":   {func(k *testKeeper) { k.swap.Store(true) }, true},
		"short":  {func(k *testKeeper) { k.short.Store(true) }, true},
		"forget": {func(k *testKeeper) { k.forget.Store(true) }, false},
		"stall":  {func(k *testKeeper) { k.stall.Store(true) }, false},
		"slow":   {func(k *testKeeper) { k.rate.Store(10_000) }, false},
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, dir := keptTree(t, 5)
			f.set(c.keepers[1])
			f.set(c.keepers[3])
			to := t.TempDir()
			started := time.Now()
			r, err := c.Get(t.Context(), GetOptions{Names: []Path{"d"}, To: to}, nil)
			if err != nil {
				t.Fatalf("%v (%+v)", err, r)
			}
			if d := time.Since(started); d > 60*time.Second {
				t.Errorf("took %v", d)
			}
			sameTree(t, dir, filepath.Join(to, "d"))
			blamed := map[string]bool{}
			for _, b := range r.Blamed {
				blamed[b.Name] = b.Lied
			}
			for _, k := range []string{"keeper-1", "keeper-3"} {
				if lied, ok := blamed[k]; !ok || lied != f.lied {
					t.Errorf("%s: blamed %v, lied %v; want lied %v", k, ok, lied, f.lied)
				}
			}
			if len(blamed) != 2 {
				t.Errorf("blamed: %+v", r.Blamed)
			}
		})
	}
}

// Whoever a get waited for in vain is named, however soon others made up for it,
// and nobody that it did not ask.
func TestGetNamesWhomItWaitedFor(t *testing.T) {
	c := newCircle(t, 5)
	name := filepath.Join(t.TempDir(), "f")
	write(t, name, data(1, 100_000)) // in all data shards
	c.put(name)
	get := func(what string, named ...string) *GetReport {
		t.Helper()
		r, err := c.Get(t.Context(), GetOptions{Names: []Path{"f"}, To: t.TempDir()}, nil)
		if err != nil {
			t.Fatalf("%v (%+v)", err, r)
		}
		var got []string
		for _, b := range r.Blamed {
			if got = append(got, b.Name); b.Lied {
				t.Errorf("%s: %+v", what, b)
			}
		}
		if r.Rebuilt == 0 {
			named = nil
		}
		if !slices.Equal(got, named) {
			t.Errorf("%s: %v, %d rebuilt: names %v, want %v", what, r.Elapsed, r.Rebuilt, got, named)
		}
		return r
	}
	var holders []*testKeeper // of data shards
	for _, k := range c.keepers {
		c.reopen() // nothing is known of anybody any more
		k.stall.Store(true)
		if r := get(k.name+" does not answer", k.name); r.Rebuilt > 0 {
			holders = append(holders, k)
		}
		k.stall.Store(false)
	}
	if len(holders) != 3 {
		t.Fatalf("%d of the 3 with data were needed", len(holders))
	}
	c.reopen()
	holders[0].down.Store(true)
	holders[1].stall.Store(true)
	get("one away, one silent", holders[0].name, holders[1].name)
}

// A failure that comes together with the last piece that was needed is told too.
func TestRaceTakesInWhatCame(t *testing.T) {
	c := newCircle(t, 3)
	name := filepath.Join(t.TempDir(), "f")
	write(t, name, data(1, 100_000))
	c.put(name)
	seg, err := c.cat.Segment(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	var b blames
	r := c.newFetcher(&b).newRace(t.Context(), seg, segment.Unit{}, nil)
	r.late = time.Minute
	for i := range 2 {
		r.began[i] = time.Now()
	}
	r.stop[0] = func() {}
	r.results <- shardRead{idx: 0, err: peers.ErrUnreachable}
	r.stop[1] = func() { r.results <- shardRead{idx: 1, err: context.Canceled} }
	r.drain()
	if l := b.all(); len(l) != 1 || l[0].Device != seg.Shards[0].Keeper || len(r.stop) > 0 {
		t.Errorf("blamed %+v, %d still run", l, len(r.stop))
	}
}

// One lies while another is slow and a third is away: too much for 3 of 5,
// and said so by name; nothing wrong is written.
func TestGetWithThreeBadKeepers(t *testing.T) {
	c, _ := keptTree(t, 5)
	c.keepers[0].flip.Store(true)
	c.keepers[2].down.Store(true)
	c.keepers[4].forget.Store(true)
	to := t.TempDir()
	r, err := c.Get(t.Context(), GetOptions{Names: []Path{"d"}, To: to}, nil)
	if !errors.Is(err, ErrNotBack) {
		t.Fatalf("got %v, want ErrNotBack", err)
	}
	text := fmt.Sprint(r.Problems)
	for _, k := range []string{"keeper-0", "keeper-2", "keeper-4"} {
		if !strings.Contains(text, k) {
			t.Errorf("%s is not named", k)
		}
	}
	for name, e := range treeOf(t, to) {
		if e.mode.IsRegular() {
			t.Errorf("%q was written", name)
		}
	}
}

// A line that is cut and comes back costs a get some time and no file.
func TestGetOverACut(t *testing.T) {
	t.Parallel()
	c, dir := keptTree(t, 5)
	var once sync.Once
	cut := func(context.Context) {
		once.Do(func() {
			for _, k := range c.keepers {
				k.down.Store(true)
			}
			time.AfterFunc(time.Second, func() {
				for _, k := range c.keepers {
					k.down.Store(false)
				}
			})
		})
	}
	c.keepers[0].onRead.Store(&cut)
	to := t.TempDir()
	if r, err := c.Get(t.Context(), GetOptions{Names: []Path{"d"}, To: to}, nil); err != nil {
		t.Fatalf("%v (%+v)", err, r)
	}
	sameTree(t, dir, filepath.Join(to, "d"))

	// A file that is read in order goes on as well.
	once = sync.Once{}
	f, err := c.Open(t.Context(), "d/large", When{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := io.ReadAll(f)
	if err != nil || !bytes.Equal(got, data(1, 30<<20)) {
		t.Errorf("read %d bytes over a cut, %v", len(got), err)
	}
}

// Who stays away is waited for once, not with each part of a get.
func TestGetWaitsOnce(t *testing.T) {
	t.Parallel()
	c := newCircle(t, 5)
	const puts = 12 // each of them is a segment
	for i := range puts {
		name := filepath.Join(t.TempDir(), fmt.Sprint(i))
		write(t, name, data(byte(i), 100_000)) // in all of its pieces
		c.put(name)
	}
	for _, k := range c.keepers[:3] {
		k.down.Store(true)
	}
	r, err := c.Get(t.Context(), GetOptions{Names: []Path{""}, To: t.TempDir()}, nil)
	if !errors.Is(err, ErrNotBack) || len(r.Problems) != puts {
		t.Fatalf("%v, %d problems", err, len(r.Problems))
	}
	if r.Elapsed < retryFor/2 || r.Elapsed > 2*retryFor {
		t.Errorf("gave up after %v", r.Elapsed)
	}
}

func TestMixedFaults(t *testing.T) {
	c, dir := keptTree(t, 5)
	c.keepers[0].flip.Store(true)
	c.keepers[2].rate.Store(10_000)
	to := t.TempDir()
	if r, err := c.Get(t.Context(), GetOptions{Names: []Path{"d"}, To: to}, nil); err != nil {
		t.Fatalf("%v (%+v)", err, r)
	}
	sameTree(t, dir, filepath.Join(to, "d"))
}

func TestPutNeedsOneMoreThanK(t *testing.T) {
	c := newCircle(t, 5)
	dir := filepath.Join(t.TempDir(), "d")
	write(t, filepath.Join(dir, "f"), data(1, 20<<20))
	c.keepers[4].down.Store(true)
	r := c.put(dir)
	if r.Debt == 0 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0].Text, "keeper-4") {
		t.Errorf("debt %d, notes %q", r.Debt, r.Notes)
	}
	s, err := c.Status(t.Context(), StatusOptions{})
	if err != nil || s.MayLose != 1 || s.Debt != r.Debt {
		t.Errorf("status %+v, %v", s, err)
	}
	// The debt is paid when the keeper comes back.
	c.keepers[4].down.Store(false)
	c.Seen(c.keepers[4].id)
	if err := c.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err = c.Status(t.Context(), StatusOptions{}); err != nil || s.MayLose != 2 || s.Debt != 0 {
		t.Errorf("after maintenance: %+v, %v", s, err)
	}
	c.keepers[0].down.Store(true)
	c.keepers[1].down.Store(true)
	sameTree(t, dir, filepath.Join(c.get("d"), "d"))
}

func TestPutWithoutRoom(t *testing.T) {
	c := newCircle(t, 5)
	dir := filepath.Join(t.TempDir(), "d")
	write(t, filepath.Join(dir, "a"), data(1, 40<<20))
	full := error(peers.ErrDiskFull)
	c.keepers[0].refuse.Store(&full)
	c.keepers[1].refuse.Store(&full)
	started := time.Now()
	_, err := c.Put(t.Context(), PutOptions{Sources: []string{dir}}, nil)
	if !errors.Is(err, ErrTooFewKeepers) || !strings.Contains(err.Error(), "keeper-0 has a full disk") {
		t.Fatalf("got %v", err)
	}
	if time.Since(started) > 30*time.Second {
		t.Error("waited for room that nobody promised")
	}
	c.keepers[0].refuse.Store(nil)
	c.keepers[1].refuse.Store(nil)
	c.put(dir)
	sameTree(t, dir, filepath.Join(c.get("d"), "d"))
	// What the failed put had sent is forgotten by the keepers.
	want := int64(-1)
	for _, k := range c.keepers {
		u, err := k.depot.Usage(t.Context(), k.owner)
		if err != nil {
			t.Fatal(err)
		}
		if want >= 0 && u.Shards != want {
			t.Errorf("%s keeps %d shards, another %d", k.name, u.Shards, want)
		}
		want = u.Shards
	}
}

func TestSlowKeeperDoesNotHoldAPut(t *testing.T) {
	c := newCircle(t, 5)
	dir := filepath.Join(t.TempDir(), "d")
	write(t, filepath.Join(dir, "a"), data(1, 50<<20))
	c.keepers[2].rate.Store(10_000)
	started := time.Now()
	r := c.put(dir)
	if d := time.Since(started); d > 60*time.Second {
		t.Errorf("took %v", d)
	}
	if r.Debt == 0 {
		t.Error("nothing is owed to a keeper that cannot have taken it")
	}
	c.keepers[2].rate.Store(0)
	sameTree(t, dir, filepath.Join(c.get("d"), "d"))
}

func TestCancelledPutResumes(t *testing.T) {
	c := newCircle(t, 5)
	dir := filepath.Join(t.TempDir(), "d")
	write(t, filepath.Join(dir, "a"), data(1, 100<<20))
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := func() {
		if c.keepers[0].puts.Load() >= 4 {
			cancel(errors.New("that is enough"))
		}
	}
	c.keepers[0].onPut.Store(&enough)
	if _, err := c.Put(ctx, PutOptions{Sources: []string{dir}}, nil); err == nil {
		t.Fatal("a cancelled put succeeded")
	}
	if l, err := c.List(t.Context(), ListOptions{Folder: "d"}); err != nil || len(l) != 0 {
		t.Fatalf("half a file is listed: %v, %v", l, err)
	}
	c.keepers[0].onPut.Store(nil)
	c.reopen()
	before := c.putSize()
	c.put(dir)
	if sent := c.putSize() - before; sent > 150<<20 {
		t.Errorf("the repeated put sent %d bytes: it did not resume", sent)
	}
	sameTree(t, dir, filepath.Join(c.get("d"), "d"))
}

func TestCancelledGetLeavesNothing(t *testing.T) {
	c, dir := keptTree(t, 5)
	// Not when progress says so: that is told now and then, and the get may be
	// over by then. It takes nine reads at least.
	ctx, cancel := context.WithCancel(t.Context())
	reads := atomic.Int32{}
	stop := func(reading context.Context) {
		if reads.Add(1) > 5 {
			cancel()
			<-reading.Done()
		}
	}
	for _, k := range c.keepers {
		k.onRead.Store(&stop)
	}
	to := t.TempDir()
	_, err := c.Get(ctx, GetOptions{Names: []Path{"d"}, To: to}, nil)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	for name := range treeOf(t, to) {
		if strings.HasSuffix(name, ".part") {
			t.Errorf("%q is left", name)
		}
	}
	for _, k := range c.keepers {
		k.onRead.Store(nil)
	}
	if _, err := c.Get(t.Context(), GetOptions{Names: []Path{"d"}, To: to, Resume: true}, nil); err != nil {
		t.Fatal(err)
	}
	sameTree(t, dir, filepath.Join(to, "d"))
}

func TestVerifyBlames(t *testing.T) {
	c, _ := keptTree(t, 5)
	r, err := c.Verify(t.Context(), VerifyOptions{}, nil)
	if err != nil || r.Good != r.Shards || r.Lost != 0 || len(r.Blamed) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	c.keepers[2].flip.Store(true)
	c.keepers[3].forget.Store(true)
	if r, err = c.Verify(t.Context(), VerifyOptions{Names: []Path{"d"}}, nil); err != nil {
		t.Fatal(err)
	}
	if r.Good != r.Shards*3/5 || len(r.Blamed) != 2 || r.Lost != 0 {
		t.Fatalf("%+v", r)
	}
	s, err := c.Status(t.Context(), StatusOptions{})
	if err != nil || s.MayLose != 0 || s.Debt != r.Shards*2/5 {
		t.Fatalf("status %+v, %v", s, err)
	}
	c.keepers[2].flip.Store(false)
	c.keepers[3].forget.Store(false)
	for _, k := range c.keepers {
		c.Seen(k.id)
	}
	if err := c.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err = c.Verify(t.Context(), VerifyOptions{}, nil); err != nil || r.Good != r.Shards {
		t.Fatalf("after repair: %+v, %v", r, err)
	}
}

func TestTornFileIsKeptAndSaid(t *testing.T) {
	c := newCircle(t, 3)
	name := filepath.Join(t.TempDir(), "growing")
	write(t, name, data(1, 20<<20))
	// Somebody writes to it all the time.
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var writer sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	writer.Go(func() {
		defer f.Close()
		for tick := time.Tick(time.Millisecond); ctx.Err() == nil; <-tick {
			f.Write([]byte("more"))
		}
	})
	r := c.put(name)
	cancel()
	writer.Wait()
	if len(r.Problems) != 1 || r.Problems[0].Failed || r.Problems[0].Said.Code != CodeTorn {
		t.Fatalf("problems: %+v", r.Problems)
	}
	l, err := c.List(t.Context(), ListOptions{})
	if err != nil || len(l) != 1 || !l[0].Torn {
		t.Fatalf("%+v, %v", l, err)
	}
	if r := c.put(name); r.Unchanged != 0 || len(r.Problems) != 0 {
		t.Fatalf("a torn file was taken for kept: %+v", r)
	}
	sameTree(t, filepath.Dir(name), c.get("growing"))
}
