// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// kept puts one file and opens it.
func (c *circle) kept(content []byte) *Reader {
	c.t.Helper()
	path := filepath.Join(c.t.TempDir(), "f")
	write(c.t, path, content)
	c.put(path)
	r, err := c.Open(c.t.Context(), "f", When{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { r.Close() })
	return r
}

func TestReaderGivesEveryRange(t *testing.T) {
	content := append(append(data(1, 5<<20), make([]byte, 3<<20)...), bytes.Repeat([]byte("text again "), 100_000)...)
	c := newCircle(t, 5)
	r := c.kept(content)
	if r.Size() != int64(len(content)) {
		t.Fatalf("%d bytes", r.Size())
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var all sync.WaitGroup
	for range 40 {
		off := rnd.IntN(len(content))
		n := rnd.IntN(min(len(content)-off, 2<<20)) + 1
		all.Go(func() {
			p := make([]byte, n)
			if got, err := r.ReadAt(p, int64(off)); got != n || err != nil || !bytes.Equal(p, content[off:off+n]) {
				t.Errorf("%d bytes at %d: %d, %v", n, off, got, err)
			}
		})
	}
	all.Wait()
	if n, err := r.ReadAt(make([]byte, 10), r.Size()-4); n != 4 || !errors.Is(err, io.EOF) {
		t.Errorf("over the end: %d, %v", n, err)
	}
	if n, err := r.ReadAt(make([]byte, 1), r.Size()+4); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("past the end: %d, %v", n, err)
	}
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("a read before the beginning")
	}
	small := c.kept([]byte("a few bytes"))
	if err := iotest.TestReader(small, []byte("a few bytes")); err != nil {
		t.Error(err)
	}
}

func TestReaderFetchesLittle(t *testing.T) {
	c := newCircle(t, 5)
	content := data(3, 24<<20)
	r := c.kept(content)
	p := make([]byte, 100)
	if _, err := r.ReadAt(p, 12<<20); err != nil || !bytes.Equal(p, content[12<<20:12<<20+100]) {
		t.Fatal(err)
	}
	if n := r.fetch.fetched.Load(); n > 5<<20 {
		t.Errorf("%d bytes were fetched for 100", n)
	}
}

func TestReaderGoesRoundALiarAndTheLost(t *testing.T) {
	c := newCircle(t, 5)
	content := data(4, 6<<20)
	r := c.kept(content)
	c.keepers[0].flip.Store(true)
	c.keepers[1].down.Store(true)
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	// With too few there is a clear word, and the next read tries again.
	r = c.kept(content)
	for _, k := range c.keepers {
		k.down.Store(true)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, ErrTooFewKeepers) {
		t.Errorf("got %v", err)
	}
	for _, k := range c.keepers {
		k.down.Store(false)
		k.flip.Store(false)
	}
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

func TestClosedReaderEnds(t *testing.T) {
	c := newCircle(t, 3)
	r := c.kept(data(5, 4<<20))
	for _, k := range c.keepers {
		k.stall.Store(true)
	}
	done := make(chan error, 1)
	go func() {
		_, err := r.ReadAt(make([]byte, 1), 0)
		done <- err
	}()
	for r.started() == 0 {
		time.Sleep(time.Millisecond)
	}
	r.Close()
	if err := <-done; err == nil {
		t.Error("a read of a closed file succeeded")
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, errClosedReader) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if _, err := c.Open(ctx, "f", When{}); err == nil {
		t.Error("opened without time")
	}
}

func (r *Reader) started() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.flights)
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	c := newCircle(t, 3)
	c.put(sampleTree(t))
	for _, p := range []Path{"sample", "nope", "../x", ""} {
		if _, err := c.Open(t.Context(), p, When{}); err == nil {
			t.Errorf("%q was opened", p)
		}
	}
}
