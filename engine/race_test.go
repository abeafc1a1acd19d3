// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/preezm/preezm/peers"
)

// A repair that is under way when its segment is removed and another file is
// put must leave that file alone.
func TestRepairOfARemovedSegment(t *testing.T) {
	c := newCircle(t, 5)
	d := t.TempDir()
	write(t, filepath.Join(d, "old"), data(1, 200<<10))
	write(t, filepath.Join(d, "new"), data(2, 200<<10))
	c.keepers[4].down.Store(true)
	c.put(filepath.Join(d, "old"))
	c.keepers[4].down.Store(false)
	in, out := make(chan struct{}), make(chan struct{})
	var held atomic.Bool
	hold := func() {
		if held.CompareAndSwap(false, true) {
			close(in)
			<-out
		}
	}
	c.keepers[4].onPut.Store(&hold)
	done := make(chan error)
	go func() { done <- c.Maintain(t.Context()) }()
	<-in
	if _, err := c.Forget(t.Context(), []Path{"old"}); err != nil {
		t.Fatal(err)
	}
	c.put(filepath.Join(d, "new"))
	close(out)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := c.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.keepers[0].down.Store(true)
	c.keepers[1].down.Store(true)
	to := c.get("new")
	if b, err := os.ReadFile(filepath.Join(to, "new")); err != nil || sum(b) != sum(data(2, 200<<10)) {
		t.Fatalf("wrong bytes (%v)", err)
	}
	for _, k := range c.keepers {
		if u, err := k.depot.Usage(t.Context(), k.owner); err != nil || u.Shards != 1 {
			t.Errorf("%s keeps %d shards, want 1 (%v)", k.name, u.Shards, err)
		}
	}
}

