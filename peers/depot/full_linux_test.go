// SPDX-License-Identifier: MPL-2.0

package depot_test

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/depot"
)

// mounted gives folders on small real file systems of 16 MiB.
var mounted = map[string]func(t *testing.T) string{
	"tmpfs": func(t *testing.T) string {
		dir := t.TempDir()
		if err := unix.Mount("preezm-test", dir, "tmpfs", 0, "size=16m,mode=0700"); err != nil {
			t.Skipf("cannot mount a tmpfs (needs root): %v", err)
		}
		unmountLater(t, dir)
		return dir
	},
	"ext4": func(t *testing.T) string {
		image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
		if err := os.WriteFile(image, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		truncate(t, image, 16<<20)
		for _, c := range [][]string{
			{"mkfs.ext4", "-q", "-m", "0", "-F", image},
			{"mount", "-o", "loop", image, dir},
		} {
			if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
				t.Skipf("cannot make an ext4 loop mount (needs root and %s): %v %s", c[0], err, out)
			}
		}
		unmountLater(t, dir)
		return dir
	},
}

func unmountLater(t *testing.T, dir string) {
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

// blind is a Storage that believes in endless room, so that a put runs into
// the real end of the disk and not into the check before it.
type blind struct{ depot.Storage }

func (blind) Space(context.Context) (depot.Space, error) {
	return depot.Space{Free: math.MaxInt64 / 2, Total: math.MaxInt64 / 2}, nil
}

func TestFullDisk(t *testing.T) {
	for name, mount := range mounted {
		t.Run(name, func(t *testing.T) {
			fs := mount(t)
			dir := filepath.Join(fs, "depot")
			d := open(t, dir, depot.Options{Storage: blind{newDisk(t, dir)}})
			// Other programs take all but a shard's half.
			filler := filepath.Join(fs, "filler")
			mustPut(t, d, laptop, id(1), body(1, peers.MaxShard))
			fill(t, filler, peers.MaxShard/2)

			for range 3 {
				if err := put(d, laptop, id(2), body(2, peers.MaxShard)); !errors.Is(err, peers.ErrDiskFull) {
					t.Fatalf("put on a full disk: %v, want ErrDiskFull", err)
				}
				wantEmpty(t, dir, "tmp")
				wantMissing(t, d, laptop, id(2))
			}
			fill(t, filler+"2", 0) // to the last byte
			if err := put(d, laptop, id(2), body(2, 100)); !errors.Is(err, peers.ErrDiskFull) {
				t.Fatalf("put of a small shard on a full disk: %v, want ErrDiskFull", err)
			}
			want(t, d, laptop, id(1), body(1, peers.MaxShard))
			wantUsed(t, d, laptop, peers.MaxShard)
			closeDepot(t, d)
			fill(t, filler+"3", 0)

			// What is there can be read and deleted on the full disk, by a
			// new process too, and the deleted room is room.
			d = open(t, dir, depot.Options{Storage: blind{newDisk(t, dir)}})
			want(t, d, laptop, id(1), body(1, peers.MaxShard))
			if err := d.Delete(ctx, laptop, []peers.ShardID{id(1)}); err != nil {
				t.Fatal(err)
			}
			mustPut(t, d, laptop, id(3), body(3, peers.MaxShard/2))
			want(t, d, laptop, id(3), body(3, peers.MaxShard/2))

			if err := errors.Join(os.Remove(filler), os.Remove(filler+"2"), os.Remove(filler+"3")); err != nil {
				t.Fatal(err)
			}
			mustPut(t, d, laptop, id(2), body(2, peers.MaxShard))
			closeDepot(t, d)
			d = open(t, dir, depot.Options{})
			want(t, d, laptop, id(2), body(2, peers.MaxShard))
			want(t, d, laptop, id(3), body(3, peers.MaxShard/2))
		})
	}
}

// TestFullDiskBeforeIndex has the disk run full when the shard is durable and
// the index is not written yet.
func TestFullDiskBeforeIndex(t *testing.T) {
	fs := mounted["tmpfs"](t)
	dir, filler := filepath.Join(fs, "depot"), filepath.Join(fs, "filler")
	d := open(t, dir, depot.Options{Storage: blind{newDisk(t, dir)}})
	full := true
	d.SetStep(func(point string) {
		if point == "durable" && full {
			fill(t, filler, 0)
		}
	})
	refused := 0
	var there []int64
	for i := range uint64(20) {
		err := put(d, laptop, id(i), body(i, 1000))
		if rm := os.Remove(filler); rm != nil {
			t.Fatal(rm)
		}
		switch {
		case err == nil:
			want(t, d, laptop, id(i), body(i, 1000))
			there = append(there, 1000)
		case errors.Is(err, peers.ErrDiskFull):
			refused++
			wantMissing(t, d, laptop, id(i))
		default:
			t.Fatalf("put: %v, want nil or ErrDiskFull", err)
		}
	}
	if refused == 0 {
		t.Error("the index never ran into the full disk")
	}
	full = false
	wantUsed(t, d, laptop, there...)
	mustPut(t, d, laptop, id(100), body(100, 1000))
	closeDepot(t, d)
	d = open(t, dir, depot.Options{})
	wantUsed(t, d, laptop, append(there, 1000)...)
	want(t, d, laptop, id(100), body(100, 1000))
}

func TestFullDiskIsSeenBeforeReading(t *testing.T) {
	fs := mounted["tmpfs"](t)
	d := open(t, filepath.Join(fs, "depot"), depot.Options{})
	fill(t, filepath.Join(fs, "filler"), 1<<20)
	if err := d.Put(ctx, laptop, id(1), erasure.Root{}, peers.MaxShard, noRead{t}); !errors.Is(err, peers.ErrDiskFull) {
		t.Errorf("put: %v, want ErrDiskFull", err)
	}
	mustPut(t, d, laptop, id(1), body(1, 1<<19))
}

// fill writes a file until no more than left bytes of room are left.
func fill(t *testing.T, path string, left int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for {
		var st unix.Statfs_t
		if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		n := int64(st.Bavail)*st.Bsize - left
		if n <= 0 && left > 0 {
			break
		}
		// With no room to be left, go on to the error: metadata takes some.
		n = min(max(n, 1), int64(len(buf)))
		if _, err := f.Write(buf[:n]); errors.Is(err, unix.ENOSPC) || errors.Is(err, io.ErrShortWrite) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}
