// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// halves puts files of which half are forgotten again, so that every segment
// is half empty, and gives the folder with those that stay.
func halves(t *testing.T, c *circle, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "d")
	var gone []Path
	for i := range n {
		name := fmt.Sprintf("%03d", i)
		write(t, filepath.Join(dir, name), data(byte(i), 200<<10+i))
		if i%3 > 0 {
			gone = append(gone, Path("d/"+name))
		}
	}
	c.put(dir)
	if _, err := c.Forget(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	for _, p := range gone {
		if err := os.Remove(filepath.Join(filepath.Dir(dir), string(p))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (c *circle) stored() (n int64) {
	c.t.Helper()
	for _, k := range c.keepers {
		u, err := k.depot.Usage(c.t.Context(), k.owner)
		if err != nil {
			c.t.Fatal(err)
		}
		n += u.Used
	}
	return n
}

func (c *circle) same(dir string) {
	c.t.Helper()
	to := c.get("d")
	entries, err := os.ReadDir(dir)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, e := range entries {
		want, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			c.t.Fatal(err)
		}
		wantFile(c.t, filepath.Join(to, "d", e.Name()), want)
	}
}

func TestCompactionFreesAndKeeps(t *testing.T) {
	c := newCircle(t, 5)
	dir := halves(t, c, 150)
	before := c.stored()
	if r, err := c.Compact(t.Context(), CompactOptions{}, nil); err != nil || r.Segments != 0 {
		t.Fatalf("what is young was compacted: %+v, %v", r, err)
	}
	dry, err := c.Compact(t.Context(), CompactOptions{Dry: true, All: true}, nil)
	if err != nil || dry.Segments == 0 || c.stored() != before {
		t.Fatalf("%+v, %v", dry, err)
	}
	r, err := c.Compact(t.Context(), CompactOptions{All: true}, nil)
	if err != nil || r.Segments != dry.Segments || r.Moved != dry.Moved || r.Left != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	c.same(dir)
	// Keepers hold the old ones a day longer.
	if now := c.stored(); now < before {
		t.Errorf("%d bytes are stored, were %d: an older catalog would find nothing", now, before)
	}
	if s, err := c.Status(t.Context(), StatusOptions{}); err != nil || s.Debt != 0 || s.Pending != 0 || s.Stored > before*2/3 {
		t.Errorf("%+v, %v", s, err)
	}
	c.reopen()
	c.same(dir)
	again, err := c.Compact(t.Context(), CompactOptions{All: true}, nil)
	if err != nil || again.Segments != 0 {
		t.Errorf("%+v, %v", again, err)
	}
	// Unchanged files are found where they are now.
	sent := c.putSize()
	if r := c.put(dir); c.putSize() != sent || r.NewBytes != 0 {
		t.Errorf("%d bytes were sent for what is kept", c.putSize()-sent)
	}
}

// A day later keepers forget what was emptied, when a backup knows of it.
func TestCompactionLetsGoLater(t *testing.T) {
	c := newCircle(t, 3)
	halves(t, c, 60)
	before := c.stored()
	c.now = func() time.Time { return time.Now().Add(-compactHold) }
	if _, err := c.Compact(t.Context(), CompactOptions{All: true}, nil); err != nil {
		t.Fatal(err)
	}
	c.now = time.Now
	c.maintain()
	if now := c.stored(); now < before {
		t.Errorf("%d bytes are stored, were %d: no backup knows of what took their place", now, before)
	}
	c.backUp(1)
	c.acked()
	c.maintain()
	if now := c.stored(); now > before*2/3 {
		t.Errorf("%d bytes are stored, were %d", now, before)
	}
}

// Stopped at any point it has lost nothing, left nothing behind, and goes on.
func TestCompactionInterrupted(t *testing.T) {
	c := newCircle(t, 3)
	dir := halves(t, c, 120)
	for stopAt := 1; ; stopAt += 3 {
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		puts := 0
		stop := func() {
			mu.Lock()
			defer mu.Unlock()
			if puts++; puts == stopAt {
				cancel()
			}
		}
		for _, k := range c.keepers {
			k.onPut.Store(&stop)
		}
		_, err := c.Compact(ctx, CompactOptions{All: true}, nil)
		cancel()
		for _, k := range c.keepers {
			k.onPut.Store(nil)
		}
		c.reopen()
		c.same(dir)
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if s, err := c.Status(t.Context(), StatusOptions{}); err != nil || s.Debt != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// Gets and readers that planned with the old places find the new ones.
func TestCompactionUnderGets(t *testing.T) {
	c := newCircle(t, 5)
	dir := halves(t, c, 120)
	r, err := c.Open(t.Context(), "d/117", When{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var once sync.Once
	compact := func(context.Context) {
		once.Do(func() {
			for _, k := range c.keepers {
				k.onRead.Store(nil)
			}
			if _, err := c.Compact(t.Context(), CompactOptions{All: true}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	for _, k := range c.keepers {
		k.onRead.Store(&compact)
	}
	c.same(dir)
	want, err := os.ReadFile(filepath.Join(dir, "117"))
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := r.ReadAt(got, 0); err != nil || sum(got) != sum(want) {
		t.Errorf("a reader that was open: %v", err)
	}
}

// Many small puts make many small segments; they are joined.
func TestSmallSegmentsAreJoined(t *testing.T) {
	c := newCircle(t, 3)
	dir := filepath.Join(t.TempDir(), "d")
	for i := range smallSegments + 2 {
		write(t, filepath.Join(dir, fmt.Sprint(i)), data(byte(i), 300))
		c.put(dir)
	}
	if r, err := c.Compact(t.Context(), CompactOptions{All: true}, nil); err != nil || r.Segments != smallSegments+2 {
		t.Fatalf("%+v, %v", r, err)
	}
	c.same(dir)
	if s, err := c.Status(t.Context(), StatusOptions{}); err != nil || s.Segments != 1 {
		t.Errorf("%d segments, %v", s.Segments, err)
	}
}

// Without enough machines nothing is moved, and nothing lost.
func TestCompactionWithoutMachines(t *testing.T) {
	c := newCircle(t, 3)
	dir := halves(t, c, 60)
	c.keepers[0].down.Store(true)
	c.keepers[1].down.Store(true)
	r, err := c.Compact(t.Context(), CompactOptions{All: true}, nil)
	if err == nil && r.Left == 0 {
		t.Errorf("%+v", r)
	}
	c.keepers[0].down.Store(false)
	c.keepers[1].down.Store(false)
	c.reopen()
	c.same(dir)
}