// A file that is removed while a get has planned it, and whose room another
// file takes, is reported; it never comes back as the other.
func TestGetOfARemovedFile(t *testing.T) {
	c := newCircle(t, 3)
	d := t.TempDir()
	write(t, filepath.Join(d, "a"), data(1, 30<<20))
	write(t, filepath.Join(d, "b"), data(2, 4000))
	write(t, filepath.Join(d, "c"), data(3, 4000))
	c.put(filepath.Join(d, "a"))
	c.put(filepath.Join(d, "b"))
	var once sync.Once
	swap := func(context.Context) {
		once.Do(func() {
			if _, err := c.Forget(t.Context(), []Path{"b"}); err != nil {
				t.Error(err)
			}
			if _, err := c.Put(t.Context(), PutOptions{Sources: []string{filepath.Join(d, "c")}}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	for _, k := range c.keepers {
		k.onRead.Store(&swap)
	}
	to := t.TempDir()
	r, err := c.Get(t.Context(), GetOptions{Names: []Path{"a", "b"}, To: to}, nil)
	if b, readErr := os.ReadFile(filepath.Join(to, "b")); readErr == nil && sum(b) != sum(data(2, 4000)) {
		t.Fatal("b came back with other bytes")
	} else if readErr != nil && !errors.Is(err, ErrNotBack) {
		t.Fatalf("b is missing and the get says %v (%+v)", err, r.Problems)
	}
	if b, err := os.ReadFile(filepath.Join(to, "a")); err != nil || sum(b) != sum(data(1, 30<<20)) {
		t.Fatalf("a: wrong bytes (%v)", err)
	}
}

func TestRemoveDuringVerifyAndGet(t *testing.T) {
	c := newCircle(t, 3)
	d := t.TempDir()
	for _, n := range []string{"a", "b", "c"} {
		write(t, filepath.Join(d, n), data(n[0], 9<<20))
		c.put(filepath.Join(d, n))
	}
	var armed atomic.Bool
	remove := func(context.Context) {
		if armed.CompareAndSwap(true, false) {
			if _, err := c.Forget(t.Context(), []Path{"c"}); err != nil {
				t.Error(err)
			}
		}
	}
	for _, k := range c.keepers {
		k.onRead.Store(&remove)
	}
	armed.Store(true)
	if r, err := c.Verify(t.Context(), VerifyOptions{}, nil); err != nil || r.Lost != 0 {
		t.Errorf("verify: %v, %+v", err, r)
	}
	c.put(filepath.Join(d, "c"))
	armed.Store(true)
	to := t.TempDir()
	if r, err := c.Get(t.Context(), GetOptions{Names: []Path{""}, To: to}, nil); err != nil && !errors.Is(err, ErrNotBack) {
		t.Errorf("get: %v, %+v", err, r)
	}
	for _, n := range []string{"a", "b"} {
		if b, err := os.ReadFile(filepath.Join(to, n)); err != nil || sum(b) != sum(data(n[0], 9<<20)) {
			t.Errorf("%s: wrong bytes (%v)", n, err)
		}
	}
}

func TestTwoGetsIntoOneFolder(t *testing.T) {
	c := newCircle(t, 3)
	d := t.TempDir()
	write(t, filepath.Join(d, "f"), data(1, 30<<20))
	c.put(filepath.Join(d, "f"))
	to := t.TempDir()
	in, out := make(chan struct{}), make(chan struct{})
	var once sync.Once
	hold := func(context.Context) { once.Do(func() { close(in) }); <-out }
	for _, k := range c.keepers {
		k.onRead.Store(&hold)
	}
	done := make(chan error)
	o := GetOptions{Names: []Path{"f"}, To: to, Overwrite: true}
	go func() {
		_, err := c.Get(t.Context(), o, nil)
		done <- err
	}()
	<-in
	if _, err := c.Get(t.Context(), o, nil); err == nil {
		t.Error("two gets into one folder at once")
	}
	close(out)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(to, "f")); err != nil || sum(b) != sum(data(1, 30<<20)) {
		t.Errorf("wrong bytes (%v)", err)
	}
	if _, err := c.Get(t.Context(), o, nil); err != nil {
		t.Errorf("the folder was not given back: %v", err)
	}
}

// Keepers that lacked their shards for a moment, and then have no room for
// others, still have the old ones: nothing is lost.
func TestShardsLostByMistake(t *testing.T) {
	c := newCircle(t, 5)
	name := filepath.Join(t.TempDir(), "a")
	write(t, name, data(1, 300<<10))
	c.put(name)
	for _, k := range c.keepers[:3] {
		k.forget.Store(true)
	}
	if r, err := c.Verify(t.Context(), VerifyOptions{}, nil); err != nil || r.Lost != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	full := error(peers.ErrQuota)
	for _, k := range c.keepers[:3] {
		k.forget.Store(false)
		k.refuse.Store(&full)
		c.Seen(k.id)
	}
	for range 2 {
		if err := c.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	sameTree(t, filepath.Dir(name), c.get("a"))
	if s, err := c.Status(t.Context(), StatusOptions{}); err != nil || s.Debt != 0 || s.MayLose != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
}

// A file whose data is lost is sent again when its owner puts it again,
// touched or not.
func TestPutOfWhatIsLost(t *testing.T) {
	c := newCircle(t, 5)
	dir := filepath.Join(t.TempDir(), "d")
	write(t, filepath.Join(dir, "a"), data(1, 3<<20))
	write(t, filepath.Join(dir, "b"), data(2, 3<<20))
	c.put(dir)
	for _, k := range c.keepers[:3] {
		k.forget.Store(true)
	}
	if _, err := c.Verify(t.Context(), VerifyOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	for _, k := range c.keepers[:3] {
		k.forget.Store(false)
		c.Seen(k.id)
	}
	now := time.Now().Add(time.Second)
	if err := os.Chtimes(filepath.Join(dir, "b"), now, now); err != nil {
		t.Fatal(err)
	}
	if r := c.put(dir); r.Unchanged != 0 || r.NewBytes != 6<<20 {
		t.Fatalf("%+v", r)
	}
	if s, err := c.Status(t.Context(), StatusOptions{}); err != nil || s.MayLose != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
	sameTree(t, dir, filepath.Join(c.get("d"), "d"))
}

func TestRemoveDuringPut(t *testing.T) {
	c := newCircle(t, 3)
	d := filepath.Join(t.TempDir(), "big")
	for i := range 10 {
		write(t, filepath.Join(d, "sub", fmt.Sprintf("f%d", i)), data(byte(i+1), 3<<20))
	}
	var once sync.Once
	remove := func() {
		once.Do(func() {
			for {
				// The folder's row is there as soon as the committer got to it.
				_, err := c.Forget(t.Context(), []Path{"big"})
				if !errors.Is(err, ErrNotFound) {
					if err != nil {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	c.keepers[0].onPut.Store(&remove)
	c.put(d)
	to := c.get()
	for i := range 10 {
		name := filepath.Join("big/sub", fmt.Sprintf("f%d", i))
		if b, err := os.ReadFile(filepath.Join(to, name)); err != nil || sum(b) != sum(data(byte(i+1), 3<<20)) {
			t.Errorf("%s: wrong bytes (%v)", name, err)
		}
	}
}

func TestPutRefusesTwoOfOneName(t *testing.T) {
	c := newCircle(t, 3)
	d := t.TempDir()
	write(t, filepath.Join(d, "a/x"), []byte("one"))
	write(t, filepath.Join(d, "b/x"), []byte("two"))
	sources := []string{filepath.Join(d, "a/x"), filepath.Join(d, "b/x")}
	if _, err := c.Put(t.Context(), PutOptions{Sources: sources}, nil); err == nil {
		t.Error("two files were kept under one name")
	}
	if r, err := c.Put(t.Context(), PutOptions{Sources: []string{sources[0], sources[0]}}, nil); err != nil || r.Files != 1 {
		t.Errorf("the same file twice: %+v, %v", r, err)
	}
}

func TestPutLeavesOutItsHome(t *testing.T) {
	c := newCircle(t, 3)
	write(t, filepath.Join(c.dir, "beside"), []byte("x"))
	r := c.put(c.dir)
	if r.Files != 0 || len(r.Problems) != 1 || r.Problems[0].Failed {
		t.Fatalf("%+v", r)
	}
}

func TestSetuidIsLeftOut(t *testing.T) {
	c := newCircle(t, 1)
	name := filepath.Join(t.TempDir(), "s")
	write(t, name, []byte("#!/bin/sh\n"))
	if err := os.Chmod(name, os.ModeSetuid|os.ModeSetgid|0o755); err != nil {
		t.Skip("this file system has no such bits: ", err)
	}
	c.put(name)
	fi, err := os.Stat(filepath.Join(c.get("s"), "s"))
	if err != nil || fi.Mode() != 0o755 {
		t.Fatalf("%v, %v", fi.Mode(), err)
	}
}

// A million equal files do not wait in memory for their segment to be full.
func TestManyEqualFiles(t *testing.T) {
	c := newCircle(t, 1)
	dir := filepath.Join(t.TempDir(), "d")
	for i := range mostWaiters + 100 {
		write(t, filepath.Join(dir, fmt.Sprint(i)), []byte("the same"))
	}
	if r := c.put(dir); r.Packed > 1000 {
		t.Fatalf("%+v", r)
	}
	sameTree(t, dir, filepath.Join(c.get("d"), "d"))
}
