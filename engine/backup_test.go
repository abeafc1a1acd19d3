// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/engine/backup"
	"github.com/preezm/preezm/peers"
)

// backUp makes a backup of the circle's catalog and what leads to it.
func (c *circle) backUp(number uint64) (*Way, BackupReport) {
	c.t.Helper()
	w := &Way{Device: peers.DeviceID{1}, Number: number, At: 1}
	_, r, err := c.BackUp(c.t.Context(), BackupOrder{
		Device: w.Device, Number: number, Notes: map[string][]byte{"circle": []byte("them")},
		Seal: func(rows, parts []byte, _ int64) ([]byte, error) {
			w.Rows, w.Parts = bytes.Clone(rows), bytes.Clone(parts)
			return []byte("sealed"), nil
		},
	}, false, nil)
	if err != nil {
		c.t.Fatalf("backup %d: %v", number, err)
	}
	return w, r
}

// rebuilt is a circle whose home was made anew from a backup.
func (c *circle) rebuilt(w *Way) *circle {
	c.t.Helper()
	n := &circle{t: c.t, dir: c.t.TempDir(), secrets: c.secrets, keepers: c.keepers}
	notes, err := Rebuild(c.t.Context(), Config{Dir: n.dir, Secrets: n.secrets, Keepers: c.keepers2()}, w, filepath.Join(n.dir, "catalog.db"), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if string(notes["circle"]) != "them" {
		c.t.Errorf("the notes are %q", notes)
	}
	n.open()
	c.t.Cleanup(func() { n.Engine.Close() })
	return n
}

func (c *circle) keepers2() func() []peers.Keeper {
	return func() []peers.Keeper {
		out := make([]peers.Keeper, len(c.keepers))
		for i, k := range c.keepers {
			out[i] = k
		}
		return out
	}
}

func TestRebuildFromBackup(t *testing.T) {
	c := newCircle(t, 5)
	src := sampleTree(t)
	c.put(src)
	w, first := c.backUp(1)
	t.Logf("first: %+v", first)
	// Any three of five bring it back, and one of those lies.
	c.keepers[0].down.Store(true)
	c.keepers[3].flip.Store(true)
	n := c.rebuilt(w)
	c.keepers[3].flip.Store(false)
	sameTree(t, filepath.Dir(src), n.get())
	// What was found there is not sent again, and the new home can go on.
	c.keepers[0].down.Store(false)
	write(t, filepath.Join(src, "later"), data(9, 5000))
	r := n.put(src)
	if r.NewBytes != 5000 {
		t.Errorf("after the rebuild %d bytes were new, want 5000", r.NewBytes)
	}
	w2, second := n.backUp(2)
	if second.New > first.Plain/2+300<<10 {
		t.Errorf("the second backup sent %d of %d bytes", second.New, second.Plain)
	}
	if got := n.rebuilt(w2).get(); len(treeOf(t, got)) != len(treeOf(t, filepath.Dir(src))) {
		t.Error("the second backup brings back something else")
	}
}

func TestBackupOfNothingNew(t *testing.T) {
	c := newCircle(t, 3)
	c.put(sampleTree(t))
	c.backUp(1)
	if !c.nothingNew() {
		t.Error("after a backup it is not known that there is nothing new")
	}
	c.reopen()
	if !c.nothingNew() {
		t.Error("after another start it is not known any more")
	}
	_, _, err := c.BackUp(t.Context(), BackupOrder{
		Device: peers.DeviceID{1}, Number: 2, Notes: map[string][]byte{"circle": []byte("them")},
		Seal: func(_, _ []byte, _ int64) ([]byte, error) { return []byte("x"), nil },
	}, false, nil)
	if !errors.Is(err, ErrUnchanged) {
		t.Errorf("got %v", err)
	}
	src := t.TempDir()
	write(t, filepath.Join(src, "later"), data(9, 5000))
	c.put(src)
	if c.nothingNew() {
		t.Error("a new file is taken for backed up")
	}
}

// nothingNew tells whether there is known to be nothing new, and checks that
// a look at the whole catalog finds none then.
func (c *circle) nothingNew() bool {
	c.t.Helper()
	notes := map[string][]byte{"circle": []byte("them")}
	last, err := c.cat.LastBackup(c.t.Context(), peers.DeviceID{1})
	if err != nil {
		c.t.Fatal(err)
	}
	known, err := c.cat.BackedUp(c.t.Context(), &last, NotesDigest(notes))
	if err != nil {
		c.t.Fatal(err)
	}
	if stamp, err := StampOf(c.t.Context(), c.cat, notes); err != nil || known && stamp != last.Stamp {
		c.t.Errorf("what is new is taken for backed up (%v)", err)
	}
	return known
}

func TestBackupsAreLetGo(t *testing.T) {
	c := newCircle(t, 3)
	src := t.TempDir()
	for i := range keptBackups + 3 {
		write(t, filepath.Join(src, fmt.Sprint("f", i)), data(byte(i), 100))
		c.put(src)
		c.backUp(uint64(i + 1))
		c.nothingNew()
	}
	if _, err := c.cat.LastBackup(t.Context(), peers.DeviceID{1}); err != nil {
		t.Fatal(err)
	}
	before, err := c.cat.Totals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cat.DropBackups(t.Context(), peers.DeviceID{1}); err != nil {
		t.Fatal(err)
	}
	if err := c.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := c.cat.Totals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("before %+v, after %+v", before, after)
	if after.Segments > keptBackups+4 {
		t.Errorf("%d segments are left of %d", after.Segments, before.Segments)
	}
}

func TestBackupGivesWay(t *testing.T) {
	c := newCircle(t, 3)
	src := sampleTree(t)
	c.put(src)
	reached := make(chan struct{}, 64)
	for _, k := range c.keepers {
		f := func() { reached <- struct{}{} }
		k.onPut.Store(&f)
		k.rate.Store(1000)
	}
	ended := make(chan error, 1)
	go func() {
		_, _, err := c.BackUp(context.Background(), BackupOrder{Device: peers.DeviceID{1}, Number: 1, Seal: func(_, _ []byte, _ int64) ([]byte, error) {
			return []byte("x"), nil
		}}, false, nil)
		ended <- err
	}()
	<-reached
	for _, k := range c.keepers {
		k.onPut.Store(nil)
	}
	put := make(chan error, 1)
	go func() {
		_, err := c.Put(context.Background(), PutOptions{Sources: []string{src}}, nil)
		put <- err
	}()
	if err := <-ended; !errors.Is(err, errPut) {
		t.Errorf("the backup ended with %v", err)
	}
	if err := <-put; err != nil {
		t.Error(err)
	}
}

func TestRebuildRefusesDamage(t *testing.T) {
	c := newCircle(t, 3)
	c.put(sampleTree(t))
	w, _ := c.backUp(1)
	w.Rows = w.Rows[:len(w.Rows)-1]
	path := filepath.Join(t.TempDir(), "catalog.db")
	_, err := Rebuild(t.Context(), Config{Dir: t.TempDir(), Secrets: c.secrets, Keepers: c.keepers2()}, w, path, nil)
	if !errors.Is(err, backup.ErrStream) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("a catalog is there all the same")
	}
}
