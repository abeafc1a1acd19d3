// SPDX-License-Identifier: MPL-2.0

// Package storagetest is the set of rules that every depot.Storage keeps,
// as tests. An implementation runs them all:
//
//	func TestStorage(t *testing.T) {
//		storagetest.Run(t, func(t *testing.T) storagetest.Reopen { ... })
//	}
package storagetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/depot"
)

// Reopen opens the same storage again as a new process would, whatever the
// last user left undone. The one from the call before is not used any more; it
// may not have been closed.
type Reopen func() depot.Storage

// Run runs all rules, each on an empty storage made by fresh.
func Run(t *testing.T, fresh func(t *testing.T) Reopen) {
	for _, rule := range []struct {
		name string
		test func(*testing.T, Reopen)
	}{
		{"gives back what was committed", roundTrip},
		{"shows nothing before the commit", invisible},
		{"keeps to the size", sizes},
		{"aborts without a trace", abort},
		{"refuses a contradicting header", badHeader},
		{"never overwrites", noOverwrite},
		{"knows what is missing", missing},
		{"removes", remove},
		{"reads on after a remove", readAfterRemove},
		{"walks in order", walk},
		{"stops a walk", stopWalk},
		{"sets aside", setAside},
		{"keeps its shards over a reopen", reopen},
		{"takes many at once", concurrent},
		{"tells its room", space},
	} {
		t.Run(rule.name, func(t *testing.T) { rule.test(t, fresh(t)) })
	}
}

// Body gives size bytes that depend on seed alone.
func Body(seed uint64, size int) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	b := make([]byte, size)
	_, _ = r.Read(b) // never fails
	return b
}

// ID gives an ID that depends on seed alone and spreads over all first bytes.
func ID(seed uint64) peers.ShardID { return peers.ShardID(Body(seed^0xa5a5, 32)) }

// Header gives the right header of a body.
func Header(id peers.ShardID, owner peers.DeviceID, body []byte) *depot.Header {
	return &depot.Header{
		ID: id, Owner: owner, Root: erasure.ShardRoot(body),
		Size: int64(len(body)), Stored: 1_700_000_000, Leaves: erasure.Leaves(nil, body),
	}
}

var owner = peers.DeviceID{1, 2, 3}

func put(t *testing.T, s depot.Storage, id peers.ShardID, body []byte) depot.Entry {
	t.Helper()
	e, err := tryPut(s, id, body)
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	return e
}

func tryPut(s depot.Storage, id peers.ShardID, body []byte) (e depot.Entry, err error) {
	w, err := s.Create(context.Background(), id, int64(len(body)))
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, w.Abort()) }()
	if _, err := w.Write(body); err != nil {
		return e, err
	}
	return w.Commit(Header(id, owner, body))
}

func want(t *testing.T, s depot.Storage, id peers.ShardID, body []byte) {
	t.Helper()
	o, err := s.Open(context.Background(), id)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer o.Close()
	got, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
	if err != nil || !bytes.Equal(got, body) {
		t.Fatalf("read %d bytes (%v), not the %d that were put", len(got), err, len(body))
	}
}

func wantMissing(t *testing.T, s depot.Storage, id peers.ShardID) {
	t.Helper()
	if _, err := s.Open(context.Background(), id); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("open: %v, want fs.ErrNotExist", err)
	}
	if _, err := s.Stat(context.Background(), id); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("stat: %v, want fs.ErrNotExist", err)
	}
}

func list(t *testing.T, s depot.Storage) []depot.Entry {
	t.Helper()
	var all []depot.Entry
	if err := s.Walk(context.Background(), func(e depot.Entry) error {
		all = append(all, e)
		return nil
	}); err != nil {
		t.Fatalf("walk: %v", err)
	}
	return all
}

