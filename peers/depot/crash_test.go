// SPDX-License-Identifier: MPL-2.0

package depot_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/depot"
)

// The child of a crash test is this test binary with these variables set. It
// does its work, one line on stdout for each thing acknowledged, and dies at
// the named point the given time it comes by.
const (
	crashDir   = "PREEZM_TEST_CRASH_DIR"
	crashPoint = "PREEZM_TEST_CRASH_POINT"
	crashTime  = "PREEZM_TEST_CRASH_TIME"
)

const (
	crashShards = 6
	crashSize   = 700_001
)

func crashChild() {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	d, err := depot.Open(ctx, os.Getenv(crashDir), depot.Options{Offer: ample})
	if err != nil {
		fail(err)
	}
	left, err := strconv.Atoi(os.Getenv(crashTime))
	if err != nil {
		fail(err)
	}
	d.SetStep(func(point string) {
		if point != os.Getenv(crashPoint) {
			return
		}
		if left--; left > 0 {
			return
		}
		p, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = p.Kill() // SIGKILL
		}
		if err != nil {
			fail(err)
		}
		select {}
	})
	if os.Getenv(crashPoint) == "" {
		putForEver(d, fail)
	}
	for i := range uint64(crashShards) {
		if err := put(d, laptop, id(i), body(i, crashSize)); err != nil {
			fail(err)
		}
		fmt.Println("put", i)
	}
	if err := d.Delete(ctx, laptop, []peers.ShardID{id(0), id(1)}); err != nil {
		fail(err)
	}
	fmt.Println("deleted")
	if err := d.Close(); err != nil {
		fail(err)
	}
	os.Exit(0)
}

// putForEver has four writers put until the parent kills the child.
func putForEver(d *depot.Depot, fail func(error)) {
	var next atomic.Uint64
	for range 4 {
		go func() {
			for {
				i := next.Add(1)
				if err := put(d, laptop, id(i), body(i, crashSize)); err != nil {
					fail(err)
				}
				fmt.Println(i)
			}
		}()
	}
	select {}
}

// crash starts a child and gives what it acknowledged before it died.
func crash(t *testing.T, dir, point string, time int) (acked int, deleted bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir, crashPoint+"="+point, crashTime+"="+strconv.Itoa(time))
	var out, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("child ended with %v, not by a kill: %s", err, stderr.String())
	}
	for s := bufio.NewScanner(strings.NewReader(out.String())); s.Scan(); {
		if s.Text() == "deleted" {
			deleted = true
		} else {
			acked++
		}
	}
	return acked, deleted
}

func TestKilledAtEveryPoint(t *testing.T) {
	for _, c := range []struct {
		point string
		// present: the shard being put must be there after the kill. It was
		// not acknowledged, so either would do; this is what each point gives.
		present bool
	}{
		{"created", false}, // before the first byte
		{"written", false}, // all bytes written, not synced
		{"synced", false},  // durable under its temporary name
		{"renamed", true},  // in its place, the folder not synced
		{"durable", true},  // in its place, not in the index
	} {
		t.Run(c.point, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "depot")
			const time = 4
			acked, _ := crash(t, dir, c.point, time)
			if acked != time-1 {
				t.Fatalf("%d puts acknowledged, want %d", acked, time-1)
			}
			d := open(t, dir, depot.Options{})
			wantEmpty(t, dir, "tmp")
			there := make([]int64, 0, crashShards)
			for i := range uint64(crashShards) {
				if i < uint64(acked) || i == uint64(acked) && c.present {
					want(t, d, laptop, id(i), body(i, crashSize))
					there = append(there, crashSize)
				} else {
					wantMissing(t, d, laptop, id(i))
				}
			}
			wantUsed(t, d, laptop, there...)
			// The owner repeats what was not acknowledged.
			for i := range uint64(crashShards) {
				mustPut(t, d, laptop, id(i), body(i, crashSize))
				want(t, d, laptop, id(i), body(i, crashSize))
			}
			closeDepot(t, d)

			// Killed again in the delete, between files and index.
			acked, deleted := crash(t, dir, "removed", 1)
			if acked != crashShards || deleted {
				t.Fatalf("second child: %d puts, deleted %v", acked, deleted)
			}
			d = open(t, dir, depot.Options{})
			wantMissing(t, d, laptop, id(0))
			wantMissing(t, d, laptop, id(1))
			for i := uint64(2); i < crashShards; i++ {
				want(t, d, laptop, id(i), body(i, crashSize))
			}
			wantUsed(t, d, laptop, crashSize, crashSize, crashSize, crashSize)
		})
	}
}

func TestKilledUnderLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "depot")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir, crashPoint+"=", crashTime+"=0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var acked []uint64
	for lines := bufio.NewScanner(out); lines.Scan(); { // to the end: what came after the kill was acknowledged too
		i, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			continue // a line cut by the kill
		}
		if acked = append(acked, i); len(acked) == 100 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || len(acked) < 100 {
		t.Fatalf("child ended with %v after %d puts", err, len(acked))
	}
	d := open(t, dir, depot.Options{})
	wantEmpty(t, dir, "tmp")
	for _, i := range acked {
		want(t, d, laptop, id(i), body(i, crashSize))
	}
	// At most the four in flight came through without an acknowledgement, and
	// those are whole.
	u, err := d.Usage(ctx, laptop)
	if err != nil || u.Shards < int64(len(acked)) || u.Shards > int64(len(acked))+4 {
		t.Errorf("%d shards after %d acknowledged (%v)", u.Shards, len(acked), err)
	}
	for i := range slices.Max(acked) + 4 {
		if s, err := d.Get(ctx, laptop, id(i+1)); err == nil {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			want(t, d, laptop, id(i+1), body(i+1, crashSize))
		}
	}
}

// TestIndexLostAfterAKill: the kill leaves the write-ahead log, which then
// belongs to no index or to another one.
func TestIndexLostAfterAKill(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, db string){
		"index deleted": func(t *testing.T, db string) { remove(t, db) },
		"index emptied": func(t *testing.T, db string) { truncate(t, db, 0) },
		"log deleted":   func(t *testing.T, db string) { remove(t, db+"-wal") },
		"log emptied":   func(t *testing.T, db string) { truncate(t, db+"-wal", 0) },
		"log cut":       func(t *testing.T, db string) { truncate(t, db+"-wal", 6000) },
		"log damaged":   func(t *testing.T, db string) { overwrite(t, db+"-wal", 4096) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "depot")
			crash(t, dir, "durable", 4)
			spoil(t, filepath.Join(dir, "index.db"))
			d := open(t, dir, depot.Options{})
			for i := range uint64(4) {
				want(t, d, laptop, id(i), body(i, crashSize))
			}
			wantUsed(t, d, laptop, crashSize, crashSize, crashSize, crashSize)
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