func roundTrip(t *testing.T, open Reopen) {
	s := open()
	defer s.Close()
	for i, size := range []int{1, 4095, 4096, 4097, 64 << 10, 64<<10 + 1, 1 << 20, peers.MaxShard} {
		id, body := ID(uint64(i)), Body(uint64(i), size)
		e := put(t, s, id, body)
		want(t, s, id, body)
		o, err := s.Open(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		h, w := o.Header(), Header(id, owner, body)
		if h.ID != w.ID || h.Owner != w.Owner || h.Root != w.Root || h.Size != w.Size || h.Stored != w.Stored || !slices.Equal(h.Leaves, w.Leaves) {
			t.Errorf("%d bytes: header is not the one committed", size)
		}
		st, err := s.Stat(context.Background(), id)
		if err != nil || st != e || e.ID != id || e.Size != int64(size) || e.Stamp != o.Stamp() {
			t.Errorf("%d bytes: commit says %v, stat %v %v, open %d", size, e, st, err, o.Stamp())
		}
		p := make([]byte, 10)
		if n, err := o.ReadAt(p, int64(size)-1); n != 1 || err != io.EOF || p[0] != body[size-1] {
			t.Errorf("%d bytes: read over the end: %d, %v", size, n, err)
		}
		if n, err := o.ReadAt(p, int64(size)); n != 0 || err != io.EOF {
			t.Errorf("%d bytes: read at the end: %d, %v", size, n, err)
		}
		if _, err := o.ReadAt(p, -1); err == nil {
			t.Errorf("%d bytes: read before the start succeeds", size)
		}
	}
}

func invisible(t *testing.T, open Reopen) {
	s := open()
	w, err := s.Create(context.Background(), ID(1), 100)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(Body(1, 100)); err != nil {
		t.Fatal(err)
	}
	wantMissing(t, s, ID(1))
	if l := list(t, s); len(l) != 0 {
		t.Fatalf("walk shows %v", l)
	}
	s = open() // as after a crash: neither Commit nor Abort came
	defer s.Close()
	wantMissing(t, s, ID(1))
	if l := list(t, s); len(l) != 0 {
		t.Fatalf("walk shows %v after a crash", l)
	}
	// As a process does at its end; a storage in memory only forgets it.
	_ = w.Abort()
	put(t, s, ID(1), Body(2, 50))
	want(t, s, ID(1), Body(2, 50))
}

func sizes(t *testing.T, open Reopen) {
	s := open()
	defer s.Close()
	for _, size := range []int64{-1, 0, peers.MaxShard + 1} {
		if _, err := s.Create(context.Background(), ID(1), size); err == nil {
			t.Errorf("create with %d bytes succeeds", size)
		}
	}
	w, err := s.Create(context.Background(), ID(1), 100)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 101)); !errors.Is(err, peers.ErrDamaged) {
		t.Errorf("write over the size: %v", err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	w, err = s.Create(context.Background(), ID(1), 100)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(Body(1, 99)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(Header(ID(1), owner, Body(1, 99))); !errors.Is(err, peers.ErrDamaged) {
		t.Errorf("commit of a short body: %v", err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	wantMissing(t, s, ID(1))
}

func abort(t *testing.T, open Reopen) {
	s := open()
	defer s.Close()
	w, err := s.Create(context.Background(), ID(1), 100)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(Body(1, 100)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Abort(); err != nil {
			t.Errorf("abort: %v", err)
		}
	}
	if _, err := w.Write([]byte{1}); err == nil {
		t.Error("write after abort succeeds")
	}
	if _, err := w.Commit(Header(ID(1), owner, Body(1, 100))); err == nil {
		t.Error("commit after abort succeeds")
	}
	wantMissing(t, s, ID(1))
}

func badHeader(t *testing.T, open Reopen) {
	s := open()
	defer s.Close()
	for name, spoil := range map[string]func(*depot.Header){
		"root":   func(h *depot.Header) { h.Root[0] ^= 1 },
		"leaf":   func(h *depot.Header) { h.Leaves[1][3] ^= 1 },
		"leaves": func(h *depot.Header) { h.Leaves = h.Leaves[:1] },
		"size":   func(h *depot.Header) { h.Size-- },
	} {
		body := Body(1, 100<<10)
		w, err := s.Create(context.Background(), ID(1), int64(len(body)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
		h := Header(ID(1), owner, body)
		spoil(h)
		if _, err := w.Commit(h); err == nil {
			t.Errorf("commit with a wrong %s succeeds", name)
		}
		if err := w.Abort(); err != nil {
			t.Error(err)
		}
		wantMissing(t, s, ID(1))
	}
}

func noOverwrite(t *testing.T, open Reopen) {
	s := open()
	defer s.Close()
	put(t, s, ID(1), Body(1, 1000))
	if _, err := tryPut(s, ID(1), Body(2, 500)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second commit: %v, want fs.ErrExist", err)
	}
	want(t, s, ID(1), Body(1, 1000))
}

func missing(t *testing.T, open Reopen) {
	s := open()
	defer s.Close()
	wantMissing(t, s, ID(1))
	if err := s.Remove(context.Background(), ID(1), ID(2)); err != nil {
		t.Errorf("remove of what is not there: %v", err)
	}
	if err := s.Remove(context.Background()); err != nil {
		t.Errorf("remove of nothing: %v", err)
	}
	if err := s.SetAside(context.Background(), ID(1)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("set aside what is not there: %v", err)
	}
}

func remove(t *testing.T, open Reopen) {
	s := open()
	for i := range uint64(20) {
		put(t, s, ID(i), Body(i, 100))
	}
	ids := []peers.ShardID{ID(3), ID(999), ID(17), ID(3)}
	if err := s.Remove(context.Background(), ids...); err != nil {
		t.Fatal(err)
	}
	if ids[1] != ID(999) {
		t.Error("remove changed its arguments")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	defer s.Close()
	wantMissing(t, s, ID(3))
	wantMissing(t, s, ID(17))
	if n := len(list(t, s)); n != 18 {
		t.Errorf("%d shards left, want 18", n)
	}
	put(t, s, ID(3), Body(33, 10)) // the ID is free again
	want(t, s, ID(3), Body(33, 10))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Remove(ctx, ID(4)); !errors.Is(err, context.Canceled) {
		t.Errorf("remove with an ended context: %v", err)
	}
}

func readAfterRemove(t *testing.T, open Reopen) {
	s := open()
	defer s.Close()
	body := Body(1, 300<<10)
	put(t, s, ID(1), body)
	o, err := s.Open(context.Background(), ID(1))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if err := s.Remove(context.Background(), ID(1)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("read after remove: %d bytes, %v", len(got), err)
	}
}

func walk(t *testing.T, open Reopen) {
	s := open()
	defer s.Close()
	var ids []peers.ShardID
	for i := range uint64(300) {
		put(t, s, ID(i), Body(i, 1+int(i)))
		ids = append(ids, ID(i))
	}
	slices.SortFunc(ids, func(a, b peers.ShardID) int { return bytes.Compare(a[:], b[:]) })
	all := list(t, s)
	if len(all) != len(ids) {
		t.Fatalf("walk shows %d shards of %d", len(all), len(ids))
	}
	for i, e := range all {
		st, err := s.Stat(context.Background(), ids[i])
		if err != nil || e != st {
			t.Fatalf("entry %d is %v, stat says %v (%v)", i, e, st, err)
		}
	}
}

func stopWalk(t *testing.T, open Reopen) {
	s := open()
	defer s.Close()
	for i := range uint64(5) {
		put(t, s, ID(i), Body(i, 10))
	}
	stop, n := errors.New("stop"), 0
	err := s.Walk(context.Background(), func(depot.Entry) error {
		if n++; n == 2 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || n != 2 {
		t.Errorf("walk ended with %v after %d", err, n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Walk(ctx, func(depot.Entry) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("walk with an ended context: %v", err)
	}
}

func setAside(t *testing.T, open Reopen) {
	s := open()
	for i := range uint64(3) { // the same ID more than once
		put(t, s, ID(1), Body(i, 100))
		if err := s.SetAside(context.Background(), ID(1)); err != nil {
			t.Fatal(err)
		}
		wantMissing(t, s, ID(1))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	defer s.Close()
	wantMissing(t, s, ID(1))
	if l := list(t, s); len(l) != 0 {
		t.Errorf("walk shows %v", l)
	}
}

func reopen(t *testing.T, open Reopen) {
	s := open()
	e := put(t, s, ID(1), Body(1, 5000))
	s = open() // not closed: what was committed is durable
	defer s.Close()
	want(t, s, ID(1), Body(1, 5000))
	if all := list(t, s); len(all) != 1 || all[0] != e {
		t.Errorf("walk shows %v, committed was %v", all, e)
	}
}

func concurrent(t *testing.T, open Reopen) {
	s := open()
	defer s.Close()
	var wg sync.WaitGroup
	for i := range uint64(32) {
		wg.Go(func() {
			// All in one folder of a Disk, so that they meet in its fsync.
			id := ID(i)
			id[0] = 7
			body := Body(i, 10_000)
			if _, err := tryPut(s, id, body); err != nil {
				t.Errorf("put: %v", err)
				return
			}
			o, err := s.Open(context.Background(), id)
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			defer o.Close()
			got := make([]byte, len(body))
			if _, err := o.ReadAt(got, 0); err != nil || !bytes.Equal(got, body) {
				t.Errorf("read: %v", err)
			}
			if i%2 == 1 {
				if err := s.Remove(context.Background(), id); err != nil {
					t.Errorf("remove: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(list(t, s)); n != 16 {
		t.Errorf("%d shards left, want 16", n)
	}
}

func space(t *testing.T, open Reopen) {
	s := open()
	defer s.Close()
	sp, err := s.Space(context.Background())
	if err != nil || sp.Free <= 0 || sp.Total < sp.Free {
		t.Errorf("space: %+v, %v", sp, err)
	}
}
